"""What a copy's pg_wal says about timelines, and the history files that are put there and taken away."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name, segment_name
from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.files import fsync_directory, like_parent
from aurora_operator.postgres.server.control import read_control
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal.timeline import History, adoptable, history_name, parse_history, parse_history_name

_PAGE_HEADER: Final = struct.Struct("=HHIQ")
"""Magic number, flags, timeline, LSN."""
LINKS: Final = 10_000
"""Names that one empty file gets at most; ext4 and btrfs allow some 65,000."""
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV})
"""What file systems say that know no hard links, or have enough of them."""


def _wal(pgdata: Path) -> Path:
    return pgdata / "pg_wal"


def segments(pgdata: Path) -> Iterator[tuple[int, int, Path]]:
    """(timeline, first LSN, path) of each WAL segment file, in no order."""
    for path in _wal(pgdata).iterdir():
        found = parse_segment_name(path.name)
        if found is not None:
            yield (*found, path)


def segment_end(first: int) -> int:
    """The LSN after a segment's last byte. Pure."""
    return first + SEGMENT_BYTES


def timelines_in_segment(pgdata: Path, lsn: int) -> int:
    """How many timelines have a file of the segment in which this LSN is, be it `.partial`. Raises OSError."""
    ending = segment_name(0, lsn)[8:]
    found = (path.name.removesuffix(".partial") for path in _wal(pgdata).iterdir())
    return len({name for name in found if name.endswith(ending) and parse_segment_name(name) is not None})


def is_written(path: Path, first: int) -> bool:
    """Whether a segment file holds WAL from `first` on. PostgreSQL also keeps old files under names to come.

    The first page of a segment says which LSN it is of (xlog_internal.h, XLogPageHeaderData). Raises OSError.
    """
    with path.open("rb") as file:
        header = file.read(_PAGE_HEADER.size)
    return len(header) == _PAGE_HEADER.size and _PAGE_HEADER.unpack(header)[3] == first


def read_history(pgdata: Path, timeline: int) -> History | None:
    """A timeline's history as this copy has it; None if it has none. Timeline 1 needs no file. Raises DataError."""
    if timeline == 1:
        return History(1)
    return read_history_file(_wal(pgdata) / history_name(timeline), timeline)


def read_history_file(path: Path, timeline: int) -> History | None:
    """What a history file says; None if it is not there. Raises DataError.

    One that has not changed is not read again: after thousands of leaderships it has as many lines.
    """
    try:
        stat = path.stat()
        return (
            _parsed(path, timeline, stat.st_ino, stat.st_size, stat.st_mtime_ns) if stat.st_size else History(timeline)
        )
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path.name}: {error}") from error


@lru_cache(maxsize=4)
def _parsed(path: Path, timeline: int, inode: int, size: int, changed: int) -> History:
    """By the file's identity, as far as there is one."""
    return parse_history(timeline, path.read_text(errors="replace"))


def read_histories(pgdata: Path, above: int = 0) -> dict[int, History]:
    """The timelines above a number whose history files are in pg_wal, placeholders included. Raises DataError."""
    found: dict[int, History] = {}
    for timeline in read_history_numbers(pgdata):
        if timeline > above and (history := read_history(pgdata, timeline)) is not None:
            found[timeline] = history
    return found


def local_timeline(pgdata: Path, lsn: int) -> int:
    """The timeline on which this copy's WAL holds the byte before `lsn`, which the server has received or replayed.

    That is the highest number that has a segment file with that byte and began (by its history) before `lsn`.
    A segment of a new timeline begins with a copy of the old one's bytes: up to the switch they are the old one's.
    Raises DataError when no file holds it.
    """
    if lsn <= 0:
        raise ValueError(f"no byte before LSN {lsn}")
    last = (lsn - 1) // SEGMENT_BYTES * SEGMENT_BYTES
    here = sorted({t for t, first, _ in segments(pgdata) if first == last}, reverse=True)
    for timeline in here:
        history = read_history(pgdata, timeline)
        if history is not None and not history.placeholder and history.start < lsn:
            return timeline
    raise DataError(f"no file in pg_wal holds the byte before {segment_name(1, lsn - 1)[8:]}")


def own_timelines(pgdata: Path, checkpoint: int, min_recovery: int) -> int:
    """The highest timeline of which this copy has data: in pg_control or as a segment file."""
    return max(checkpoint, min_recovery, 1, *(t for t, _, _ in segments(pgdata)))


async def clean_future_histories(tools: Tools, pgdata: Path) -> list[int]:
    """With PostgreSQL down: remove history files above every timeline that this copy has data of; returns them.

    They are placeholders of a promotion that never happened, or were fetched from a leader of which no WAL came.
    A server that starts with them aims at the newest ("requested timeline is not a child of this server's history").
    A real one that is needed is fetched again. Raises DataError, ToolError.
    """
    control = await read_control(tools, pgdata)
    highest = own_timelines(pgdata, control.checkpoint_timeline, control.min_recovery_timeline)
    removed = sorted(t for t in read_history_numbers(pgdata) if t > highest)
    for timeline in removed:
        (_wal(pgdata) / history_name(timeline)).unlink()
    if removed:
        fsync_directory(_wal(pgdata))
    return removed


def read_history_numbers(pgdata: Path) -> list[int]:
    """Timelines whose history files are in pg_wal, in order, whatever is in them."""
    found = (parse_history_name(path.name) for path in _wal(pgdata).iterdir())
    return sorted(t for t in found if t is not None)


def needs_restart_to_promote(pgdata: Path, timeline: int, lsn: int) -> bool:
    """Whether a promotion now might record a parent that this copy never was on: see `timeline.adoptable`.

    Then stop, `clean_future_histories`, start, and promote. Raises DataError.
    """
    return bool(adoptable(read_histories(pgdata, above=timeline).values(), timeline, lsn))


def touch_histories(pgdata: Path, timelines: Iterable[int]) -> None:
    """Make placeholders, where nothing is yet. Raises OSError.

    They are names of one empty file, which takes a sixth of the time that a file each takes: a candidate makes as many
    as failed elections have taken. Only pg_rewind writes into files that it finds: see `part_histories`.
    """
    folder, shared = str(_wal(pgdata)), _wal(pgdata) / "placeholder.shared"
    for number, timeline in enumerate(timelines):
        if number % LINKS == 0:
            _new_placeholder(pgdata, "shared")
        name = f"{folder}/{history_name(timeline)}"  # a Path each would take longer than the rest
        try:
            os.link(f"{folder}/placeholder.shared", name)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _new_placeholder(pgdata, "alone").rename(name)
    shared.unlink(missing_ok=True)


def _new_placeholder(pgdata: Path, suffix: str) -> Path:
    # Recovery looks all the time: under its name, it must be the server's own at once.
    new = _wal(pgdata) / f"placeholder.{suffix}"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    like_parent(new)
    return new


def part_histories(pgdata: Path) -> None:
    """With PostgreSQL down: make each placeholder a file of its own. Raises OSError."""
    for timeline in read_history_numbers(pgdata):
        name = _wal(pgdata) / history_name(timeline)
        if name.stat().st_nlink > 1:
            _new_placeholder(pgdata, "alone").rename(name)


def write_placeholders(pgdata: Path, above: int, epoch: int) -> list[int]:
    """Make PostgreSQL promote exactly onto timeline `epoch`: fill the numbers between `above` and it.

    `above` is the timeline that the standby is on now. Returns the numbers written. Raises DataError when `epoch`
    is not above all that this copy knows: a promotion would then take another number.
    """
    numbers = read_history_numbers(pgdata)
    if epoch <= above or any(t >= epoch for t in numbers):
        raise DataError(f"timeline {epoch} cannot be the next: this copy is on {above} and knows {numbers[-3:]}")
    known = frozenset(numbers)
    missing = [t for t in range(max(above + 1, 2), epoch) if t not in known]
    touch_histories(pgdata, missing)
    # Empty files are durable with their names, which PostgreSQL sees to when it adds the history file of the new
    # timeline to the same directory: nothing to wait for on the way of a failover.
    return missing
