"""A directory of WAL that pg_receivewal fills: what is in it, how far it goes, and keeping it to one history."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name
from aurora_operator.consensus.types import Position
from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.files import entries, fsync_directory, like_parent, make_directory, steadily
from aurora_operator.postgres.wal.pg_wal import read_history_file
from aurora_operator.postgres.wal.timeline import History, history_name, parse_history_name
from aurora_operator.postgres.wal.wal_end import WalEnd

PARTIAL: Final = ".partial"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file of WAL. `first` is the LSN of its first byte; a `.partial` one is still being filled."""

    timeline: int
    first: int
    path: Path

    @property
    def partial(self) -> bool:
        """Whether pg_receivewal has not completed it."""
        return self.path.suffix == PARTIAL

    @property
    def end(self) -> int:
        """The LSN after its last byte."""
        return self.first + SEGMENT_BYTES


def segments(folder: Path) -> list[Segment]:
    """The segment files by (timeline, LSN). A file that was not yet made whole (see `remove_stubs`) is none."""

    def look() -> list[Segment]:
        found = []
        for entry in entries(folder):
            name = parse_segment_name(entry.name)
            if name is not None and entry.is_file() and entry.stat().st_size == SEGMENT_BYTES:
                found.append(Segment(*name, Path(entry.path)))
        return sorted(found)

    return steadily(look)


def history_numbers(folder: Path) -> list[int]:
    """The timelines whose history files are there, in order."""
    found = (parse_history_name(entry.name) for entry in entries(folder))
    return sorted(t for t in found if t is not None)


def history_of(folder: Path, timeline: int) -> History | None:
    """What is there of a timeline's history; None where there is none. Raises DataError for a damaged file."""
    return History(1) if timeline == 1 else read_history_file(folder / history_name(timeline), timeline)


def owner(history: History, lsn: int) -> int:
    """The timeline, of a history, that the byte before `lsn` belongs to. Pure."""
    begun = sum(1 for switch in history.switches if switch.lsn < lsn)
    return history.switches[begun].parent if begun < len(history.switches) else history.timeline


async def position(folder: Path, ends: WalEnd) -> Position:
    """How far the WAL in a folder goes: the end of its newest whole record, and that record's timeline.

    The newest timeline of which there is more than the parent's bytes, with which its first segment begins.
    (0, 0) for an empty folder. Raises DataError when a timeline's history is not there, ToolError, OSError.
    """
    found = segments(folder)
    best = Position(0, 0)
    for timeline in sorted({s.timeline for s in found}, reverse=True):
        history = await asyncio.to_thread(history_of, folder, timeline)
        if history is None or history.placeholder:
            raise DataError(f"there is WAL of timeline {timeline}, but no history of it")
        end = await ends.find(timeline, {s.first: s.path for s in found if s.timeline == timeline})
        if end is None:
            continue
        at = owner(history, end)
        best = max(best, Position(at, end))
        if at == timeline:
            break
    return best


def fsync_newest(folder: Path) -> None:
    """Make durable what a receiver that was killed has written: its newest file of each timeline. Raises OSError."""
    newest = {s.timeline: s for s in segments(folder)}
    for segment in newest.values():
        _fsync(segment.path)
    if newest:
        fsync_directory(folder)


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_stubs(folder: Path) -> list[str]:
    """With the receiver gone: remove `.partial` files that a full volume kept from getting their size.

    pg_receivewal fills a new file with zeros before it writes WAL to it, and refuses to go on with one that it could
    not fill. Anything but zeros in it is left alone. Returns the names. Raises OSError.
    """
    removed = []
    for path in sorted(folder.glob("*" + PARTIAL)):
        size = path.stat().st_size
        if 0 < size < SEGMENT_BYTES and parse_segment_name(path.name) is not None and _zeros(path, 0):
            path.unlink()
            removed.append(path.name)
    return removed


def _zeros(path: Path, offset: int) -> bool:
    # A comparison reads a segment's 16 MiB in 4 ms; stripping zeros takes twenty times as long, for each timeline that
    # ended within a segment, while a new leader waits.
    zeros = bytes(_CHUNK)
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK):
            if chunk != (zeros if len(chunk) == _CHUNK else bytes(len(chunk))):
                return False
    return True


def foreign(found: Iterable[Segment], leader: History) -> tuple[list[Segment], list[tuple[Segment, int]]]:
    """What is not part of a leader's history: whole segments, and segments of which all from an LSN on is not. Pure."""
    whole: list[Segment] = []
    cut: list[tuple[Segment, int]] = []
    for segment in found:
        end = leader.end_of(segment.timeline) if leader.includes(segment.timeline) else 0
        if end is None or segment.end <= end:
            continue
        if segment.first >= end:
            whole.append(segment)
        else:
            cut.append((segment, end))
    return whole, cut


def conform(folder: Path, leader: History, keep: Path) -> list[str]:
    """With the receiver gone: put aside in `keep` all that is not part of the leader's history; returns what.

    What is part of it stays where it is at every moment, so that this copy's position never goes back below it.
    Only for a leader that has been promoted: all acknowledged commits are in its history then.
    Raises OSError (a full volume, say), with nothing lost.
    """
    whole, cut = foreign(segments(folder), leader)
    cut = [(segment, end) for segment, end in cut if not _zeros(segment.path, end - segment.first)]
    strangers = [folder / history_name(t) for t in history_numbers(folder) if not leader.includes(t)]
    if not (whole or cut or strangers):
        return []
    make_directory(keep)
    for segment, end in cut:
        _copy(segment.path, keep / segment.path.name)
        fsync_directory(keep)
        _cut(folder, segment, end)
    for path in (*(s.path for s in whole), *strangers):
        path.rename(keep / path.name)
    for directory in (keep, keep.parent, folder):
        fsync_directory(directory)
    return sorted(path.name for path in (*(s.path for s in whole), *(s.path for s, _ in cut), *strangers))


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(target.name + ".tmp")
    with source.open("rb") as old, temporary.open("wb") as new:
        while chunk := old.read(_CHUNK):
            new.write(chunk)
        new.flush()
        os.fsync(new.fileno())
    like_parent(temporary)
    temporary.rename(target)


def _cut(folder: Path, segment: Segment, end: int) -> None:
    """Replace a segment by itself with zeros from `end` on; as a `.partial` one, with which the receiver begins."""
    name = segment.path.name.removesuffix(PARTIAL)
    temporary = folder / (name + ".cut")
    size = end - segment.first
    with segment.path.open("rb") as old, temporary.open("wb") as new:
        new.write(old.read(size))
        for offset in range(size, SEGMENT_BYTES, _CHUNK):
            new.write(bytes(min(_CHUNK, SEGMENT_BYTES - offset)))
        new.flush()
        os.fsync(new.fileno())
    like_parent(temporary)
    temporary.rename(folder / (name + PARTIAL))
    if not segment.partial:
        segment.path.unlink()
    fsync_directory(folder)


def prunable(found: Iterable[Segment], needed: int, keep_bytes: int) -> list[Segment]:
    """Segments that nobody needs who has all before `needed`, except the newest `keep_bytes` before it. Pure."""
    everything = list(found)
    newest = max(everything, key=lambda s: (s.first, s.timeline), default=None)
    return [s for s in everything if s is not newest and s.end + keep_bytes <= needed]


def prune(folder: Path, needed: int, keep_bytes: int) -> int:
    """Remove `prunable` segments. Returns how many. Raises OSError."""
    old = prunable(segments(folder), needed, keep_bytes)
    for segment in old:
        segment.path.unlink()
    return len(old)


def prune_histories(folder: Path) -> int:
    """Remove `prunable_histories`. Returns how many. Raises OSError."""
    old = prunable_histories(history_numbers(folder), segments(folder))
    for timeline in old:
        (folder / history_name(timeline)).unlink(missing_ok=True)
    return len(old)


def prunable_histories(known: Iterable[int], found: Iterable[Segment]) -> list[int]:
    """Timelines that are older than all WAL here: nobody asks for their histories, and those of later ones tell them.

    None where there is no WAL. Pure.
    """
    oldest = min((s.timeline for s in found), default=0)
    return [t for t in known if t < oldest]


def needed_by(flushed: Mapping[str, int], instances: Iterable[str], own: int) -> int:
    """The LSN before which each of `instances` has all, by what it has flushed; 0 when one has not said. Pure."""
    return min((flushed.get(name, 0) for name in instances), default=own)
