"""Timeline history files, and what they say about who may follow whom. Pure.

A timeline's number is the epoch of the leader that wrote it. Numbers are not contiguous, but PostgreSQL promotes
onto the number after the last contiguous `*.history` file that it finds (timeline.c, findNewestTimeLine), so the
numbers between are filled with placeholders: empty files, which name no ancestor. A standby that meets a placeholder
refuses it ("not a child of"), so it can never become a recovery target by mistake, as a file with an invented switch
point could. A follower needs a file for every number between its timeline and the leader's, and has them put there by
its agent. A timeline's history tells those of all its ancestors, so that their files can be made again from it: see
`history_files`, which removes what is not needed any more.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from aurora_operator.api.base.lsn import format_lsn, parse_lsn

_HISTORY_NAME: Final = re.compile(r"([0-9A-F]{8})\.history", re.ASCII)
_LINE: Final = re.compile(r"(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)(?:\s+(.*))?", re.ASCII)


class Switch(NamedTuple):
    """The end of a parent timeline: its last byte is the one before `lsn`."""

    parent: int
    lsn: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """A timeline and its ancestors, oldest first. Timeline 1 and placeholders have no ancestors."""

    timeline: int
    switches: tuple[Switch, ...] = ()

    @property
    def placeholder(self) -> bool:
        """Whether it only fills a number."""
        return self.timeline > 1 and not self.switches

    @property
    def start(self) -> int:
        """Where this timeline began; 0 for the first."""
        return self.switches[-1].lsn if self.switches else 0

    @property
    def timelines(self) -> tuple[int, ...]:
        """Its ancestors and itself, oldest first."""
        return (*(s.parent for s in self.switches), self.timeline)

    def _index(self, timeline: int) -> int:
        """How many ancestors are older. Found by halves: one history may have thousands."""
        return bisect_left(self.switches, timeline, key=lambda switch: switch.parent)

    def includes(self, timeline: int) -> bool:
        """Whether a timeline is this one, or an ancestor of it."""
        at = self._index(timeline)
        return timeline == self.timeline or (at < len(self.switches) and self.switches[at].parent == timeline)

    def end_of(self, timeline: int) -> int | None:
        """Where this history leaves an ancestor; None for the timeline itself. KeyError for a stranger."""
        if timeline == self.timeline:
            return None
        if not self.includes(timeline):
            raise KeyError(timeline)
        return self.switches[self._index(timeline)].lsn

    def ancestor(self, timeline: int) -> History:
        """The history of an ancestor, or its own, as this one tells it. KeyError for a stranger."""
        if not self.includes(timeline):
            raise KeyError(timeline)
        return History(timeline, self.switches[: self._index(timeline)])

    def ancestors_above(self, timeline: int) -> tuple[int, ...]:
        """Its ancestors with a higher number than this, oldest first."""
        return tuple(s.parent for s in self.switches[self._index(timeline + 1) :])

    def contiguous(self) -> bool:
        """Whether no ancestor ends before it began; a history that fails this must not be followed."""
        lsns = [s.lsn for s in self.switches]
        return lsns == sorted(lsns)


def straightened(history: History) -> History:
    """A history without the timelines that its last step left out.

    A recovery that aims at a timeline, and ends before that began, is recorded by PostgreSQL as a child of it
    (xlog.c, writeTimeLineHistory), from a point where its parent still was.
    """
    if history.contiguous():
        return history
    end = history.switches[-1].lsn
    parents = [s for s in history.switches if s.lsn < end]
    here = next(s for s in history.switches if s.lsn >= end)
    return History(history.timeline, (*parents, Switch(here.parent, end, history.switches[-1].reason)))


def history_name(timeline: int) -> str:
    """Name of a timeline's history file."""
    return f"{timeline:08X}.history"


def parse_history_name(name: str) -> int | None:
    """The timeline of a history file's name; None for other files."""
    match = _HISTORY_NAME.fullmatch(name)
    return int(match[1], 16) if match else None


def parse_history(timeline: int, text: str) -> History:
    """Read a history file's text by PostgreSQL's rules. Raises ValueError."""
    switches: list[Switch] = []
    reasons: dict[str, str] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise ValueError(f"not a line of a timeline history: {line!r}")
        reason = match[3] or ""
        # One string for all that say the same: a long history takes a third of the memory.
        switches.append(Switch(int(match[1]), parse_lsn(match[2]), reasons.setdefault(reason, reason)))
    numbers = [*(s.parent for s in switches), timeline]
    if any(a >= b for a, b in pairwise(numbers)):
        raise ValueError(f"timelines do not increase in the history of {timeline}: {numbers}")
    return History(timeline, tuple(switches))


def render_history(history: History) -> str:
    """A history file's text as PostgreSQL writes it; empty for a placeholder."""
    return "\n".join(f"{s.parent}\t{format_lsn(s.lsn)}\t{s.reason}\n" for s in history.switches)


def divergence(leader: History, timeline: int, lsn: int) -> int | None:
    """Where a copy at (`timeline`, `lsn`) left the leader's history; None if all that it has is part of it.

    The leader's own timeline has no end here: its followers cannot be ahead of it. KeyError when the copy's
    timeline is not an ancestor: then only pg_rewind can find the common ground.
    """
    end = leader.end_of(timeline)
    return end if end is not None and lsn > end else None


def is_part(history: History, timeline: int, lsn: int) -> bool:
    """Whether all that a copy at (`timeline`, `lsn`) has is part of a history."""
    return history.includes(timeline) and divergence(history, timeline, lsn) is None


Follow = Literal["stream", "restart", "rewind"]


def how_to_follow(leader: History, timeline: int, lsn: int, local: Mapping[int, History]) -> Follow:
    """What a standby at (`timeline`, `lsn`) must do to stream from a leader.

    - `stream`: change primary_conninfo and reload.
    - `restart`: its history fits, but by `local`, the history files in its pg_wal, PostgreSQL may aim at a timeline
      that is not the leader's, or has another file in the place of one of the leader's (which it then never
      fetches): it must be stopped, cleaned (`wal.clean_future_histories`) and started.
    - `rewind`: it has WAL that the leader's history has not.
    """
    if not is_part(leader, timeline, lsn):
        return "rewind"
    hidden = any(t > timeline and leader.includes(t) and local[t] != leader.ancestor(t) for t in local)
    return "restart" if hidden or adoptable(local.values(), timeline, lsn, leader) else "stream"


def adoptable(histories: Iterable[History], timeline: int, lsn: int, besides: History | None = None) -> list[int]:
    """Timelines that a standby at (`timeline`, `lsn`) may have taken for its recovery target, but none of `besides`.

    PostgreSQL takes the newest contiguous one that branched off its own timeline at or after what it has replayed
    (xlogrecovery.c, rescanLatestTimeLine). If it is promoted then, its history names that one as the parent, from
    a switch point that this copy may never have reached: so never promote while this is not empty, and restart.
    """
    found = []
    for history in histories:
        known = besides is not None and besides.includes(history.timeline)
        if history.timeline > timeline and not known and history.includes(timeline):
            end = history.end_of(timeline)
            if end is not None and end >= lsn:
                found.append(history.timeline)
    return sorted(found)
