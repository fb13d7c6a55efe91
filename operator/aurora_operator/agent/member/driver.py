"""Runs the consensus core: feeds it events one at a time, and has its effects carried out in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aurora_operator.agent.member.durable_state import Store
from aurora_operator.agent.ports import Clock, Effects, Network, clock
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.lease import lease_end
from aurora_operator.consensus.state import State
from aurora_operator.consensus.step import step
from aurora_operator.consensus.ticks import next_tick

log = logging.getLogger(__name__)

_TICK = ev.Tick()


class Driver:
    """Holds the copy's consensus state; nothing else changes it."""

    def __init__(
        self,
        state: State,
        store: Store,
        network: Network,
        hands: Effects,
        lease_moved: Callable[[], None] = lambda: None,
        now: Clock = clock,
    ) -> None:
        """`lease_moved` is called whenever the time by which sessions must have ended is another."""
        self.state = state
        self._now = now
        self.progressed = now()
        """When the loop last finished an event: liveness."""
        self._store = store
        self._network = network
        self._hands = hands
        self._lease_end = lease_end(state)
        self._lease_moved = lease_moved
        self._queue: asyncio.Queue[ev.Event] = asyncio.Queue()
        self._ticked = self._tick_due = now()
        self._timer: asyncio.TimerHandle | None = None
        """Of the next tick; None while one is in the queue."""

    def post(self, event: ev.Event) -> None:
        """Let this happen, after what was posted before."""
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Work until cancelled. An error in here ends the agent: half a step must not go on."""
        self._tick()
        try:
            while True:
                await self.handle(await self._queue.get())
                self._queue.task_done()
                self._plan_tick()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def settle(self) -> None:
        """Wait until everything posted so far has been dealt with."""
        await self._queue.join()

    async def handle(self, event: ev.Event) -> None:
        """One step and its effects."""
        before, now = self.state, self._now()
        self.state, effects = step(before, now, event)
        if event is _TICK:
            self._ticked = now
        if self.state.role != before.role:
            log.info("%s -> %s (promised epoch %d)", before.role, self.state.role, self.state.durable.promised)
        for effect in effects:
            await self._carry_out(effect)
        end = lease_end(self.state)
        if end != self._lease_end:
            self._lease_end = end
            self._lease_moved()
        self.progressed = self._now()

    def _tick(self) -> None:
        self._timer, self._ticked = None, self._now()
        if self._queue.empty():
            self.post(_TICK)
        else:
            # A queue that has not been worked off needs no further tick.
            self._plan_tick()

    def _plan_tick(self) -> None:
        due = next_tick(self.state, self._ticked)
        if self._timer is not None:
            if due >= self._tick_due:
                return
            self._timer.cancel()
        self._tick_due = due
        self._timer = asyncio.get_running_loop().call_later(max(due - self._now(), 0) / 1000, self._tick)

    async def _carry_out(self, effect: ev.Effect) -> None:
        hands = self._hands
        match effect:
            case ev.Persist(durable):
                await asyncio.to_thread(self._store.save_durable, durable)
            case ev.Send(to, message):
                self._network.send(to, message)
            case ev.Broadcast(message):
                self._network.broadcast(message)
            case ev.StopReceiver(epoch):
                hands.stop_receiver(epoch)
            case ev.Follow(leader, epoch):
                hands.follow(leader, epoch)
            case ev.Fetch(epoch, source, target):
                hands.fetch(epoch, source, target)
            case ev.Promote(epoch, rule):
                hands.promote(epoch, rule)
            case ev.Open(epoch):
                hands.open(epoch)
            case ev.StopPostgres(mode):
                hands.stop(mode)
            case ev.SetSync(key, rule):
                hands.set_sync(key, rule)
            case ev.WriteRecord(epoch, before, after):
                hands.write_record(epoch, before, after)
            case ev.ReadRecord(asked):
                hands.read_record(asked)
