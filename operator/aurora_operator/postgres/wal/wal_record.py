"""How records lie in the WAL's pages: xlog_internal.h and xlogrecord.h in numbers. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES

BLOCK_BYTES: Final = 8192
LONG_HEADER_BYTES: Final = 40
"""Of the first page of each segment."""
SHORT_HEADER_BYTES: Final = 24
RECORD_HEADER_BYTES: Final = 24

_PAGE: Final = struct.Struct("=HHIQI")
_RECORD: Final = struct.Struct("=IIQBB")
_FIRST_IS_CONTINUATION: Final = 0x0001
_XLOG_RMGR: Final = 0
_XLOG_SWITCH: Final = 0x40

Read = Callable[[int, int], bytes]
"""`read(lsn, size)`: the file's bytes there, page headers included; fewer where it ends."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page's header. `continued` is how many bytes of a record from before go on in this page and after it."""

    magic: int
    timeline: int
    lsn: int
    continued: int


def parse_page(header: bytes) -> Page | None:
    """The first bytes of a page; None for a page that was never written, or too few bytes."""
    if len(header) < _PAGE.size:
        return None
    magic, flags, timeline, lsn, left = _PAGE.unpack_from(header)
    return Page(magic, timeline, lsn, left if flags & _FIRST_IS_CONTINUATION else 0) if magic else None


def page_header_bytes(lsn: int) -> int:
    """Size of the header of the page that begins at `lsn`."""
    return SHORT_HEADER_BYTES if lsn % SEGMENT_BYTES else LONG_HEADER_BYTES


def advance(lsn: int, size: int) -> int:
    """Where `size` bytes of a record end that begin at `lsn`; page headers on the way are no part of it."""
    while size > (room := BLOCK_BYTES - lsn % BLOCK_BYTES):
        size -= room
        lsn += room
        lsn += page_header_bytes(lsn)
    return lsn + size


def record_end(start: int, size: int, *, switch: bool = False) -> int:
    """What PostgreSQL calls the end of a record: aligned to 8 bytes; a segment switch takes all of its segment."""
    end = (advance(start, size) + 7) // 8 * 8
    return (end + SEGMENT_BYTES - 1) // SEGMENT_BYTES * SEGMENT_BYTES if switch else end


def read_record_end(start: int, read: Read) -> int | None:
    """The end of the record at `start`, which is known to be whole; None where the bytes are not there."""
    header = b""
    lsn = start
    while len(header) < RECORD_HEADER_BYTES:
        room = BLOCK_BYTES - lsn % BLOCK_BYTES
        part = read(lsn, min(room, RECORD_HEADER_BYTES - len(header)))
        if not part:
            return None
        header += part
        lsn += room
        lsn += page_header_bytes(lsn)
    size, _, _, info, rmgr = _RECORD.unpack_from(header)
    return record_end(start, size, switch=rmgr == _XLOG_RMGR and info & 0xF0 == _XLOG_SWITCH)


def continuation_end(first: int, read: Read) -> int | None:
    """The end of a record that began before the segment at `first`, as its page headers tell; None if not all is there.

    Without the record's beginning its checksum cannot be computed: that the pages were written has to do.
    """
    page = parse_page(read(first, SHORT_HEADER_BYTES))
    if page is None or page.lsn != first or page.continued == 0:
        return None
    end = record_end(first + page_header_bytes(first), page.continued)
    for lsn in range(first, (end + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES, BLOCK_BYTES):
        page = parse_page(read(lsn, SHORT_HEADER_BYTES))
        if page is None or page.lsn != lsn:
            return None
    return end
