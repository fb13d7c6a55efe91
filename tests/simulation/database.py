"""A model of one copy's PostgreSQL: durable log, timelines, streaming, quorum commit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from aurora_operator.consensus.types import Position, SyncRule

if TYPE_CHECKING:
    from tests.simulation.node import Node

UNIT = 1 << 21
"""Bytes of WAL that one entry of the log stands for."""


class Connection:
    """A walsender at `source` and a WAL receiver at `target`."""

    __slots__ = ("alive", "busy", "source", "source_life", "target", "target_life")

    def __init__(self, source: Database, target: Database) -> None:
        self.source, self.target = source, target
        self.source_life, self.target_life = source.life, target.life
        self.alive = True
        self.busy = False

    def kick(self) -> None:
        """Send what is new, unless that is under way."""
        if not self.busy and self.alive:
            self.busy = True
            world = self.source.node.world
            node = self.target.node
            lag = node.lag * node.rng.random() if node.lag else 0.0
            world.at(world.network.latency() + node.disk_delay() + lag, self.deliver)

    def deliver(self) -> None:
        """WAL reaches the standby's disk; its acknowledgement starts on its way."""
        self.busy = False
        source, target = self.source, self.target
        if not self.alive:
            return
        world = source.node.world
        if source.frozen or target.frozen or not world.network.connected(source.node, target.node):
            self.busy = True
            world.at(60, self.deliver)
            return
        if not target.node.instance:
            # Another timeline's files: those of the old one go when these have something new.
            common = target.common(source)
            if common < min(len(target.log), len(source.log)):
                target.truncate(common)
        if len(source.log) > len(target.log):
            target.receive(source, len(source.log))
            if source.epoch is not None:
                world.checker.acknowledges(target.node, source.epoch)
            for below in target.downstream.values():
                below.kick()
        world.at(world.network.latency(), self.acknowledge, len(target.log))

    def acknowledge(self, length: int) -> None:
        """The acknowledgement arrives, perhaps after the receiver has gone."""
        source = self.source
        if source.life != self.source_life or not source.up:
            return
        world = source.node.world
        if source.frozen or not world.network.connected(source.node, self.target.node):
            if self.alive:
                world.at(60, self.acknowledge, length)
            return
        known = source.downstream.get(self.target.node.id)
        if known is self:
            name = self.target.node.id
            source.flushed[name] = max(length, source.flushed.get(name, 0))
            source.release()
        if self.alive and len(source.log) > len(self.target.log):
            self.kick()

    def close(self) -> None:
        """Either side has gone."""
        if not self.alive:
            return
        self.alive = False
        source, target = self.source, self.target
        if target.upstream is self:
            target.upstream = None
            target.node.shell.disconnected()
        world = source.node.world
        world.at(world.network.latency() + 1, self._forget)

    def _forget(self) -> None:
        source = self.source
        if source.downstream.get(self.target.node.id) is self:
            del source.downstream[self.target.node.id]
            if source.life == self.source_life:
                source.flushed.pop(self.target.node.id, None)


class Database:
    """PostgreSQL of one copy. Entry ids are unique in a run; `runs` is the timeline history: (epoch, first index)."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.log: list[int] = [0]
        self.runs: list[tuple[int, int]] = [(1, 0)]
        self.kept: list[list[int]] = []
        self.torn = False
        """A rewind or a clone was begun and has to be completed before this can start: from a leader, or where a rewind
        broke off from any copy that has passed the start of the epoch that it was to."""
        self.torn_to: int | None = None
        self.up = False
        self.frozen = False
        self.life = 0
        self.epoch: int | None = None
        self.open = False
        self.rules: tuple[SyncRule, ...] = ()
        self.pending: deque[tuple[int, int]] = deque()
        self.flushed: dict[str, int] = {}
        self.upstream: Connection | None = None
        self.downstream: dict[str, Connection] = {}

    def position(self) -> Position:
        """End of the durable log."""
        return Position(self.runs[-1][0], len(self.log) * UNIT)

    def start(self) -> None:
        """Come up as a standby that follows nobody."""
        self.up, self.epoch, self.open = True, None, False
        self.rules, self.flushed = (), {}
        self.pending.clear()

    def stop(self) -> None:
        """Down, wanted or not: all connections end, waiting clients hear nothing."""
        self.up, self.epoch, self.open = False, None, False
        self.life += 1
        self.pending.clear()
        if self.upstream is not None:
            self.upstream.close()
        for connection in list(self.downstream.values()):
            connection.close()
        self.downstream.clear()
        self.flushed.clear()

    def end_sessions(self) -> None:
        """Disconnect the clients."""
        self.open = False
        self.pending.clear()

    def promote(self, epoch: int, rule: SyncRule) -> int:
        """Write on timeline `epoch`; returns the LSN at which a copy is on it."""
        self.runs.append((epoch, len(self.log)))
        self.epoch, self.rules = epoch, (rule,)
        self.append()
        return len(self.log) * UNIT

    def append(self) -> int:
        """One more entry, flushed here; returns its id."""
        world = self.node.world
        world.entries += 1
        self.log.append(world.entries)
        for connection in self.downstream.values():
            connection.kick()
        return world.entries

    def write(self) -> None:
        """A client commits, and waits."""
        self.pending.append((len(self.log), self.append()))
        self.release()

    def release(self) -> None:
        """Tell clients of the commits that satisfy a rule in force (while it changes: either)."""
        if not self.pending or not self.open:
            return
        limit = max(self._limit(rule) for rule in self.rules)
        while self.pending and self.pending[0][0] < limit:
            index, entry = self.pending.popleft()
            self.node.world.checker.committed(self.node, index, entry)

    def _limit(self, rule: SyncRule) -> int:
        if rule.need == 0:
            return len(self.log)
        lengths = sorted((self.flushed[n] for n in rule.names if n in self.flushed), reverse=True)
        return lengths[rule.need - 1] if len(lengths) >= rule.need else 0

    def common(self, other: Database) -> int:
        """How much of the log two copies share, judged as PostgreSQL does: by timeline histories."""
        end = 0
        for i, (mine, theirs) in enumerate(zip(self.runs, other.runs, strict=False)):
            if mine != theirs:
                break
            my_end = self.runs[i + 1][1] if i + 1 < len(self.runs) else len(self.log)
            their_end = other.runs[i + 1][1] if i + 1 < len(other.runs) else len(other.log)
            end = min(my_end, their_end)
            if my_end != their_end:
                break
        return end

    def receive(self, source: Database, length: int) -> None:
        """Copy the source's log up to `length` behind ours."""
        mine = len(self.log)
        self.node.world.checker.receives(self.node, source.node, mine)
        self.log.extend(source.log[mine:length])
        self.runs.extend(run for run in source.runs if mine <= run[1] < length)

    def truncate(self, length: int) -> None:
        """Rewind, keeping aside what goes."""
        if length < len(self.log):
            self.kept.append(self.log[length:])
            del self.log[length:]
            self.runs = [run for run in self.runs if run[1] < length]

    def connect(self, source: Database) -> None:
        """Start to stream."""
        connection = Connection(source, self)
        old = source.downstream.get(self.node.id)
        if old is not None:
            old.alive = False
        self.upstream = source.downstream[self.node.id] = connection
        source.flushed.pop(self.node.id, None)
        connection.kick()
