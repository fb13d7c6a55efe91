"""What has to happen to a copy's data before its PostgreSQL starts."""

from __future__ import annotations

from typing import Literal

Repair = Literal["restart", "rewind", "clone"]
"""What was asked for, with PostgreSQL stopped."""
Step = Literal["start", "rewind", "clone", "complete"]


def next_step(repair: Repair | None, *, leader: bool, torn: bool, corrupt: bool) -> Step:
    """What to do now. Pure.

    Rewinding and cloning are from the `leader`; `rewind` and `clone` wait for one. Where it is gone before that has
    begun, the data are what they were, and their vote may be needed for another: `start`. Not if they are `corrupt`.
    Where a rewind broke off (`torn`), the files are of two histories: `complete` them from any copy that has what the
    leader had then, since without this one there may never be a leader again.
    """
    if repair is None or repair == "restart":
        return "start"
    if leader:
        return repair
    if torn:
        return "complete"
    return "clone" if corrupt else "start"
