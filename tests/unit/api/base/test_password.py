from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.base.password import MAX_BYTES, PasswordRefused, parse_password


@pytest.mark.parametrize("data", [b"abc", b"abc\n", b"abc\r\n"])
def test_one_line_end_is_not_part_of_it(data: bytes) -> None:
    assert parse_password(data) == "abc"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\r\n", "empty"),
        (b"abc\n\n", "line end"),
        (b"abc\r", "line end"),
        (b"a\nb", "line end"),
        (b"a\tb", "tab"),
        (b"a\0b", "control"),
        (b"\xff\xfe", "UTF-8"),
        (b"caf\xe9", "UTF-8"),
        (b"a" * (MAX_BYTES + 1), "1024"),
    ],
)
def test_what_cannot_be_one_is_refused_and_not_repeated(data: bytes, why: str) -> None:
    with pytest.raises(PasswordRefused, match=why) as caught:
        parse_password(data)
    assert "abc" not in str(caught.value)
    assert caught.value.__cause__ is None, "a decoding error would quote it"


@given(st.binary(max_size=40))
def test_any_bytes_are_a_password_or_refused(data: bytes) -> None:
    try:
        text = parse_password(data)
    except PasswordRefused:
        return
    assert data in (text.encode(), text.encode() + b"\n", text.encode() + b"\r\n")
    assert parse_password(text.encode()) == text
