"""A line of the server's log: whose it is, and what it says. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "%m [%p] %b %e %q%u@%d %a "
"""`log_line_prefix`: when, process, kind of process, SQLSTATE; for sessions also user, database and application.

What a client can choose comes last. PostgreSQL indents what follows a line's end within a message; within a user's or
a database's name it does not.
"""
_OWN: Final = frozenset(
    {
        "postmaster",
        "startup",
        "checkpointer",
        "background writer",
        "walwriter",
        "walreceiver",
        "archiver",
        "walsummarizer",
        "slotsync worker",
        "logger",
        "standalone backend",
        "logical replication launcher",
        "autovacuum launcher",
    }
)
"""Kinds of processes (`pg_stat_activity.backend_type`) in which no client's text is."""
_PREFIX: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \w+ \[\d+\] (?:(\w[\w ]*?) [0-9A-Z]{5} )?", re.ASCII)
_LEVELS: Final = ("FATAL:", "PANIC:")


def kind(line: str) -> str | None:
    """Which kind of process wrote a line; None where that does not stand there."""
    match = _PREFIX.match(line)
    return match[1] if match is not None else None


def is_own(line: str, *, configured: bool) -> bool:
    """Whether the server itself wrote a line, and no session. `configured`: its lines show their kinds by now.

    A line without a kind is the postmaster's as long as it has not read its files: it takes no connections then.
    """
    of = kind(line)
    return of in _OWN if of is not None else not configured


def complaint(lines: Sequence[str]) -> str:
    """The newest FATAL or PANIC message, or the newest line."""
    for line in reversed(lines):
        for level in _LEVELS:
            if level in line:
                return line.partition(level)[2].strip()
    return lines[-1] if lines else ""
