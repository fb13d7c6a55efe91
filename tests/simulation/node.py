"""One pod: its volume, its clock, its crashes and pauses, and in it the agent's own driver, store and record keeper."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.api_server import ApiServer
from tests.simulation.database import UNIT, Database
from tests.simulation.process import Process
from tests.simulation.shell import Shell
from tests.simulation.volume import STATE, Killed, Volume

from aurora_operator.agent.member.driver import Driver
from aurora_operator.agent.member.durable_state import Store, StoreError
from aurora_operator.agent.member.life import begin, rest
from aurora_operator.agent.replication.record_keeper import RecordKeeper
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.lease import lease_left
from aurora_operator.consensus.state import Role, State, Timing
from aurora_operator.consensus.step import step
from aurora_operator.consensus.ticks import next_tick
from aurora_operator.consensus.types import NO_CONFIG

if TYPE_CHECKING:
    from tests.simulation.world import World

RECORD_PERIOD = 10_000.0
KILLING = 80.0
"""How long (ms, at most) the watchdog takes to find PostgreSQL's processes and end them."""
TICK = 110.0
"""How often the agent looks at pg_stat_replication, about."""


class Stored(Store):
    """The agent's store, and the checker beside it, which is told of what has been answered for."""

    def __init__(self, node: Node) -> None:
        super().__init__(STATE, node.volume)
        self._node = node

    def durable(self) -> ev.Durable:
        found = super().durable()
        self._node.answers_for(found)
        return found

    def save_durable(self, durable: ev.Durable) -> None:
        super().save_durable(durable)
        self._node.answers_for(durable)


class Traced(Driver):
    """The agent's driver, in which the pod can crash before any effect, and whose steps are counted and shown."""

    def __init__(self, node: Node, state: State, store: Store) -> None:
        super().__init__(state, store, node.shell, node.shell, node.lease_moved, node.clock)
        self._node = node
        self._event: ev.Event | None = None
        self.ticked = node.clock()
        """When the core last had a tick, by this copy's clock."""

    async def handle(self, event: ev.Event) -> None:
        world = self._node.world
        world.steps += 1
        if type(event) is ev.Tick:
            self.ticked = self._now()
        if world.tracing:
            # What changes nothing is shown only if something comes of it.
            self._event = event
            if type(event) not in (ev.Tick, ev.LocalPosition, ev.Replication):
                self._show_event()
        await super().handle(event)

    def _show_event(self) -> None:
        if self._event is not None:
            self._node.world.trace_event(self._node, self._event)
        self._event = None

    async def _carry_out(self, effect: ev.Effect) -> None:
        node = self._node
        if node.world.tracing:
            self._show_event()
            node.world.trace_effect(effect)
        node.begins(effect)
        await super()._carry_out(effect)
        if node.driver is not self:
            raise Killed


class Node:
    """A copy: what is durable survives `crash`; all else is made anew by `boot`."""

    def __init__(self, world: World, name: str, incarnation: str, zone: str, durable: ev.Durable) -> None:
        self.world = world
        self.name, self.zone = name, zone
        self.id = f"{name}/{incarnation}"
        self.instance = name.startswith("c")
        """Else a log copy, `l<n>`: receives and serves WAL, votes, and never leads."""
        self.ordinal = int(name[1:]) if self.instance else 0
        self.rng: Random = world.rng
        self.volume = Volume()
        self.durable = ev.Durable(0, NO_CONFIG)
        """What the copy has answered for: it may never be found to have less."""
        self.lay_out(durable)
        self.db = Database(self)
        self.shell = Shell(self)
        self.api = ApiServer(self)
        self.driver: Traced | None = None
        self.life = 0
        self.paused = False
        self.killing = math.inf
        """When the watchdog ends PostgreSQL, unless it is told of a later time."""
        self.watched = math.inf
        """When it looks next."""
        self.origin, self.rate, self.offset = 0.0, 1.0, 0.0
        self.disk = 0.0
        self.lag = 0.0
        """How long WAL takes to get here (ms, at most), while all else is quick."""
        self.failing = 0.0
        self.crash_in = -1
        """Crash when this many more effects have begun."""
        self.reads_unsafe_until = 0.0
        self.tier, self.size = 1, 1

    # --- life ------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State | None:
        """The core's, while the agent runs."""
        return self.driver.state if self.driver is not None else None

    @property
    def alive(self) -> bool:
        """Whether the pod runs."""
        return self.driver is not None

    def driver_now(self) -> Driver:
        """Of this life."""
        if self.driver is None:
            raise Killed
        return self.driver

    def lay_out(self, durable: ev.Durable) -> None:
        """On a new volume: what a copy has promised, and its membership."""
        if durable != self.durable:
            Store(STATE, self.volume).save_durable(durable)
            self.volume.settle()
            self.durable = durable

    def clock(self) -> int:
        """This copy's monotonic clock (ms)."""
        return int((self.world.now - self.origin) * self.rate + self.offset)

    def boot(self) -> None:
        """The container starts."""
        if self.volume.hangs:
            self.world.at(200, self._back, self.life)
            return
        self.life += 1
        self.paused = False
        self.killing = math.inf
        self.db.frozen = False
        self.origin, self.offset = self.world.now, 1000.0 * self.rng.randrange(1000)
        self.rate = 1 + (self.rng.random() - 0.5) * self.world.drift
        self.world.note(self, "boots")
        self.process = Process(self)
        try:
            store = Stored(self)
            state = begin(store, self.id, self.ordinal, self.clock(), Timing(), instance=self.instance)
        except OSError as error:
            self.world.note(self, f"cannot read its volume: {error}")
            self.world.at(1000, self._back, self.life)
            return
        except StoreError as error:
            self.world.checker.fail(f"{self.id} takes what it wrote itself for damage: {error}")
            raise
        self.store = store
        self.driver = Traced(self, state, store)
        self.record = RecordKeeper(self.api, lambda: self.id, self.driver_now, lambda: None, self.clock)
        self.process.begin(self.driver.run())
        self.handle(self.world.wish(self))
        self.shell.start_postgres()
        self.world.at(TICK * self.rng.random(), self.tick, self.life)
        self.world.at(RECORD_PERIOD * self.rng.random(), self._look_at_record, self.life)

    def failed(self, error: BaseException) -> None:
        """Something that the agent does has ended in an error: what it does not expect of a disk ends it whole."""
        if not isinstance(error, OSError):
            raise error
        self.crash(500 + 1000 * self.rng.random(), power=False)

    def crash(self, downtime: float, *, power: bool | None = None) -> None:
        """The pod dies with all its processes, and is started again after `downtime` (ms).

        `power` is whether its node has lost power, and with it what was not durable; None leaves that to chance.
        """
        if self.driver is None:
            return
        self.world.note(self, f"CRASHES, back in {downtime:.0f}")
        self.driver = None
        self.life += 1
        self.crash_in = -1
        self.shell.forget()
        self.process.die()
        if self.rng.random() < 0.5 if power is None else power:
            self.volume.cut_power(self.rng.choice)
        self.db.stop()
        self.world.died(self)
        self.world.at(downtime, self._back, self.life)

    def end(self, downtime: float) -> None:
        """The container is ended in order; only an instance whose PostgreSQL is down by then has come to rest."""
        state = self.state
        if state is None or self.paused or self.volume.hangs:
            return
        if not self.instance or (state.role == Role.DOWN and not self.db.up):
            with contextlib.suppress(OSError):
                rest(self.store, state, self.clock())
        self.crash(downtime)

    def _back(self, life: int) -> None:
        if self.life == life and self.driver is None and self.world.nodes.get(self.id) is self:
            self.boot()

    def pause(self, duration: float, *, whole: bool) -> None:
        """SIGSTOP of the agent, or of the whole pod."""
        self.world.note(self, f"{'pod' if whole else 'agent'} paused for {duration:.0f}")
        self.paused = True
        if whole:
            self.db.frozen = True
        self.world.at(duration, self.resume, self.life)

    def lease_moved(self) -> None:
        """The watchdog is told, as by `agent/process/watchdog.py`."""
        state = self.state
        left = None if state is None else lease_left(state, self.clock())
        if left is None:
            self.killing = math.inf
        elif left >= 1:
            self.killing = self.world.now + left / self.rate
            self._watch()

    def _watch(self) -> None:
        if self.killing < self.watched:
            self.watched = self.killing
            self.world.at(self.killing - self.world.now, self._watchdog, self.life, self.killing)

    def _watchdog(self, life: int, planned: float) -> None:
        """The lease is over and the agent has not gone on: its watchdog kills PostgreSQL."""
        if self.watched == planned:
            self.watched = math.inf
        if self.life != life:
            return
        if self.world.now < self.killing:
            self._watch()
        elif self.db.frozen:
            self.killing = self.world.now + 30
            self._watch()
        else:
            self.killing = math.inf
            self.world.note(self, "PostgreSQL is killed by the watchdog")
            self.world.at(KILLING * self.rng.random(), self.shell.kill, self.db.life)

    def resume(self, life: int) -> None:
        """SIGCONT."""
        if self.life != life or not self.paused:
            return
        self.world.note(self, "resumes")
        self.paused = False
        if self.db.frozen:
            self.db.frozen = False
            # Its timers are over, and fire at once: the next tick, at the latest, stands for that.
            self.reads_unsafe_until = self.world.now + 1.1 * TICK
        self.process.run_ready()

    # --- events ----------------------------------------------------------------------------------------------------

    def tick(self, life: int) -> None:
        """The agent's look at pg_stat_replication."""
        if self.life != life:
            return
        self.world.at(TICK * (0.9 + 0.2 * self.rng.random()), self.tick, life)
        if self.paused:
            return
        db = self.db
        if db.epoch is not None:
            lengths = {copy: length * UNIT for copy, length in db.flushed.items()}
            self.handle(ev.Replication(db.epoch, lengths, len(db.log) * UNIT))
        elif db.up and self.rng.random() < 0.2:
            self.handle(ev.LocalPosition(db.position()))
        if self.life == life and self.driver is not None and self.process.idle():
            self._miss_nothing(self.driver)

    def _miss_nothing(self, driver: Traced) -> None:
        """Whoever leaves out ticks would have done nothing in them."""
        now, due = self.clock(), next_tick(driver.state, driver.ticked)
        if now < due and due > driver.ticked + driver.state.timing.heartbeat // 4:
            missed = step(driver.state, now, ev.Tick())[1]
            assert not missed, f"{self.id} is not to tick before {due}, and would have done {missed}"

    def _look_at_record(self, life: int) -> None:
        if self.life == life:
            self.world.at(RECORD_PERIOD, self._look_at_record, life)
            self.task(0, self.shell.keep_record)

    def handle(self, event: ev.Event) -> None:
        """Let the agent see an event, after what it has seen before."""
        if self.driver is not None:
            self.driver.post(event)
            self.process.run_ready()

    def begins(self, effect: ev.Effect) -> None:
        """The pod may crash here, or while it makes something durable. Raises Killed."""
        if self.crash_in < 0:
            return
        self.crash_in -= 1
        if self.crash_in >= 0:
            return
        downtime = 100 + 3000 * self.rng.random()
        if type(effect) is ev.Persist:
            self.world.at(0, self.crash, downtime)
            return
        self.crash(downtime)
        raise Killed

    def answers_for(self, durable: ev.Durable) -> None:
        """It has been read, or is on disk: others may be told."""
        self.world.checker.persists(self, self.durable, durable)
        self.durable = durable

    def disk_delay(self) -> float:
        """How long an fsync takes now (ms)."""
        return self.disk * self.rng.random() if self.disk else 0.0

    def task(self, delay: float, function: Callable[..., None], *args: Any) -> None:
        """Run part of the shell after `delay`, if this life lasts; a paused agent does it when it resumes."""
        self.world.at(delay + 2 * self.disk_delay(), self.resumable, self.life, function, args)

    def resumable(self, life: int, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Call, unless the life is over; not before the agent runs again."""
        if self.life != life or self.driver is None:
            return
        if self.paused or self.db.frozen:
            self.world.at(30, self.resumable, life, function, args)
            return
        function(*args)
