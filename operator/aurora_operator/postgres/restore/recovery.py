"""What can be restored from a repository, and how. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aurora_operator.api.base.base import to_second
from aurora_operator.api.base.lsn import format_lsn, parse_lsn, segment_name
from aurora_operator.api.spec.restore import RestoreTarget, parse_target_time
from aurora_operator.postgres.config.conf import setting
from aurora_operator.postgres.errors import NotRestorable
from aurora_operator.postgres.pgbackrest.info import BackupInfo, Stanza
from aurora_operator.postgres.wal.tail import Piece
from aurora_operator.postgres.wal.timeline import History, history_name


@dataclass(frozen=True, slots=True)
class Contents:
    """What a repository has of one database."""

    stanza: Stanza
    histories: Mapping[int, History] = field(default_factory=dict)
    """Of the newest timeline that was ever open, by number."""
    tail: Piece | None = None
    """The last piece of WAL that was stored, of the newest timeline."""


@dataclass(frozen=True, slots=True)
class Route:
    """From which backup, along which timeline, to what."""

    backup: BackupInfo
    history: History
    target: RestoreTarget


def line_of(contents: Contents) -> History:
    """The history of the newest leader: what the database's history is. Raises NotRestorable when there is none."""
    backups = contents.stanza.backups
    if not backups:
        raise NotRestorable(f"there is no backup of {contents.stanza.name} there, so nothing can be restored")
    newest = max([*contents.histories, max(b.timeline for b in backups)])
    return contents.histories.get(newest) or History(newest)


def on_line(backup: BackupInfo, history: History) -> bool:
    """Whether a backup is part of a history."""
    if backup.timeline == history.timeline:
        return True
    end = history.end_of(backup.timeline) if history.includes(backup.timeline) else None
    return end is not None and backup.stop_lsn <= end


def choose(contents: Contents, target: RestoreTarget, *, label: str | None = None) -> Route:
    """Where to begin, and how far to go. Raises NotRestorable with the range that is possible."""
    history = line_of(contents)
    usable = [b for b in contents.stanza.backups if on_line(b, history) and not b.error]
    if label is not None:
        usable = [b for b in usable if b.label == label]
    if not usable:
        raise NotRestorable(
            f"no usable backup {f'{label} ' if label else ''}of {contents.stanza.name} is there; there are "
            f"{', '.join(b.label for b in contents.stanza.backups) or 'none'}"
        )
    if target.time is not None:
        moment = parse_target_time(target.time)
        latest = contents.tail.time if contents.tail is not None else None
        fitting = [b for b in usable if b.stop < moment or (b.stop == moment and target.inclusive)]
        if not fitting or (latest is not None and moment > latest):
            raise NotRestorable(f"time {target.time} cannot be restored: {describe_range(usable, contents)}")
        return Route(fitting[-1], history, target)
    if target.lsn is not None:
        lsn = parse_lsn(target.lsn)
        fitting = [b for b in usable if b.stop_lsn <= lsn]
        if not fitting or (contents.tail is not None and lsn > contents.tail.end):
            raise NotRestorable(f"LSN {target.lsn} cannot be restored: {describe_range(usable, contents)}")
        return Route(fitting[-1], history, target)
    if target.name is not None or target.xid is not None:
        # Nothing says where it is: from the earliest, it is passed wherever it is.
        return Route(usable[0], history, target)
    return Route(usable[-1], history, target)


def resolve_stanza(name: str, stanzas: Iterable[Stanza]) -> str:
    """The stanza that is called so, or the only one of a cluster that was. Raises NotRestorable with what is there."""
    there = [s for s in stanzas if s.exists]
    if any(s.name == name for s in there):
        return name
    of_cluster = [s.name for s in there if re.fullmatch(f"{re.escape(name)}-[0-9a-f]{{8}}", s.name)]
    if len(of_cluster) == 1:
        return of_cluster[0]
    listed = ", ".join(f"{s.name} ({len(s.backups)} backups)" for s in there) or "none"
    why = f"has several of {name}" if of_cluster else f"has no {name}"
    raise NotRestorable(f"the destination {why}: restoreFrom.stanza can be one of these there: {listed}")


def describe_range(usable: Iterable[BackupInfo], contents: Contents) -> str:
    """What could be restored instead, for people."""
    first = next(iter(usable))
    text = f"possible is {to_second(first.stop)} (LSN {format_lsn(first.stop_lsn)})"
    if contents.tail is None:
        return f"{text} or later"
    return f"{text} to {to_second(contents.tail.time)} (LSN {format_lsn(contents.tail.end)})"


def recovery_settings(route: Route, restore_command: str) -> str:
    """What PostgreSQL is told for the recovery. It pauses at the target, so that it can be looked at."""
    target = route.target
    lines = [
        setting("restore_command", restore_command),
        setting("recovery_target_timeline", str(route.history.timeline)),
        setting("recovery_target_action", "pause"),
        setting("recovery_target_inclusive", "on" if target.inclusive else "off"),
        setting("primary_conninfo", ""),
        setting("primary_slot_name", ""),
        setting("synchronous_standby_names", ""),
        setting("archive_mode", "off"),
        # Ended at once when it is not found, and looked at often.
        setting("wal_retrieve_retry_interval", "1s"),
    ]
    if target.time is not None:
        lines.append(setting("recovery_target_time", parse_target_time(target.time).isoformat(" ")))
    elif target.lsn is not None:
        lines.append(setting("recovery_target_lsn", target.lsn))
    elif target.name is not None:
        lines.append(setting("recovery_target_name", target.name))
    elif target.xid is not None:
        lines.append(setting("recovery_target_xid", target.xid))
    return "\n".join(lines) + "\n"


def without_target(route: Route) -> Route:
    """The same route to the end of the WAL: PostgreSQL refuses to end a recovery whose target it has not met."""
    return replace(route, target=RestoreTarget())


def restore_script(history: History, places: Places, archive_get: Iterable[str], start: int = 0) -> str:
    """A shell script for restore_command, with the file's name and the place to put it as arguments.

    A segment in which, or before which, its timeline ended for this history is never taken: a leader that was deposed
    may have gone on writing there. What counts of it is in the next timeline's segment. Names of one timeline compare
    as text. No history but the target's, and those after it, is looked for, nor WAL of a timeline that ended before
    `start`, an LSN. Each segment that is given leaves its name in `places.served`. Raises ValueError.
    """
    needed = [switch for switch in history.switches if switch.lsn > start]
    limits = [segment_name(switch.parent, switch.lsn) for switch in needed]
    oldest = needed[0].parent if needed else history.timeline
    words = " ".join(_quote(word) for word in archive_get)
    tail, served = _quote(str(places.tail)), _quote(str(places.served))
    return "\n".join(
        [
            "#!/bin/sh",
            f"[ ! -e {_quote(str(places.frozen))} ] || exit 1",
            'case "$1" in',
            # Recovery asks for each number up to its target's (timeline.c, restoreTimeLineHistoryFiles), and needs
            # none: the target's history tells all, and the archive takes its time to say no.
            f'*.history) [ ! "$1" \\< {history_name(history.timeline)} ] || exit 1 ;;',
            *(f'{limit[:8]}????????????????) [ "$1" \\< {limit} ] || exit 1 ;;' for limit in limits),
            f'*) [ ! "$1" \\< {oldest:08X} ] || exit 1 ;;',
            "esac",
            f'if {words} archive-get "$1" "$2" || {{ [ -f {tail}/"$1" ] && cp {tail}/"$1" "$2"; }}; then',
            f'  : > {served}/"$1"',
            "else",
            "  exit 1",
            "fi",
            "",
        ]
    )


@dataclass(frozen=True, slots=True)
class Places:
    """Where a restore works, below one folder of the volume."""

    root: Path

    @property
    def tail(self) -> Path:
        """The WAL that fills no segment, as segments."""
        return self.root / "tail"

    @property
    def served(self) -> Path:
        """Empty files, called as the segments that recovery was given."""
        return self.root / "served"

    @property
    def frozen(self) -> Path:
        """While it exists, recovery is given nothing more."""
        return self.root / "frozen"

    @property
    def script(self) -> Path:
        """What restore_command runs."""
        return self.root / "restore.sh"


def last_segment(contents: Contents, history: History) -> str | None:
    """The segment with which the WAL ends, as far as it was known when the restore began."""
    if contents.tail is not None and contents.tail.timeline == history.timeline:
        return contents.tail.segment
    return contents.stanza.archive_max


def _quote(word: str) -> str:
    if "'" in word:
        raise ValueError(f"a path with a quote: {word}")
    return f"'{word}'"
