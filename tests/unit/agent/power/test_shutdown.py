"""Stopping in order: when a copy stops, what it refuses, and what it remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.consensus.bench import LSN, A, B, C, config

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.lifecycle.lifecycle import Lifecycle
from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.ports import clock
from aurora_operator.agent.power import shutdown as module
from aurora_operator.agent.power.shutdown import Shutdown
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import Heartbeat, Resigned
from aurora_operator.consensus.state import Role, Timing
from aurora_operator.consensus.step import start, step
from aurora_operator.consensus.types import Position


class Pod:
    """A copy whose core is real, and whose PostgreSQL is not."""

    def __init__(self) -> None:
        self.stops = 0
        self.rested: int | None = None
        self.sessions = 0
        self.access: list[str] = []
        state = start(A, 1, ev.Durable(1, config(A, B, C)), clock(), Timing(), rested=True)
        self.copy: Any = SimpleNamespace(
            settings=SimpleNamespace(power="on", auto_pause=None),
            driver=SimpleNamespace(state=state),
            server=SimpleNamespace(alive=True),
            door=SimpleNamespace(close=self.access.append, open=lambda: self.access.append("open")),
            store=SimpleNamespace(save_rested=self._save),
            layout=None,
            halted=False,
        )
        self.happen(ev.PostgresUp(Position(1, LSN)))
        lifecycle: Any = SimpleNamespace(stopping=False, stop=self._stop)
        self.halt = Shutdown(cast(Instance, self.copy), cast(Lifecycle, lifecycle))

    def happen(self, event: ev.Event) -> None:
        self.copy.driver.state, _ = step(self.copy.driver.state, clock(), event)

    def _save(self, promised: int) -> None:
        self.rested = promised

    def _stop(self, mode: str) -> None:
        assert mode == "fast"
        self.stops += 1
        self.copy.server.alive = False
        self.happen(ev.PostgresDown())


@asynccontextmanager
async def running(pod: Pod) -> AsyncIterator[None]:
    task = asyncio.create_task(pod.halt.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Pod:
    made = Pod()

    async def sessions(_: object) -> int:
        return made.sessions

    monkeypatch.setattr(module, "sessions", sessions)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(module, "RELOAD_SECONDS", 0.0)
    return made


async def test_a_follower_stops_when_its_writer_has_and_remembers_that(pod: Pod) -> None:
    pod.happen(ev.Received(B, Heartbeat(35, clock(), config(A, B, C), LSN, LSN)))
    pod.copy.settings.power = "paused"
    async with running(pod):
        await asyncio.sleep(0.05)
        assert pod.stops == 0, "the writer still runs"
        pod.halt.rest()
        assert pod.rested is None, "the writer relies on it"
        pod.happen(ev.Received(B, Resigned(35, None)))
        await asyncio.sleep(0.05)
    assert pod.stops == 1
    pod.halt.rest()
    assert pod.rested == 35


async def test_it_runs_again_when_the_settings_say_so(pod: Pod) -> None:
    pod.copy.settings.power = "stopped"
    async with running(pod):
        await asyncio.sleep(0.05)
        assert pod.copy.halted
        pod.copy.settings.power = "on"
        await asyncio.sleep(0.05)
        assert not pod.copy.halted


async def test_a_writer_waits_for_the_word_and_refuses_while_somebody_is_in(pod: Pod) -> None:
    with pytest.raises(Refused, match="is to run"):
        await pod.halt.stop_writer()
    pod.copy.settings.power = "paused"
    with pytest.raises(Refused, match="not the open writer"):
        await pod.halt.stop_writer()
    pod.copy.driver.state.role = Role.LEADING
    async with running(pod):
        await asyncio.sleep(0.05)
        assert pod.stops == 0
    pod.sessions = 1
    with pytest.raises(Refused, match="1 sessions have come in"):
        await pod.halt.stop_writer()
    assert pod.access == [module.PAUSING, "open"]
    pod.sessions = 0
    await pod.halt.stop_writer()
    assert pod.stops == 1 and pod.copy.halted


async def test_a_cluster_that_is_stopped_by_hand_asks_nobody(pod: Pod) -> None:
    pod.copy.settings.power = "stopped"
    pod.copy.driver.state.role = Role.LEADING
    pod.sessions = 3
    await pod.halt.stop_writer()
    assert pod.stops == 1 and pod.access == []
