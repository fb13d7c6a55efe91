"""Time in which we ran: a paused node or a frozen container is no sign of anything but itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

TICK_SECONDS: Final = 1.0


def ran(elapsed: float, tick: float = TICK_SECONDS) -> float:
    """What counts of the seconds between two looks a tick apart: whoever is later by more stood still. Pure."""
    return min(elapsed, 2 * tick)


async def within(seconds: float, work: Coroutine[Any, Any, T], *, clock: Callable[[], float] = time.monotonic) -> T:
    """Do the work in so many seconds of our own running time. Raises TimeoutError, and what the work raises."""
    task = asyncio.ensure_future(work)
    try:
        left = seconds
        while True:
            began = clock()
            await asyncio.wait((task,), timeout=min(TICK_SECONDS, max(left, 0.0)))
            if task.done():
                return task.result()
            left -= ran(clock() - began)
            if left <= 0:
                raise TimeoutError(f"not done within {seconds:g} s")
    finally:
        task.cancel()
