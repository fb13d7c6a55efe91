from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from aurora_operator.api.base.database import conninfo, refusal

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=63)


@given(NAMES)
@example('Shop=1 "ü"')
@example("host=elsewhere user=postgres")
@example("postgresql://elsewhere/shop")
@example("it's \\ 'quoted\\'")
@example("\\")
@example(" a ")
@example("")
def test_any_name_is_one_name_for_libpq(name: str) -> None:
    assert conninfo_to_dict(conninfo(name)) == {"dbname": name}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is not empty"),
        ("a\0b", "a zero byte"),
        ("a" * 64, "has up to 63 bytes"),
        ("ü" * 32, "has 64"),
    ],
)
def test_what_cannot_be_a_name_is_said(name: str, why: str) -> None:
    assert why in (refusal(name) or "")


@given(NAMES.filter(lambda name: 0 < len(name.encode()) < 64))
def test_all_else_can_be_one(name: str) -> None:
    assert refusal(name) is None
