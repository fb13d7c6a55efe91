"""One pod: the real core, and a model of the agent's shell that runs its effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.database import UNIT, Database

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import Promise
from aurora_operator.consensus.state import State, Timing
from aurora_operator.consensus.step import start, step

if TYPE_CHECKING:
    from tests.simulation.world import World

TICK = 110.0


class Node:
    """A copy: what is durable survives `crash`; all else is made anew by `boot`."""

    def __init__(self, world: World, name: str, incarnation: str, zone: str, durable: ev.Durable) -> None:
        self.world = world
        self.name, self.zone = name, zone
        self.id = f"{name}/{incarnation}"
        self.ordinal = int(name[1:])
        self.rng: Random = world.rng
        self.durable = durable
        self.db = Database(self)
        self.state: State | None = None
        self.life = 0
        self.paused = False
        self.busy = False
        """A step's effects are not all begun: the disk is slow."""
        self.queue: deque[ev.Event] = deque()
        self.operation = 0
        """The receiver's latest order (follow, fetch, stop): an older one is void."""
        self.target: str | None = None
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
        self.state = start(self.id, self.ordinal, self.durable, self.clock(), Timing())
        self.world.note(self, "boots")
        self.handle(self.world.wish(self))
        self.start_postgres()
        self.world.at(TICK * self.rng.random(), self.tick, self.life)

    def crash(self, downtime: float) -> None:
        """The pod dies with all its processes, and is started again after `downtime` (ms)."""
        if self.state is None:
            return
        self.world.note(self, f"CRASHES, back in {downtime:.0f}")
        self.state = None
        self.life += 1
        self.crash_in = -1
        self.target = None
        self.operation += 1
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
        elif self.db.epoch is not None:
            # Nobody but the agent can end the sessions of a PostgreSQL that runs on: see docs/consensus.md.
            self.reads_unsafe_until = self.world.now + duration + 100
        self.world.at(duration, self.resume, self.life)

    def resume(self, life: int) -> None:
        """SIGCONT."""
        if self.life != life or not self.paused:
            return
        self.world.note(self, "resumes")
        self.paused = False
        if self.db.frozen:
            self.db.frozen = False
            self.reads_unsafe_until = self.world.now + 100
        self.drain()

    # --- events ----------------------------------------------------------------------------------------------------

    def tick(self, life: int) -> None:
        """The agent's timer, and its look at pg_stat_replication."""
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
        if self.life == life:
            self.handle(ev.Tick())

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
                EFFECTS[type(effect)](self, effect)
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
        self.world.at(delay + 2 * self.disk_delay(), self._task, self.life, function, args)

    def _task(self, life: int, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.life != life or self.state is None:
            return
        if self.paused or self.db.frozen:
            self.world.at(30, self._task, life, function, args)
            return
        function(*args)

    # --- effects: messages -----------------------------------------------------------------------------------------

    def do_send(self, effect: ev.Send) -> None:
        if type(effect.message) is Promise:
            self.world.checker.promises(self, effect.message)
        self.world.network.send(self, effect.to, effect.message)

    def do_broadcast(self, effect: ev.Broadcast) -> None:
        for other in self.world.nodes:
            if other != self.id:
                self.world.network.send(self, other, effect.message)

    # --- effects: the WAL receiver -----------------------------------------------------------------------------------

    def do_stop_receiver(self, effect: ev.StopReceiver) -> None:
        self.operation += 1
        self.target = None
        self.task(60 * self.rng.random() ** 2, self._cut_receiver, self.operation, effect.epoch)

    def _cut_receiver(self, operation: int, epoch: int) -> None:
        if self.operation != operation:
            return
        if self.db.upstream is not None:
            self.db.upstream.close()
        self.task(20 * self.rng.random(), self._receiver_stopped, operation, epoch)

    def _receiver_stopped(self, operation: int, epoch: int) -> None:
        if self.operation == operation and self.db.up:
            self.handle(ev.ReceiverStopped(epoch, self.db.position()))

    def do_follow(self, effect: ev.Follow) -> None:
        if self.target == effect.leader and self.db.upstream is not None:
            return
        self.operation += 1
        self.target = effect.leader
        self.task(20 * self.rng.random(), self._follow, self.operation)

    def disconnected(self) -> None:
        """The receiver's connection is gone; PostgreSQL tries again by itself while it is told to follow."""
        if self.target is not None and self.db.up and self.state is not None:
            self.task(100, self._follow, self.operation)

    def _follow(self, operation: int) -> None:
        db = self.db
        if self.operation != operation or not db.up or self.target is None or db.epoch is not None:
            return
        source = self.world.nodes.get(self.target)
        if db.upstream is not None:
            if source is not None and db.upstream.source is source.db:
                return
            db.upstream.close()
        if source is None or not self.world.reachable(self, source) or db.common(source.db) > len(source.db.log):
            self.task(100 + 100 * self.rng.random(), self._follow, operation)
        elif db.common(source.db) < len(db.log):
            self._begin_rewind(source)
        else:
            db.connect(source.db)

    def _begin_rewind(self, source: Node) -> None:
        self.world.note(self, f"rewinds to {source.id}")
        self.db.stop()
        self.handle(ev.PostgresDown())
        self.task(50 + 1000 * self.rng.random(), self._rewind, source, source.db.life, self.db.life)

    def _rewind(self, source: Node, source_life: int, life: int) -> None:
        db = self.db
        if db.life != life or db.up:
            return
        if self.world.reachable(self, source) and source.db.life == source_life and self.rng.random() >= self.failing:
            db.truncate(db.common(source.db))
            db.torn = False
            if self.rng.random() < 0.5:
                db.receive(source.db, len(source.db.log))
        elif self.rng.random() < 0.5 and self.world.whole():
            db.torn = True
        self.start_postgres()

    def do_fetch(self, effect: ev.Fetch) -> None:
        self.operation += 1
        self.target = None
        self.task(20 + 500 * self.rng.random() ** 3, self._fetch, self.operation, effect)

    def _fetch(self, operation: int, effect: ev.Fetch) -> None:
        db = self.db
        if self.operation != operation or not db.up:
            return
        source = self.world.nodes.get(effect.source)
        if source is None or not self.world.reachable(self, source) or self.rng.random() < self.failing:
            self.handle(ev.Fetched(effect.epoch, None))
            return
        common = db.common(source.db)
        if common < len(db.log):
            if self.rng.random() < 0.3:
                self.handle(ev.Fetched(effect.epoch, None))
                return
            db.truncate(common)
        if self.rng.random() < 0.3 * (not self.world.calm):
            # It took too long, and what has come is reported.
            db.receive(source.db, min(len(db.log) + 1, len(source.db.log)))
            self.handle(ev.Fetched(effect.epoch, db.position()))
            return
        while db.position() < effect.target and len(db.log) < len(source.db.log):
            db.receive(source.db, len(db.log) + 1)
        self.handle(ev.Fetched(effect.epoch, db.position()))

    # --- effects: PostgreSQL's life ----------------------------------------------------------------------------------

    def start_postgres(self) -> None:
        """Bring it up as a standby."""
        self.task(20 + 400 * self.rng.random(), self._start, self.db.life)

    def _start(self, life: int) -> None:
        db = self.db
        if db.life != life or db.up:
            return
        if db.torn:
            known = self.state.leader if self.state is not None else None
            source = self.world.nodes.get(known.id) if known is not None else None
            if source is None or source is self or source.db.epoch is None or not self.world.reachable(self, source):
                self.task(200, self._start, life)
                return
            db.truncate(max(db.common(source.db), 1))
            db.receive(source.db, len(source.db.log))
            db.torn = False
        db.start()
        self.target = None
        self.operation += 1
        self.handle(ev.PostgresUp(db.position()))

    def postgres_crash(self) -> None:
        """kill -9 of the postmaster."""
        if self.state is None or not self.db.up:
            return
        self.world.note(self, "PostgreSQL crashes")
        self._stop(self.db.life)

    def do_stop_postgres(self, effect: ev.StopPostgres) -> None:
        db = self.db
        if effect.mode == "immediate" or not db.up:
            self.world.at(40 * self.rng.random(), self._task, self.life, self._stop, (db.life,))
            return
        db.end_sessions()
        self.task(30 + 50 * self.rng.random(), self._stop_fast, db.life, self.world.now + 1000)

    def _stop_fast(self, life: int, deadline: float) -> None:
        db = self.db
        if db.life != life or not db.up:
            return
        lagging = any(db.flushed.get(c, 0) < len(db.log) for c in db.downstream)
        if lagging and self.world.now < deadline:
            self.task(20, self._stop_fast, life, deadline)
        else:
            self._stop(life)

    def _stop(self, life: int) -> None:
        db = self.db
        if db.life != life or not db.up:
            return
        db.stop()
        self.target = None
        self.operation += 1
        self.world.at(30 * self.rng.random(), self._down, self.life)

    def _down(self, life: int) -> None:
        if self.life == life:
            self.handle(ev.PostgresDown())
            self.start_postgres()

    def do_promote(self, effect: ev.Promote) -> None:
        self.task(2 + 380 * self.rng.random() ** 2, self._promote, self.db.life, effect)

    def _promote(self, life: int, effect: ev.Promote) -> None:
        db = self.db
        if db.life != life or not db.up or self.rng.random() < self.failing:
            self.handle(ev.Promoted(effect.epoch, None))
            if db.up:
                self._stop(db.life)
            return
        lsn = db.promote(effect.epoch, effect.rule)
        self.world.checker.promoted(self, effect.epoch)
        self.handle(ev.Promoted(effect.epoch, lsn))

    def do_open(self, effect: ev.Open) -> None:
        if self.db.up and self.db.epoch == effect.epoch:
            self.world.checker.opens(self, effect.epoch)
            self.db.open = True
            self.world.at(10, self.world.claim_record, effect.epoch)

    def do_set_sync(self, effect: ev.SetSync) -> None:
        db = self.db
        if db.up and db.epoch is not None:
            db.rules = (db.rules[-1], effect.rule)
            self.task(5 + 50 * self.rng.random(), self._synced, db.life, effect)

    def _synced(self, life: int, effect: ev.SetSync) -> None:
        db = self.db
        if db.life == life and db.rules[-1] == effect.rule:
            db.rules = (effect.rule,)
            db.release()
            self.handle(ev.SyncInForce(effect.key, len(db.log) * UNIT))

    def do_write_record(self, effect: ev.WriteRecord) -> None:
        self.task(5 + 40 * self.rng.random(), self._write_record, effect)

    def _write_record(self, effect: ev.WriteRecord) -> None:
        ok = self.world.write_record(effect)
        if ok is None:
            self.task(800, self.handle, ev.RecordWritten(effect.after.key, False))
        else:
            self.handle(ev.RecordWritten(effect.after.key, ok, None if ok else self.world.record))


EFFECTS: dict[type, Callable[[Node, Any], None]] = {
    ev.Send: Node.do_send,
    ev.Broadcast: Node.do_broadcast,
    ev.StopReceiver: Node.do_stop_receiver,
    ev.Follow: Node.do_follow,
    ev.Fetch: Node.do_fetch,
    ev.Promote: Node.do_promote,
    ev.Open: Node.do_open,
    ev.StopPostgres: Node.do_stop_postgres,
    ev.SetSync: Node.do_set_sync,
    ev.WriteRecord: Node.do_write_record,
}
