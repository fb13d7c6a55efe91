"""Positions in the WAL: bytes in Python, `16/B374D848` in PostgreSQL's text. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

MAX_LSN: Final = 2**64 - 1
SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""Size of a WAL segment file of the clusters that `postgres/server/initdb.py` makes."""

Lsn = Annotated[int, Field(ge=0, le=MAX_LSN)]
"""In messages between our own parts: bytes."""

LSN_TEXT: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", re.ASCII)
_SEGMENT: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?", re.ASCII)


def parse_lsn(text: str) -> int:
    """`16/B374D848` as bytes. Raises ValueError."""
    match = LSN_TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not an LSN: {text!r}")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(lsn: int) -> str:
    """Bytes as PostgreSQL writes them. Raises ValueError outside 0..2**64-1."""
    if not 0 <= lsn <= MAX_LSN:
        raise ValueError(f"not an LSN: {lsn}")
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def segment_name(timeline: int, lsn: int, segment_bytes: int = SEGMENT_BYTES) -> str:
    """Name of the file in pg_wal that holds the byte at `lsn` on a timeline."""
    number = lsn // segment_bytes
    per_id = 0x1_0000_0000 // segment_bytes
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def parse_segment_name(name: str, segment_bytes: int = SEGMENT_BYTES) -> tuple[int, int] | None:
    """(timeline, LSN of its first byte) of a segment file, also of a `.partial` one; None for other files."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    per_id = 0x1_0000_0000 // segment_bytes
    return int(match[1], 16), (int(match[2], 16) * per_id + int(match[3], 16)) * segment_bytes
