from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity as reference

from aurora_operator.api.base.quantity import is_quantity, parse_quantity, to_bytes, to_millis

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]


@given(st.decimals(min_value=0, max_value=10**6, places=3), st.sampled_from(SUFFIXES))
def test_agrees_with_the_kubernetes_client(number: Decimal, suffix: str) -> None:
    text = f"{number:f}{suffix}"
    assert parse_quantity(text) == reference(text)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("text", "value"), [("1e3", 1000), ("1E3", 1000), ("5.", 5), (".5Gi", 2**29), ("2E", 2 * 10**18), ("1e-3k", None)]
)
def test_forms(text: str, value: int | None) -> None:
    assert is_quantity(text) == (value is not None)
    if value is not None:
        assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "Gi", "1 Gi", "1gi", "1K", "ten", "1.2.3", "1Gi\n", "١", "1e100", "1e"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


def test_rounded_up() -> None:
    assert to_bytes("1m") == 1
    assert to_bytes("1.5Ki") == 1536
    assert to_millis("100u") == 1
    assert to_millis("0.5") == 500
