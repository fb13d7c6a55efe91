"""Which timeline history files lie in pg_wal: what a follower is given beforehand, and what is removed again.

PostgreSQL itself removes none. What it reads (PostgreSQL 17), and so what must be there:

- the history of the timeline that it is on, which tells those of all ancestors (timeline.c, readTimeLineHistory);
- when it starts or is promoted, each number from the timeline in pg_control on: it goes up one by one, and stops at
  the first that has no file (findNewestTimeLine);
- when it follows, each number from the timeline where it asks for WAL to the leader's (walreceiver.c,
  WalRcvFetchTimeLineHistoryFiles): where one is missing, it asks the leader's pg_wal, and gives up without it.

The first two lie at or above pg_control's timeline, the third above the copy's own: its agent has them made before it
follows, from the leader's history. So all below is of no use to this copy, nor to others whose agents do the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import parse_segment_name
from aurora_operator.postgres.files import entries, write_durably
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.timeline import History, history_name, parse_history_name, render_history

KEPT_ANCESTORS: Final = 8
"""So many of the newest ancestors keep their files, and the numbers after the oldest of them their placeholders:
agents of the last release make fewer files themselves, and have PostgreSQL fetch the others."""
KEPT_NUMBERS: Final = 1024
"""No more placeholders are kept than this, however many numbers failed elections have taken."""
AT_ONCE: Final = 2000
"""No more files are removed in one go than this: a volume that has tens of thousands is rid of them in minutes."""


@dataclass(frozen=True, slots=True)
class Found:
    """Names in pg_wal, as numbers of timelines."""

    histories: Mapping[int, int]
    """Size of each history file, in bytes; 0 for a placeholder."""
    segments: frozenset[int]
    """Timelines with a file of WAL."""
    waiting: frozenset[int]
    """Timelines whose history waits for the archive."""
    archived: frozenset[int]
    """Timelines whose history is marked as archived, or as another's to archive; its file may be gone."""


def obsolete(found: Found, current: History, control: int) -> tuple[int, ...]:
    """Timelines whose history files no reader needs any more, oldest first. Pure.

    `current` is the history of the timeline that this copy is on, `control` the timeline of pg_control's checkpoint.
    A file goes only if all of this holds:

    1. its number is below `control`, so that no start, no crash recovery and no promotion here looks for it;
    2. it is below the last `KEPT_ANCESTORS` of `current`, or, if it is a placeholder, below the last `KEPT_NUMBERS`;
    3. there is no WAL of it in pg_wal: whoever reads that needs to know where the timeline began;
    4. it does not wait for the archive.

    What was an ancestor's can be made again from `current`; nobody goes back to a branch that `current` is not on.
    """
    ancestors = current.switches
    oldest = ancestors[-KEPT_ANCESTORS].parent if len(ancestors) >= KEPT_ANCESTORS else 0
    placeholders = max(oldest, current.timeline - KEPT_NUMBERS)
    return tuple(
        number
        for number, size in sorted(found.histories.items())
        if number < min(control, oldest if size else placeholders)
        and number not in found.segments
        and number not in found.waiting
    )


def look(pgdata: Path) -> Found:
    """What is in pg_wal. Raises OSError."""
    histories: dict[int, int] = {}
    segments: set[int] = set()
    for entry in entries(pgdata / "pg_wal"):
        number = parse_history_name(entry.name)
        segment = parse_segment_name(entry.name) if number is None else None
        if number is not None:
            histories[number] = entry.stat().st_size
        elif segment is not None:
            segments.add(segment[0])
    marks: dict[str, set[int]] = {".ready": set(), ".done": set()}
    for entry in entries(_marks(pgdata)):
        path = Path(entry.name)
        number = parse_history_name(path.stem)
        if number is not None and path.suffix in marks:
            marks[path.suffix].add(number)
    return Found(histories, frozenset(segments), frozenset(marks[".ready"]), frozenset(marks[".done"]))


def _marks(pgdata: Path) -> Path:
    return pgdata / "pg_wal" / "archive_status"


def tidy(pgdata: Path, timeline: int, control: int) -> int:
    """Remove what is `obsolete` on a copy whose newest WAL is of `timeline`; returns how many files, `AT_ONCE` at most.

    PostgreSQL may run. A file that comes back after a crash of the machine is removed again. Raises DataError, OSError.
    """
    current = pg_wal.read_history(pgdata, timeline)
    if current is None or current.placeholder:
        return 0
    found = look(pgdata)
    gone = obsolete(found, current, control)[:AT_ONCE]
    for number in gone:
        (pgdata / "pg_wal" / history_name(number)).unlink(missing_ok=True)
    stale = {n for n in found.archived if n < control and n not in found.histories} | (found.archived & set(gone))
    for number in sorted(stale)[:AT_ONCE]:
        (_marks(pgdata) / f"{history_name(number)}.done").unlink(missing_ok=True)
    return len(gone)


def missing(known: Collection[int], timeline: int, leader: History) -> dict[int, str]:
    """Contents of the history files that a copy on `timeline` lacks to follow `leader`, highest first. Pure.

    All between the two; the leader's own it fetches itself, once it is connected.
    """
    ancestors = set(leader.ancestors_above(timeline))
    return {
        number: render_history(leader.ancestor(number)) if number in ancestors else ""
        for number in range(leader.timeline - 1, max(timeline, 1), -1)
        if number not in known
    }


def prepare_to_follow(pgdata: Path, timeline: int, leader: History) -> list[int]:
    """Before following `leader` from `timeline`: make the files that PostgreSQL would fetch from there one by one, or
    would not find there any more. Returns their numbers. Raises OSError.

    Placeholders come last: recovery, which looks all the time, finds the gap filled only when all files are there.
    """
    wanted = missing(frozenset(pg_wal.read_history_numbers(pgdata)), timeline, leader)
    for number, text in wanted.items():
        if text:
            write_durably(pgdata / "pg_wal" / history_name(number), text)
    pg_wal.touch_histories(pgdata, (number for number, text in wanted.items() if not text))
    return sorted(wanted)


def prepare_to_receive(folder: Path, leader: History, present: Iterable[int]) -> list[int]:
    """Likewise for a folder that pg_receivewal fills: it asks for the history of each timeline that it comes to.

    `present` are the timelines with WAL there. The leader's own it fetches itself. Returns the numbers written. Raises
    OSError.
    """
    newest = max((t for t in present if leader.includes(t)), default=leader.timeline)
    known = {parse_history_name(entry.name) for entry in entries(folder)}
    wanted = [t for t in leader.ancestors_above(newest - 1) if t > 1 and t not in known]
    for number in wanted:
        write_durably(folder / history_name(number), render_history(leader.ancestor(number)))
    return wanted
