"""The newest WAL, which fills no segment yet, as files beside the archive. Pure.

PostgreSQL archives a segment when it is full. What is written meanwhile is stored every few seconds in pieces:
`tail/<stanza>/<segment>/<offset>`, each at most `PIECE_BYTES` of WAL from `offset` (hexadecimal) in the segment on.
The last piece grows until it is full and is stored anew each time, so that a second costs one small request. The
pieces of a segment, put together, are what a restore replays after the last archived segment. They go when the
segment is archived. `tail/<stanza>/<timeline>.history` is there before a timeline's first piece. It tells the histories
of all ancestors, of which the newest few stay beside it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name, segment_name
from aurora_operator.postgres.wal.timeline import History

PIECE_BYTES: Final = 1 << 20
HISTORIES_KEPT: Final = 32
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """WAL of one segment. LSNs in bytes; all that was flushed by `time`, by the writer's clock, is in the archive,
    in earlier pieces and in this one."""

    timeline: int
    start: int
    end: int
    time: datetime

    @property
    def segment(self) -> str:
        """Name of the segment that it is a part of."""
        return segment_name(self.timeline, self.start)

    @property
    def offset(self) -> int:
        """Where in the segment it begins."""
        return self.start % SEGMENT_BYTES


def folder(stanza: str) -> str:
    """Where a stanza's pieces are."""
    return f"tail/{stanza}"


def piece_path(stanza: str, piece: Piece) -> str:
    """Where a piece is stored."""
    return f"{folder(stanza)}/{piece.segment}/{piece.offset:08X}"


def segment_folder(stanza: str, segment: str) -> str:
    """Where the pieces of a segment are."""
    return f"{folder(stanza)}/{segment}"


def parse_name(name: str) -> tuple[str, int] | None:
    """(segment, offset) of a piece's name below `folder`; None for other files."""
    segment, slash, offset = name.partition("/")
    if not slash or parse_segment_name(segment) is None or len(offset) != 8:
        return None
    try:
        return segment, int(offset, 16)
    except ValueError:
        return None


def pack(piece: Piece, wal: bytes) -> bytes:
    """A piece as it is stored: a line that says what it is, and the WAL, compressed."""
    head = {
        "version": _VERSION,
        "timeline": piece.timeline,
        "start": piece.start,
        "end": piece.end,
        "time": piece.time.astimezone(UTC).isoformat(),
    }
    return json.dumps(head).encode() + b"\n" + zlib.compress(wal, 1)


def unpack(content: bytes) -> tuple[Piece, bytes]:
    """A stored piece. Raises ValueError when it is damaged."""
    line, _, body = content.partition(b"\n")
    try:
        head = json.loads(line)
        if head["version"] != _VERSION:
            raise ValueError(f"version {head['version']}")
        piece = Piece(int(head["timeline"]), int(head["start"]), int(head["end"]), datetime.fromisoformat(head["time"]))
        wal = zlib.decompress(body)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ValueError(f"a damaged piece of WAL: {error}") from error
    if len(wal) != piece.end - piece.start:
        raise ValueError("a piece of WAL that is not as long as it says")
    return piece, wal


def told_again(history: History, stored: Iterable[int]) -> list[int]:
    """Of the timelines whose histories are `stored`: the ancestors of a leader, whose own history is there, too.

    Without the newest: a snapshot that was begun before the last failovers may ask for its timeline's.
    """
    newest = {switch.parent for switch in history.switches[-HISTORIES_KEPT:]}
    return sorted(t for t in stored if t != history.timeline and history.includes(t) and t not in newest)


def next_piece(done: Piece | None, timeline: int, flushed: int, time: datetime) -> Piece | None:
    """The piece to store next, when WAL is flushed up to `flushed`; None when `done` has all of it.

    Only the segment that is being written: those before are for the archive. A full piece is never stored again.
    """
    if flushed <= 0:
        return None
    segment = (flushed - 1) // SEGMENT_BYTES * SEGMENT_BYTES
    same = done is not None and done.timeline == timeline and segment <= done.start <= flushed
    start = segment
    if same and done is not None:
        if done.end >= flushed:
            return None
        full = done.end - done.start >= PIECE_BYTES
        start = done.end if full else done.start
    end = min(flushed, start + PIECE_BYTES)
    return Piece(timeline, start, end, time) if end > start else None


def assemble(pieces: Iterable[tuple[Piece, bytes]]) -> Mapping[str, tuple[Piece, bytes]]:
    """Whole segments, by name, from their pieces: as far as they go without a gap, then zeroes, as PostgreSQL leaves
    what it has not written. With each, its last piece."""
    found: dict[str, tuple[Piece, bytearray]] = {}
    for piece, wal in sorted(pieces, key=lambda item: (item[0].segment, item[0].start, item[0].end)):
        here = found.get(piece.segment)
        if here is None:
            if piece.offset == 0:
                found[piece.segment] = (piece, bytearray(wal))
            continue
        last, so_far = here
        if piece.offset <= len(so_far) < piece.offset + len(wal):
            so_far[piece.offset :] = wal
            last = piece
        found[piece.segment] = (last, so_far)
    return {
        name: (last, bytes(content) + bytes(SEGMENT_BYTES - len(content))) for name, (last, content) in found.items()
    }
