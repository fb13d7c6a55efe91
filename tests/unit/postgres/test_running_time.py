from __future__ import annotations

import asyncio

import pytest

from aurora_operator.postgres.running_time import TICK_SECONDS, ran, within


def test_standing_still_counts_as_little() -> None:
    assert ran(0.4) == 0.4
    assert ran(600.0) == 2 * TICK_SECONDS


async def test_work_that_is_done_in_time_is_done() -> None:
    async def work() -> int:
        await asyncio.sleep(0.01)
        return 7

    assert await within(5, work()) == 7


async def test_work_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        await within(0.05, asyncio.sleep(30))


async def test_a_pause_of_ours_does_not_end_the_work() -> None:
    times = iter([0.0, 600.0, *(600.0 + n for n in range(1000))])

    async def work() -> int:
        await asyncio.sleep(1.2 * TICK_SECONDS)
        return 7

    assert await within(10, work(), clock=lambda: next(times)) == 7


async def test_what_the_work_raises_comes_out() -> None:
    async def work() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await within(5, work())
