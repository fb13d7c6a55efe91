from __future__ import annotations

import asyncio

import pytest

from aurora_operator.agent.member.task_slot import TaskSlot


def unexpected(error: BaseException) -> None:
    raise AssertionError(error)


async def test_a_new_job_begins_only_when_the_old_one_has_cleaned_up() -> None:
    slot, order = TaskSlot("test", unexpected), []
    started = asyncio.Event()

    async def first() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            order.append("first ended")

    done = asyncio.Event()

    async def second() -> None:
        order.append("second began")
        done.set()

    slot.start("first", first)
    await started.wait()
    slot.start("second", second)
    async with asyncio.timeout(5):
        await done.wait()
    assert order == ["first ended", "second began"]


async def test_of_two_quick_successors_only_the_last_runs() -> None:
    slot, ran = TaskSlot("test", unexpected), []
    done = asyncio.Event()

    async def forever() -> None:
        await asyncio.Event().wait()

    async def never() -> None:
        ran.append("never")

    async def last() -> None:
        ran.append("last")
        done.set()

    slot.start("forever", forever)
    await asyncio.sleep(0)
    slot.start("never", never)
    slot.start("last", last)
    async with asyncio.timeout(5):
        await done.wait()
    assert ran == ["last"]


async def test_an_error_is_told_and_the_next_job_runs(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException] = []
    slot = TaskSlot("test", errors.append)
    done = asyncio.Event()

    async def broken() -> None:
        raise ValueError("no")

    async def fine() -> None:
        done.set()

    slot.start("broken", broken)
    await asyncio.sleep(0.01)
    slot.start("fine", fine)
    async with asyncio.timeout(5):
        await done.wait()
    assert "broken failed" in caplog.text
    assert [str(e) for e in errors] == ["no"]
