"""What a new writer must hand to the archive, from what lies in pg_wal. Decisions are pure; the rest moves marks.

PostgreSQL marks a segment that waits for the archive with `archive_status/NAME.ready`, and one that is there with
`NAME.done`. A standby marks all that it receives as done, since the writer archives it. A writer that dies may not
have come to it: the next one must. And the piece of a segment that it died in is renamed `.partial` by the promotion:
all that counts of it is in the new timeline's segment, and two leaders that follow each other may have different ones
of the same name, so it never goes into the archive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name, segment_name
from aurora_operator.postgres.files import fsync_directory, like_parent
from aurora_operator.postgres.wal.timeline import History

PARTIAL: Final = ".partial"


def complete_segments(history: History, present: Iterable[str]) -> tuple[str, ...]:
    """Of the segment files `present` on a leader whose timeline is `history`'s: those of its ancestors that are full
    and wholly part of its history, in order."""
    found = []
    for name in present:
        parsed = parse_segment_name(name)
        if parsed is None or name.endswith(PARTIAL):
            continue
        timeline, first = parsed
        if timeline == history.timeline or not history.includes(timeline):
            continue
        end = history.end_of(timeline)
        if end is not None and first + SEGMENT_BYTES <= end:
            found.append(name)
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Handover:
    """What to do with the marks: `archive` these, forget about those, and what is missing between."""

    archive: tuple[str, ...]
    forget: tuple[str, ...]
    gap: str | None = None
    """The first segment that is neither in the archive nor here: what comes after cannot be reached from before."""


def hand_over(history: History, present: Collection[str], archived: Collection[str], newest: str | None) -> Handover:
    """For a leader that begins. `archived` are segments known to be in the archive, `newest` the newest of the whole
    archive that is part of this history, if any."""
    own = complete_segments(history, present)
    forget = tuple(sorted(n for n in present if n.endswith(PARTIAL)))
    archive = tuple(n for n in own if n not in archived)
    return Handover(archive, forget, _gap(history, own, newest))


def _gap(history: History, own: tuple[str, ...], newest: str | None) -> str | None:
    """The segment after the newest archived one, if neither it nor a later timeline's part of it is here."""
    if newest is None:
        return None
    parsed = parse_segment_name(newest)
    if parsed is None or not history.includes(parsed[0]):
        return None
    following = parsed[1] + SEGMENT_BYTES
    current = (history.start - 1) // SEGMENT_BYTES * SEGMENT_BYTES if history.start else 0
    if following >= current:
        return None
    timeline = timeline_at(history, following)
    name = segment_name(timeline, following)
    return None if name in own else name


def timeline_at(history: History, lsn: int) -> int:
    """The timeline whose segment file holds `lsn` for somebody who follows `history`: of several that share the
    segment, the newest."""
    segment_end = lsn // SEGMENT_BYTES * SEGMENT_BYTES + SEGMENT_BYTES
    for switch in history.switches:
        if segment_end <= switch.lsn:
            return switch.parent
    return history.timeline


def mark(pgdata: Path, handover: Handover) -> None:
    """Carry a handover out, while PostgreSQL has no archive command. Raises OSError."""
    status = pgdata / "pg_wal" / "archive_status"
    for name in handover.forget:
        ready = status / f"{name}.ready"
        if ready.exists():
            ready.rename(status / f"{name}.done")
    for name in handover.archive:
        ready, done = status / f"{name}.ready", status / f"{name}.done"
        if done.exists():
            done.rename(ready)
        elif not ready.exists():
            ready.touch(mode=0o600)
            like_parent(ready)
    fsync_directory(status)


def names_present(pgdata: Path) -> list[str]:
    """Names of the segment files in pg_wal, `.partial` ones included."""
    return [path.name for path in (pgdata / "pg_wal").iterdir() if parse_segment_name(path.name) is not None]


def waiting(pgdata: Path) -> int:
    """How many files wait for the archive."""
    return sum(1 for path in (pgdata / "pg_wal" / "archive_status").glob("*.ready") if PARTIAL not in path.name)
