"""What must hold after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.database import Database

from aurora_operator.consensus.events import Durable
from aurora_operator.consensus.messages import Promise
from aurora_operator.consensus.types import NO_KEY, Config, ConfigKey, CopyId

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World


class ViolationError(AssertionError):
    """A rule of the consensus was broken."""


class Checker:
    """Sees everything, knows everything, and decides nothing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.leaders: dict[int, str] = {}
        self.last = (0, 0)
        """Index and id of the newest acknowledged commit."""
        self.commits = 0
        self.commit_time = 0.0
        self.top: tuple[int, list[int]] = (0, [])
        """The highest epoch that was promoted, and the log that it began with."""
        self.promotions: list[tuple[int, list[int], ConfigKey]] = []
        """Epoch, log and membership of each."""
        self.floor = NO_KEY
        """Leaders that work with an older membership than this may lack commits: they never open."""
        self.promised: dict[str, int] = {}
        self.configs: dict[ConfigKey, Config] = {}
        self.reads_unsafe_until = 0.0
        """Leases bind nobody until then: a clock jumped, or somebody was told that a live leader is dead."""
        self.opened = 0
        self.commands: set[frozenset[CopyId]] = set()
        """Survivors without whom whatever only others have may be lost: somebody has accepted that."""
        self.losses = 0
        """Commits that were lost in that way."""
        self.forced: dict[ConfigKey, frozenset[CopyId]] = {}
        """Memberships of survivors, and whom they gave up."""
        self.given_up: frozenset[CopyId] = frozenset()
        """By a membership that a leader has opened with: they never vote again."""

    def fail(self, what: str) -> None:
        """Stop the run."""
        raise ViolationError(f"at {self.world.now:.0f} ms: {what}")

    def persists(self, node: Node, before: Durable, after: Durable) -> None:
        """Neither promises nor memberships go back, and a membership's key names it."""
        if after.promised < before.promised:
            self.fail(f"{node.id} forgets its promise of {before.promised} for {after.promised}")
        if after.config.key < before.config.key:
            self.fail(f"{node.id} goes back from membership {before.config.key} to {after.config.key}")
        if after.config.key not in self.configs:
            self._new_membership(before.config, after.config)
        known = self.configs.setdefault(after.config.key, after.config)
        if known != after.config:
            self.fail(f"two memberships are called {after.config.key}: {known} and {after.config}")

    def _new_membership(self, before: Config, config: Config) -> None:
        if config.voters & self.given_up:
            self.fail(f"{config} has a vote for somebody that was given up")
        if config.key.version > 1 or config.key.epoch == 0:
            return  # a leader's, or the first
        if config.voters not in self.commands:
            self.fail(f"nobody accepted what goes with {config}")
        self.forced[config.key] = before.voters - config.voters
        self._accept_loss(config.voters)

    def _accept_loss(self, survivors: frozenset[CopyId]) -> None:
        """What the furthest of them does not have is lost, and nothing else may be."""
        nodes, (index, entry) = self.world.nodes, self.last
        best = max((nodes[c].db for c in survivors if c in nodes), key=Database.position)
        everybody = (*nodes.values(), *self.world.kept.values())
        holder = next(n.db for n in everybody if len(n.db.log) > index and n.db.log[index] == entry)
        common = holder.common(best)
        if common <= index:
            self.losses += index + 1 - common
            self.last = (common - 1, holder.log[common - 1])

    def promises(self, node: Node, promise: Promise) -> None:
        """A promise leaves."""
        if promise.granted:
            if node.durable.promised < promise.epoch:
                self.fail(f"{node.id} answers a promise of {promise.epoch} that it has not persisted")
            if node.durable.promised > promise.epoch:
                self.fail(f"{node.id} promises {promise.epoch} after {node.durable.promised}")
            self.promised[node.id] = max(self.promised.get(node.id, 0), promise.epoch)

    def acknowledges(self, node: Node, epoch: int) -> None:
        """A standby flushes new WAL of that leader, and will say so."""
        if epoch < self.promised.get(node.id, 0):
            self.fail(f"{node.id} acknowledges to epoch {epoch} after promising {self.promised[node.id]}")

    def receives(self, node: Node, source: Node, length: int) -> None:
        """A log grows from another's: both must be the same up to there."""
        if length > len(source.db.log) or node.db.log[length - 1] != source.db.log[length - 1]:
            self.fail(f"{node.id} appends {source.id}'s history to another at {length}")

    def promoted(self, node: Node, epoch: int) -> None:
        """A leader starts: every acknowledged commit must be in its log, and the epoch must be its own."""
        if epoch in self.leaders:
            self.fail(f"{self.leaders[epoch]} and {node.id} both lead epoch {epoch}")
        self.leaders[epoch] = node.id
        log = node.db.log
        index, entry = self.last
        key = node.durable.config.key
        if epoch > self.top[0] and key >= self.floor:
            if len(log) <= index or log[index] != entry:
                self.fail(f"{node.id} is promoted to epoch {epoch} without acknowledged commit {entry}")
            self.top = (epoch, log[:])
        self.promotions.append((epoch, log[:], key))

    def opens(self, node: Node, epoch: int) -> None:
        """Clients get in: all that the leader began with is seen from now on, and must survive."""
        self.opened += 1
        self.floor = max(self.floor, node.durable.config.floor)
        self.given_up |= self.forced.get(node.durable.config.floor, frozenset())
        self._has_all(node, f"opens in epoch {epoch}")
        index = node.db.runs[-1][1]
        self.last = (index, node.db.log[index])
        self._others_read(node)

    def _has_all(self, node: Node, doing: str) -> None:
        index, entry = self.last
        log = node.db.log
        if len(log) <= index or log[index] != entry:
            self.fail(f"{node.id} {doing} without acknowledged commit {entry}")

    def committed(self, node: Node, index: int, entry: int) -> None:
        """A client hears that its commit is durable."""
        epoch = node.db.epoch or 0
        self._has_all(node, f"acknowledges commit {entry} in epoch {epoch}")
        floor = node.durable.config.floor
        self.floor = max(self.floor, floor)
        if epoch < self.top[0]:
            for later, log, key in self.promotions:
                if later > epoch and key >= floor and (len(log) <= index or log[index] != entry):
                    self.fail(
                        f"{node.id} acknowledges commit {entry} in epoch {epoch}; the leader of {later} never had it"
                    )
        self.last = (index, entry)
        self.commits += 1
        self.commit_time = self.world.now
        self._others_read(node)

    def _others_read(self, node: Node) -> None:
        """Another writer that is still open may be read from right now."""
        for other in self.world.nodes.values():
            if other.db.open and other is not node and other.db.up and not other.db.frozen:
                self.reads(other)

    def reads(self, node: Node) -> None:
        """A client reads from a writer: it must see every commit that anybody was told of."""
        index, entry = self.last
        log = node.db.log
        if (len(log) <= index or log[index] != entry) and self.world.now >= max(
            self.reads_unsafe_until, node.reads_unsafe_until
        ):
            self.fail(f"{node.id} in epoch {node.db.epoch} serves a read without acknowledged commit {entry}")
