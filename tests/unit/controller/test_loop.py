from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from aurora_operator.controller import loop as module
from aurora_operator.controller.loop import Loop, Outcome, backoff


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEBOUNCE", 0.02)
    monkeypatch.setattr(module, "LEAST_GAP", 0.05)
    monkeypatch.setattr(module, "_BACKOFF", (0.05, 0.1, 0.2))


class Passes:
    """A reconcile function that notes when it runs and answers as told."""

    def __init__(self, *answers: Outcome | Exception) -> None:
        self.answers = list(answers)
        self.times: list[float] = []
        self.block: asyncio.Event | None = None

    async def __call__(self) -> Outcome:
        self.times.append(asyncio.get_running_loop().time())
        if self.block is not None:
            await self.block.wait()
        answer = self.answers.pop(0) if self.answers else Outcome(again_in=60)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def reach(self, count: int) -> None:
        """Wait until so many passes have begun."""
        async with asyncio.timeout(10):
            while len(self.times) < count:
                await asyncio.sleep(0.005)

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


def all_at_least(gaps: list[float], least: list[float]) -> bool:
    return len(gaps) == len(least) and all(a >= b - 0.005 for a, b in zip(gaps, least, strict=True))


@contextlib.asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_first_pass_at_once_then_when_it_is_time() -> None:
    passes = Passes(Outcome(again_in=0.1), Outcome(again_in=0.2))
    async with running(Loop("x", passes)):
        await passes.reach(3)
    assert all_at_least(passes.gaps, [0.1, 0.2])


async def test_many_wake_ups_make_one_pass() -> None:
    passes = Passes()
    loop = Loop("x", passes)
    async with running(loop):
        await asyncio.sleep(0.1)
        for _ in range(20):
            loop.wake()
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
    assert len(passes.times) == 2


async def test_a_wake_up_during_a_pass_makes_another() -> None:
    passes = Passes()
    passes.block = asyncio.Event()
    loop = Loop("x", passes)
    async with running(loop):
        await asyncio.sleep(0.01)
        loop.wake()
        passes.block.set()
        await asyncio.sleep(0.2)
    assert len(passes.times) == 2


async def test_failures_back_off_and_never_end_the_loop() -> None:
    bad = Outcome(failed=True)
    failures: list[Outcome | Exception] = [RuntimeError("a fault"), bad, RuntimeError("another"), bad]
    passes = Passes(*failures, Outcome(again_in=0.05), Outcome(failed=True))
    async with running(Loop("x", passes)):
        await passes.reach(7)
    assert all_at_least(passes.gaps, [0.05, 0.1, 0.2, 0.2, 0.05, 0.05])
    assert passes.gaps[4] < 0.2, "a pass that works ends the back-off"


async def test_a_wake_up_shortens_the_back_off_but_not_to_nothing() -> None:
    passes = Passes(Outcome(failed=True), Outcome(failed=True), Outcome(failed=True))
    loop = Loop("x", passes)
    async with running(loop):
        for _ in range(100):
            loop.wake()
            await asyncio.sleep(0.005)
    assert len(passes.times) >= 4
    assert min(passes.gaps) >= 0.045


async def test_gone_ends_it() -> None:
    async with running(Loop("x", Passes(Outcome(gone=True)))) as task:
        await asyncio.wait_for(task, 1)


async def test_a_pass_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PASS_LIMIT", 0.05)
    passes = Passes()
    passes.block = asyncio.Event()
    async with running(Loop("x", passes)):
        await asyncio.sleep(0.3)
    assert len(passes.times) >= 2


async def test_complaints() -> None:
    now = [0.0]
    passes = Passes()
    passes.block = asyncio.Event()
    loop = Loop("ns/demo", passes, clock=lambda: now[0])
    async with running(loop):
        await asyncio.sleep(0.01)
        now[0] = module.PASS_LIMIT
        assert loop.complaint() is None
        now[0] = module.PASS_LIMIT + module.OVERDUE + 1
        assert loop.complaint() == "ns/demo: a pass has taken 181 s"
        passes.block.set()
        await asyncio.sleep(0.05)
        assert loop.complaint() is None
        now[0] += 60 + module.OVERDUE + 1
        assert loop.complaint() == "ns/demo: a pass is 61 s late"


def test_back_off_has_an_end() -> None:
    assert backoff(1) < backoff(2) < backoff(3) == backoff(1000)
