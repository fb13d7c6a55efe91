"""One reconcile loop: run a pass when woken, when it is time, and after a failure with back-off. It never ends by
itself while its cluster exists."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

DEBOUNCE: Final = 0.1
"""Seconds that a wake-up waits for its companions: one change makes several events."""
LEAST_GAP: Final = 0.5
"""Seconds between two passes, whatever happens."""
PASS_LIMIT: Final = 120.0
"""Seconds after which a pass is given up; each of its calls has a shorter time-out of its own."""
OVERDUE: Final = 60.0
"""Seconds after its time when a pass that has not started says that the loop is stuck."""
_BACKOFF: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


@dataclass(frozen=True)
class Outcome:
    """How a pass ended."""

    again_in: float = 10.0
    """Seconds until the next pass, if nothing wakes the loop earlier."""
    failed: bool = False
    """Something must be tried again: the back-off decides when, not `again_in`."""
    gone: bool = False
    """The cluster does not exist any more: the loop ends."""


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row (at least one)."""
    return _BACKOFF[min(failures, len(_BACKOFF)) - 1]


class Loop:
    """The loop of one cluster."""

    def __init__(
        self, name: str, reconcile: Callable[[], Awaitable[Outcome]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._clock = clock
        self._woken = asyncio.Event()
        self._failures = 0
        self._started_at: float | None = None
        self._due_at = clock()

    def wake(self) -> None:
        """Something may have changed: run a pass soon."""
        self._woken.set()

    @property
    def woken(self) -> bool:
        """Whether a wake-up came after the last pass began."""
        return self._woken.is_set()

    async def run(self) -> None:
        """Reconcile until the cluster is gone."""
        while True:
            outcome = await self._pass()
            if outcome.gone:
                return
            self._failures = self._failures + 1 if outcome.failed else 0
            pause = backoff(self._failures) if outcome.failed else outcome.again_in
            await self._wait(max(pause, LEAST_GAP))

    def complaint(self) -> str | None:
        """Why the loop does not look alive, or None."""
        now = self._clock()
        if self._started_at is not None:
            busy = now - self._started_at
            return f"{self.name}: a pass has taken {busy:.0f} s" if busy > PASS_LIMIT + OVERDUE else None
        late = now - self._due_at
        return f"{self.name}: a pass is {late:.0f} s late" if late > OVERDUE else None

    async def _pass(self) -> Outcome:
        self._woken.clear()
        self._started_at = self._clock()
        try:
            async with asyncio.timeout(PASS_LIMIT):
                return await self._reconcile()
        except TimeoutError:
            log.error("%s: the pass was given up after %g s", self.name, PASS_LIMIT)
        except Exception:
            log.exception("%s: the pass failed", self.name)
        finally:
            self._started_at = None
            self._due_at = self._clock()
        return Outcome(failed=True)

    async def _wait(self, seconds: float) -> None:
        self._due_at = self._clock() + seconds
        earliest = self._clock() + LEAST_GAP
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(DEBOUNCE, earliest - self._clock()))
