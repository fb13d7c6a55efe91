"""What to do about a volume that fills: a function of what is left. Pure; sizes in bytes.

A server that cannot write its WAL panics. So some room is held back (`Marks.reserve`), and before the rest is gone
it is let go and clients may not write any more; PostgreSQL goes on, and so does the leadership: the others hold the
same data, and are as full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aurora_operator.api.base.volume import Brake

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Marks:
    """Amounts of free space at which something happens."""

    reserve: int
    """Held back while all is well. Not counted as free."""
    low: int
    """Less than this: the reserve is let go, and clients may not write. Still less with it: who writes is ended."""
    start: int
    """What PostgreSQL needs to start: to replay WAL and to make its end-of-recovery checkpoint."""

    @property
    def ease(self) -> int:
        """From here on the reserve can be held again with as much as `low` to spare on top of `low`."""
        return self.reserve + 2 * self.low

    @property
    def follower_stops(self) -> int:
        """A copy that only follows stops here: nobody can tell the writer's WAL to wait."""
        return self.low // 2


def marks(size: int) -> Marks:
    """The marks of a volume of `size`."""
    reserve = min(max(size // 32, 32 * MIB), 256 * MIB)
    return Marks(reserve=reserve, low=reserve, start=min(64 * MIB, reserve))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do now."""

    brake: Brake
    hold: bool = False
    """Hold the reserve back (again)."""
    release: bool = False
    """Let it go."""
    end_writers: bool = False
    """End the sessions that still write."""
    stop: bool = False
    """Stop PostgreSQL, which only follows here."""


def judge(free: int, held: int, size: int, brake: Brake, *, leads: bool, runs: bool, died_of_it: bool) -> Verdict:
    """`free` is what an unprivileged process can still write, `held` is in reserve, `brake` is what was in force.

    `leads`: the writer is here. `runs`: PostgreSQL runs. `died_of_it`: it ended because it could not write; it needs
    more room then than for an orderly start.
    """
    mark = marks(size)
    if not runs:
        # The reserve is not taken (again) from a server that is about to recover.
        if free < (2 * mark.start if died_of_it else mark.start):
            return Verdict("held", release=held > 0)
        return Verdict("on" if free + held < mark.ease else "off")
    if brake == "off":
        if free < mark.low:
            return Verdict("on", release=held > 0)
        return Verdict("off", hold=held < mark.reserve and free + held >= mark.ease)
    if free + held >= mark.ease:
        return Verdict("off", hold=held < mark.reserve)
    return Verdict(
        "on",
        release=held > 0 and free < mark.low,
        end_writers=leads and free < mark.low,
        stop=not leads and free < mark.follower_stops,
    )
