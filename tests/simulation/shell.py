"""What the driver's effects come to (`agent.ports.Effects`, `agent.ports.Network`): a model of what the agent does with
PostgreSQL and the network; the record it keeps by its own code."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tests.simulation.database import UNIT

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.member.dataloss import accept
from aurora_operator.api.agent.messages import AcceptDataLoss
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import Message, Promise
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position, SyncRule

if TYPE_CHECKING:
    from tests.simulation.node import Node


class Shell:
    """Carries out the effects of one copy's core, and reports by events."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.world, self.db, self.rng = node.world, node.db, node.rng
        self.operation = 0
        """The receiver's latest order (follow, fetch, stop): an older one is void."""
        self.target: str | None = None
        """Whom PostgreSQL is told to follow."""
        self.chores: set[asyncio.Task[None]] = set()

    def forget(self) -> None:
        """What was under way is so no longer."""
        self.target = None
        self.operation += 1

    # --- effects: messages -----------------------------------------------------------------------------------------

    def send(self, to: CopyId, message: Message) -> None:
        if type(message) is Promise:
            self.world.checker.promises(self.node, message)
        self.world.network.send(self.node, to, message)

    def broadcast(self, message: Message) -> None:
        for other in self.world.nodes:
            if other != self.node.id:
                self.world.network.send(self.node, other, message)

    # --- effects: the WAL receiver -----------------------------------------------------------------------------------

    def stop_receiver(self, epoch: int) -> None:
        self.forget()
        self.node.task(60 * self.rng.random() ** 2, self._cut_receiver, self.operation, epoch)

    def _cut_receiver(self, operation: int, epoch: int) -> None:
        if self.operation != operation:
            return
        if self.db.upstream is not None:
            self.db.upstream.close()
        self.node.task(20 * self.rng.random(), self._receiver_stopped, operation, epoch)

    def _receiver_stopped(self, operation: int, epoch: int) -> None:
        if self.operation == operation and self.db.up:
            self.node.handle(ev.ReceiverStopped(epoch, self.db.position()))

    def follow(self, leader: CopyId, epoch: int) -> None:
        if self.target == leader and self.db.upstream is not None:
            return
        self.operation += 1
        self.target = leader
        self.node.task(20 * self.rng.random(), self._follow, self.operation)

    def disconnected(self) -> None:
        """The receiver's connection is gone; PostgreSQL tries again by itself while it is told to follow."""
        if self.target is not None and self.db.up and self.node.state is not None:
            self.node.task(100, self._follow, self.operation)

    def _follow(self, operation: int) -> None:
        db = self.db
        if self.operation != operation or not db.up or self.target is None or db.epoch is not None:
            return
        source = self.world.nodes.get(self.target)
        if db.upstream is not None:
            if source is not None and db.upstream.source is source.db:
                return
            db.upstream.close()
        if source is None or not self.world.reachable(self.node, source) or db.common(source.db) > len(source.db.log):
            self.node.task(100 + 100 * self.rng.random(), self._follow, operation)
        elif self.node.instance and (db.common(source.db) < len(db.log) or self._may_tear(source)):
            self._begin_rewind(source)
        else:
            db.connect(source.db)

    def _may_tear(self, source: Node) -> bool:
        """Whether to rewind, where nothing has to go, to a leader of whose epoch this copy has nothing yet."""
        epoch = source.db.epoch
        return self.world.tearing and epoch is not None and self.db.position().epoch < epoch

    def _begin_rewind(self, source: Node) -> None:
        self.world.note(self.node, f"rewinds to {source.id}")
        self.db.stop()
        self.node.handle(ev.PostgresDown())
        epoch = source.db.runs[-1][0]
        self.node.task(50 + 1000 * self.rng.random(), self._rewind, source, source.db.life, self.db.life, epoch)

    def _rewind(self, source: Node, source_life: int, life: int, epoch: int) -> None:
        db = self.db
        if db.life != life or db.up:
            return
        if (
            self.world.reachable(self.node, source)
            and source.db.life == source_life
            and self.rng.random() >= (1.0 if self.world.tearing else self.node.failing)
        ):
            db.truncate(db.common(source.db))
            db.torn = False
            if self.rng.random() < 0.5:
                db.receive(source.db, len(source.db.log))
        elif self.world.tearing or self.rng.random() < 0.5:
            db.torn, db.torn_to = True, epoch
        self.start_postgres()

    def fetch(self, epoch: int, source: CopyId, target: Position) -> None:
        self.forget()
        wish = ev.Fetch(epoch, source, target)
        self.node.task(20 + 500 * self.rng.random() ** 3, self._fetch, self.operation, wish)

    def _fetch(self, operation: int, effect: ev.Fetch) -> None:
        db = self.db
        if self.operation != operation or not db.up:
            return
        source = self.world.nodes.get(effect.source)
        if source is None or not self.world.reachable(self.node, source) or self.rng.random() < self.node.failing:
            self.node.handle(ev.Fetched(effect.epoch, None))
            return
        common = db.common(source.db)
        if common < len(db.log):
            if self.rng.random() < 0.3 or not source.instance:
                self.node.handle(ev.Fetched(effect.epoch, None))
                return
            for connection in list(db.downstream.values()):
                connection.close()
            db.truncate(common)
        if self.rng.random() < 0.3 * (not self.world.calm):
            # It took too long, and what has come is reported.
            db.receive(source.db, min(len(db.log) + 1, len(source.db.log)))
            self.node.handle(ev.Fetched(effect.epoch, db.position()))
            return
        while db.position() < effect.target and len(db.log) < len(source.db.log):
            db.receive(source.db, len(db.log) + 1)
        self.node.handle(ev.Fetched(effect.epoch, db.position()))

    # --- effects: PostgreSQL's life ----------------------------------------------------------------------------------

    def start_postgres(self) -> None:
        """Bring it up as a standby."""
        self.node.task(20 + 400 * self.rng.random(), self._start, self.db.life)

    def _start(self, life: int) -> None:
        db = self.db
        if db.life != life or db.up:
            return
        if db.torn:
            source = self._whole_source()
            if source is None or self.world.tearing:
                self.node.task(200, self._start, life)
                return
            db.truncate(max(db.common(source.db), 1))
            db.receive(source.db, len(source.db.log))
            db.torn, db.torn_to = False, None
        db.start()
        self.forget()
        self.node.handle(ev.PostgresUp(db.position()))

    def _whole_source(self) -> Node | None:
        """From where a torn copy can be completed now."""
        known = self.node.state.leader if self.node.state is not None else None
        leader = self.world.nodes.get(known.id) if known is not None else None
        if leader is not None and leader.db.epoch is not None and self.world.reachable(self.node, leader):
            return leader
        epoch = self.db.torn_to
        if epoch is None:
            return None
        there = [n for n in self.world.nodes.values() if n.instance and self.world.reachable(self.node, n)]
        return max((n for n in there if n.db.position().epoch >= epoch), key=lambda n: n.db.position(), default=None)

    def postgres_crash(self) -> None:
        """kill -9 of the postmaster."""
        if self.node.state is None or not self.db.up:
            return
        self.world.note(self.node, "PostgreSQL crashes")
        self._stop(self.db.life)

    def kill(self, life: int) -> None:
        """By the watchdog."""
        self._stop(life)

    def stop(self, mode: str) -> None:
        self.end_chores()
        db = self.db
        if mode == "immediate" or not db.up:
            self.world.at(40 * self.rng.random(), self.node.resumable, self.node.life, self._stop, (db.life,))
            return
        db.end_sessions()
        self.node.task(30 + 50 * self.rng.random(), self._stop_fast, db.life, self.world.now + 1000)

    def _stop_fast(self, life: int, deadline: float) -> None:
        db = self.db
        if db.life != life or not db.up:
            return
        lagging = any(db.flushed.get(c, 0) < len(db.log) for c in db.downstream)
        if lagging and self.world.now < deadline:
            self.node.task(20, self._stop_fast, life, deadline)
        else:
            self._stop(life)

    def _stop(self, life: int) -> None:
        db = self.db
        if db.life != life or not db.up:
            return
        db.stop()
        self.forget()
        self.world.at(30 * self.rng.random(), self._down, self.node.life)

    def _down(self, life: int) -> None:
        if self.node.life == life:
            self.node.handle(ev.PostgresDown())
            self.start_postgres()

    def promote(self, epoch: int, rule: SyncRule) -> None:
        wish = ev.Promote(epoch, rule)
        self.node.task(2 + 380 * self.rng.random() ** 2, self._promote, self.db.life, wish)

    def _promote(self, life: int, effect: ev.Promote) -> None:
        db = self.db
        gone = db.life != life or not db.up
        failing = self.rng.random() < self.node.failing
        if gone or (failing and self.rng.random() < 0.5):
            self._promotion_fails(effect, begun=gone)
            return
        if not self.node.instance:
            self.world.checker.fail(f"{self.node.id}, a log copy, is promoted")
        lsn = db.promote(effect.epoch, effect.rule)
        self.world.checker.promoted(self.node, effect.epoch)
        if failing:  # it took too long to say so
            self._promotion_fails(effect, begun=True)
        else:
            self.node.handle(ev.Promoted(effect.epoch, lsn))

    def _promotion_fails(self, effect: ev.Promote, *, begun: bool) -> None:
        self.node.handle(ev.Promoted(effect.epoch, None, begun))
        if self.db.up:
            self._stop(self.db.life)

    def open(self, epoch: int) -> None:
        if self.db.up and self.db.epoch == epoch:
            self.world.checker.opens(self.node, epoch)
            self.db.open = True
            self._chore(self.node.record.claim(epoch))

    def set_sync(self, key: ConfigKey, rule: SyncRule) -> None:
        db = self.db
        if db.up and db.epoch is not None:
            db.rules = (db.rules[-1], rule)
            self.node.task(5 + 50 * self.rng.random(), self._synced, db.life, ev.SetSync(key, rule))

    def _synced(self, life: int, effect: ev.SetSync) -> None:
        db = self.db
        if db.life == life and db.rules[-1] == effect.rule:
            db.rules = (effect.rule,)
            db.release()
            self.node.handle(ev.SyncInForce(effect.key, len(db.log) * UNIT))

    # --- the record, by the agent's own code --------------------------------------------------------------------------

    def _chore(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.node.process.begin(coroutine)
        self.chores.add(task)
        task.add_done_callback(self.chores.discard)

    def end_chores(self) -> None:
        """The leadership is over."""
        for task in list(self.chores):
            task.cancel()

    def keep_record(self) -> None:
        """A leader looks at the record from time to time."""
        state = self.node.state
        if state is not None and state.role == Role.LEADING and state.leadership is not None:
            self._chore(self.node.record.keep(state.leadership.epoch))

    def write_record(self, epoch: int, before: ConfigKey, after: Config) -> None:
        self._chore(self.node.record.change(ev.WriteRecord(epoch, before, after)))

    def read_record(self, asked: int) -> None:
        self._chore(self.node.record.look(asked))

    # --- the operator's command ------------------------------------------------------------------------------------

    def accept_loss(self, survivors: frozenset[CopyId], lost: frozenset[CopyId], stated: ConfigKey) -> None:
        """Somebody accepts the loss of what only these have."""
        if self.node.state is not None:
            request = AcceptDataLoss(
                survivors=tuple(sorted(survivors)),
                lost=tuple(sorted(lost)),
                config_epoch=stated.epoch,
                config_version=stated.version,
            )
            self.node.process.begin(self._accept_loss(request))

    async def _accept_loss(self, request: AcceptDataLoss) -> None:
        node = self.node
        try:
            await accept(node.driver_now(), node.api, request, node.clock)
        except Refused:
            return
        self.world.checker.commands.add(frozenset(request.survivors))
