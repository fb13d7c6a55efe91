"""One pod: the real core, what is durable, its clock, its crashes and pauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.database import UNIT, Database
from tests.simulation.shell import EFFECTS, Shell

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.lease import lease_left
from aurora_operator.consensus.state import State, Timing
from aurora_operator.consensus.step import start, step
from aurora_operator.consensus.ticks import next_tick

if TYPE_CHECKING:
    from tests.simulation.world import World

TICK = 110.0


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
        self.durable = durable
        self.db = Database(self)
        self.shell = Shell(self)
        self.state: State | None = None
        self.life = 0
        self.paused = False
        self.busy = False
        """A step's effects are not all begun: the disk is slow."""
        self.queue: deque[ev.Event] = deque()
        self.ticked = 0
        """When the core last had a tick, by this copy's clock."""
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
    def alive(self) -> bool:
        """Whether the pod runs."""
        return self.state is not None

    def clock(self) -> int:
        """This copy's monotonic clock (ms)."""
        return int((self.world.now - self.origin) * self.rate + self.offset)

    def boot(self) -> None:
        """The container starts."""
        self.life += 1
        self.paused = self.busy = False
        self.db.frozen = False
        self.queue.clear()
        self.origin, self.offset = self.world.now, 1000.0 * self.rng.randrange(1000)
        self.rate = 1 + (self.rng.random() - 0.5) * self.world.drift
        self.ticked = self.clock()
        self.state = start(self.id, self.ordinal, self.durable, self.ticked, Timing(), instance=self.instance)
        self.world.note(self, "boots")
        self.handle(self.world.wish(self))
        self.shell.start_postgres()
        self.world.at(TICK * self.rng.random(), self.tick, self.life)

    def crash(self, downtime: float) -> None:
        """The pod dies with all its processes, and is started again after `downtime` (ms)."""
        if self.state is None:
            return
        self.world.note(self, f"CRASHES, back in {downtime:.0f}")
        self.state = None
        self.life += 1
        self.crash_in = -1
        self.shell.forget()
        self.queue.clear()
        self.db.stop()
        self.world.died(self)
        self.world.at(downtime, self._back, self.life)

    def _back(self, life: int) -> None:
        if self.life == life and self.state is None and self.world.nodes.get(self.id) is self:
            self.boot()

    def pause(self, duration: float, *, whole: bool) -> None:
        """SIGSTOP of the agent, or of the whole pod."""
        self.world.note(self, f"{'pod' if whole else 'agent'} paused for {duration:.0f}")
        self.paused = True
        if whole:
            self.db.frozen = True
        elif self.state is not None and (left := lease_left(self.state, self.clock())) is not None:
            self.world.at(max(left, 0) / self.rate, self._watchdog, self.life, self.db.life)
        self.world.at(duration, self.resume, self.life)

    def _watchdog(self, life: int, database_life: int) -> None:
        """The lease is over and the agent has not gone on: its watchdog kills PostgreSQL."""
        if self.life == life and self.paused and not self.db.frozen and self.db.life == database_life:
            self.world.note(self, "PostgreSQL is killed by the watchdog")
            self.shell.kill(database_life)

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
        self.drain()

    # --- events ----------------------------------------------------------------------------------------------------

    def tick(self, life: int) -> None:
        """The agent's look at pg_stat_replication, and its timer, which is never early and often late."""
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
        if self.life != life or self.state is None:
            return
        now = self.clock()
        due = next_tick(self.state, self.ticked)
        if now >= due:
            self.ticked = now
            self.handle(ev.Tick())
        elif due > self.ticked + self.state.timing.heartbeat // 4:
            missed = step(self.state, now, ev.Tick())[1]
            assert not missed, f"{self.id} is not to tick before {due}, and would have done {missed}"

    def handle(self, event: ev.Event) -> None:
        """Let the core see an event, and begin what it wants."""
        if self.state is None:
            return
        if self.paused or self.busy:
            self.queue.append(event)
            return
        self.state, effects = step(self.state, self.clock(), event)
        world = self.world
        world.steps += 1
        if world.tracing:
            world.trace(self, event, effects)
        if effects:
            self.run(effects, 0)

    def drain(self) -> None:
        """Events that waited."""
        while self.queue and not self.paused and not self.busy:
            self.handle(self.queue.popleft())

    def run(self, effects: list[ev.Effect], first: int) -> None:
        """Begin effects in their order; a slow `Persist` holds up what follows, and further events."""
        for i in range(first, len(effects)):
            effect = effects[i]
            if self.crash_in >= 0:
                self.crash_in -= 1
                if self.crash_in < 0:
                    self.crash(100 + 3000 * self.rng.random())
                    return
            if type(effect) is ev.Persist:
                delay = self.disk_delay()
                if delay > 20:
                    self.busy = True
                    self.world.at(delay, self._persisted, self.life, effects, i)
                    return
                self.persist(effect.durable)
            else:
                EFFECTS[type(effect)](self.shell, effect)
                if self.state is None:
                    return

    def _persisted(self, life: int, effects: list[ev.Effect], index: int) -> None:
        if self.life != life:
            return
        effect = effects[index]
        assert isinstance(effect, ev.Persist)
        self.persist(effect.durable)
        self.busy = False
        self.run(effects, index + 1)
        self.drain()

    def persist(self, durable: ev.Durable) -> None:
        """On disk."""
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
        if self.life != life or self.state is None:
            return
        if self.paused or self.db.frozen:
            self.world.at(30, self.resumable, life, function, args)
            return
        function(*args)
