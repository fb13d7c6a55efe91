"""What has to happen to a copy's data before its PostgreSQL starts."""

from __future__ import annotations

from typing import Final, Literal

Repair = Literal["restart", "rewind", "clone"]
"""What was asked for, with PostgreSQL stopped."""
Step = Literal["start", "rewind", "clone", "complete"]

SHORT_SECONDS: Final = 60.0
ENDS_BEFORE_CLONE: Final = 3


class Ends:
    """Tells a standby that cannot replay what comes next from one that is killed now and then. Pure."""

    def __init__(self) -> None:
        """None has been seen."""
        self._at: list[int] = []

    def ended(self, code: int, lsn: int, seconds: float, *, led: bool) -> bool:
        """PostgreSQL has ended by itself; whether it has done so several times in a row, soon, at one place.

        `code` is the postmaster's (negative for a signal, which is somebody else's doing), `lsn` is how far it had
        replayed, `seconds` is for how long it ran. A writer's end says nothing of its data: clients work there.
        """
        if code <= 0 or led or seconds > SHORT_SECONDS:
            self._at = []
            return False
        self._at = [*self._at, lsn] if self._at[-1:] in ([], [lsn]) else [lsn]
        if len(self._at) < ENDS_BEFORE_CLONE:
            return False
        self._at = []
        return True


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
