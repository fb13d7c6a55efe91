"""How long a commit would wait for its write quorum now, from what the quorum has acknowledged. Pure.

Lag alone does not tell: a quorum that takes 100 MiB/s acknowledges a commit behind 50 MiB of WAL in half a second,
and one that stands still acknowledges none behind a single byte.
"""

from __future__ import annotations

import math
from typing import Final

BUSY_BYTES: Final = 1 << 20
"""With less to acknowledge, the quorum is idle now and then, and how fast it is cannot be seen."""
GROWTH_BYTES: Final = 4 << 20
"""Written between two looks, it is the beginning of a load."""
UNKNOWN_RATE: Final = 32 << 20
"""Bytes a second that a quorum is believed to take until that was seen: a first burst must not get far ahead."""
QUICKER_SECONDS: Final = 0.5
SLOWER_SECONDS: Final = 2.0
"""Over such times the rate is averaged when it rises and when it falls: flushes come in pieces."""


class CommitMeter:
    """Of one leadership. Times are seconds of a monotonic clock, LSNs are bytes."""

    def __init__(self) -> None:
        self._last: tuple[float, int, int] | None = None
        self._rate: float = UNKNOWN_RATE
        self._moved: float | None = None
        self._grown = -math.inf

    def note(self, now: float, written: int, acknowledged: int | None) -> None:
        """The writer has flushed `written`, of which a write quorum has `acknowledged`: None where PostgreSQL sees too
        few copies to acknowledge anything."""
        before = self._last
        reached = max(acknowledged if acknowledged is not None else 0, before[2] if before is not None else 0)
        if before is None:
            self._moved = now
        else:
            then, written_then, reached_then = before
            if now <= then:
                return
            if reached > reached_then or reached >= written:
                self._moved = now
            if written - written_then >= GROWTH_BYTES:
                self._grown = now
            if written_then - reached_then >= BUSY_BYTES:
                self._average((reached - reached_then) / (now - then), now - then)
        self._last = (now, written, reached)

    def _average(self, sample: float, elapsed: float) -> None:
        over = QUICKER_SECONDS if sample > self._rate else SLOWER_SECONDS
        self._rate += (sample - self._rate) * (1 - math.exp(-elapsed / over))

    @property
    def backlog(self) -> int:
        """Bytes that the writer has flushed and no write quorum has."""
        return max(self._last[1] - self._last[2], 0) if self._last is not None else 0

    def stalled(self, now: float) -> float:
        """For how long nothing has been acknowledged though there is something to acknowledge."""
        return max(now - self._moved, 0.0) if self._moved is not None and self.backlog else 0.0

    def expected_wait(self) -> float:
        """Seconds that a commit of this moment would wait, at the rate at which the quorum acknowledges; may be inf."""
        if not self.backlog:
            return 0.0
        return self.backlog / self._rate if self._rate >= 1 else math.inf

    def is_busy(self, now: float) -> bool:
        """Whether so much is written that it should be looked at more often."""
        return self.backlog >= BUSY_BYTES or now - self._grown < SLOWER_SECONDS
