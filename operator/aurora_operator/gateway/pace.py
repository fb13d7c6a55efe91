"""How fast held clients are let in. Each session takes memory, and an instance that has just woken is small; it grows
within two seconds, and then by as much again with each step. So does the pace."""

from __future__ import annotations

from typing import Final

BURST: Final = 50
"""So many at once, when it opens."""
PER_SECOND: Final = 150
"""So many a second after that, at first."""
DOUBLINGS: Final = 3
"""The pace doubles so often, each second once."""


class Pace:
    """A bucket of `BURST` that fills faster and faster. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._opened = 0.0
        self._next = 0.0

    def opened(self, at: float) -> None:
        """The writer is open from now on: the pace begins anew."""
        self._opened = at

    def turn(self, now: float) -> float:
        """Take the next turn: when it is, which may be before `now`."""
        self._next = max(self._next, now - BURST / PER_SECOND)
        open_for = max(self._next - self._opened, 0.0)
        self._next += 1 / (PER_SECOND * 2 ** min(open_for, DOUBLINGS))
        return self._next
