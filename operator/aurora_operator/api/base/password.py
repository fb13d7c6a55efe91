"""The password in a Secret, read alike by the operator and by the agents. Nothing here quotes it."""

from __future__ import annotations

import unicodedata
from typing import Final

MAX_BYTES: Final = 1024


class PasswordRefused(ValueError):
    """What is there cannot be a password; the text says why, and does not repeat it."""


def parse_password(data: bytes) -> str:
    """The password. One line end at its end is not part of it: editors and `echo` put it there.

    Raises PasswordRefused for what PostgreSQL, or a connection string or file, could not carry.
    """
    data = data.removesuffix(b"\n").removesuffix(b"\r") if data.endswith(b"\n") else data
    if not data:
        raise PasswordRefused("it is empty")
    if len(data) > MAX_BYTES:
        raise PasswordRefused(f"it has more than {MAX_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise PasswordRefused("it is not UTF-8 text") from None
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise PasswordRefused("it has a control character, such as a tab or a line end, in it")
    return text
