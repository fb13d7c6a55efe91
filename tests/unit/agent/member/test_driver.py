"""What the driver passes on besides effects: when the lease moves, and that time goes on."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from tests.unit.consensus.bench import RANK, A, B, C, config

from aurora_operator.agent.member.driver import Driver
from aurora_operator.agent.member.durable_state import Store
from aurora_operator.agent.ports import clock
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.lease import lease_end
from aurora_operator.consensus.messages import Heartbeat, HeartbeatAck, Resigned
from aurora_operator.consensus.state import Role, Timing
from aurora_operator.consensus.step import start
from aurora_operator.consensus.types import Position


class Deaf:
    """Nobody hears, and nothing is done."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


class Noted(Driver):
    """Notes the events in their order."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.handled: list[ev.Event] = []

    async def handle(self, event: ev.Event) -> None:
        self.handled.append(event)
        await super().handle(event)


def make(folder: Path, moved: list[float], *voters: str, heartbeat: int = 40) -> Noted:
    nobody: Any = Deaf()
    timing = Timing(heartbeat=heartbeat)
    state = start(A, 1, ev.Durable(0, config(*voters)), clock() - timing.lease, timing)
    driver: Noted = Noted(state, Store(folder), nobody, nobody, lambda: moved.append(lease_end(driver.state)))
    return driver


async def lead(driver: Driver) -> int:
    await driver.handle(ev.PostgresUp(Position(1, 1000)))
    driver.state.role = Role.PROMOTING
    epoch = driver.state.durable.promised
    await driver.handle(ev.Promoted(epoch, 1000))
    assert driver.state.leadership is not None
    return epoch


async def test_it_is_said_at_once_when_a_lease_begins_moves_and_ends(tmp_path: Path) -> None:
    moved: list[float] = []
    driver = make(tmp_path, moved, A, B, C)
    epoch = await lead(driver)
    (begun,) = moved
    sent = clock() + 200
    ack = HeartbeatAck(epoch, sent, True, epoch, config(A, B, C).key, Position(epoch, 1000), RANK)
    await driver.handle(ev.Received(B, ack))
    assert moved == [begun, sent + driver.state.timing.lease - driver.state.timing.heartbeat // 2]
    await driver.handle(ev.Received(B, ack))
    assert len(moved) == 2, "nothing has changed"
    await driver.handle(ev.PostgresDown())
    assert moved[2:] == [float("inf")]


async def test_ticks_go_on_until_it_ends(tmp_path: Path) -> None:
    driver = make(tmp_path, [], A)
    seen = driver.handled
    running = asyncio.create_task(driver.run())
    async with asyncio.timeout(5):
        while seen.count(ev.Tick()) < 3:
            await asyncio.sleep(0.005)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    seen.clear()
    await asyncio.sleep(5 * driver.state.timing.heartbeat / 4 / 1000)
    assert seen == []


async def test_an_event_brings_the_next_tick_forward(tmp_path: Path) -> None:
    driver = make(tmp_path, [], A, B, C, heartbeat=2000)
    await driver.handle(ev.PostgresUp(Position(1, 1000)))
    held = driver.state.durable.config
    driver.post(ev.Received(B, Heartbeat(9, 0, held, 1000, 1000)))
    running = asyncio.create_task(driver.run())
    await driver.settle()
    driver.handled.clear()
    # Nothing is due for a heartbeat period; then the leader says that it has gone, and an election is under way.
    driver.post(ev.Received(B, Resigned(9, None)))
    begun = clock()
    async with asyncio.timeout(5):
        while ev.Tick() not in driver.handled:
            await asyncio.sleep(0.001)
    assert driver.state.role == Role.PREVOTING
    assert clock() - begun < driver.state.timing.heartbeat * 3 // 4
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
