"""Schedules in which a read quorum is lost and somebody accepts the loss of data.

See `agent/member/dataloss.py`, and `planning/recovery/dataloss.py` for the operator's part.

At the moment of the command, all lost pods are ended and their volumes kept. Some come back later, as when a node
thought lost is switched on again: too few to elect a leader by an older membership, or all of them, in reach of the
writer that there is by then. More is not promised: the operator sees to it by fencing.
"""

from __future__ import annotations

from random import Random

from tests.simulation.faults import Faults
from tests.simulation.node import Node
from tests.simulation.world import World

from aurora_operator.consensus.types import NO_CONFIG, NO_KEY, Config, CopyId

LENGTH = 16_000.0


class Forced(Faults):
    """One such schedule; begins with an open leader."""

    def __init__(self, world: World) -> None:
        super().__init__(world, world.now + LENGTH, ["none"])
        rng: Random = world.rng
        self.over = False
        """A leader of the survivors' membership was seen: nobody accepts anything more."""
        self.quiet = False
        """Nothing else happens any more."""
        reads = fewest_that_elect(list(world.nodes.values()))
        instances = sorted(n.name for n in world.nodes.values() if n.instance)
        first = rng.choice(instances)
        others = sorted(self.names() - {first})
        self.left = {first, *rng.sample(others, rng.randrange(max(reads - 1, 1)))}
        if rng.random() < 0.6:
            for node in world.nodes.values():
                if node.name in self.left:
                    node.lag = rng.choice((200.0, 2000.0, 6000.0))
        world.at(500 + 2000 * rng.random(), self.lose)
        world.at(1500 + 5000 * rng.random(), self.accept)
        world.at(LENGTH, self.stop)

    # --- what happens ----------------------------------------------------------------------------------------------

    def lose(self) -> None:
        """All but some are gone, or only out of sight, together or one by one."""
        together = self.rng.random() < 0.5
        for node in list(self.world.nodes.values()):
            if node.name not in self.left:
                self.world.at(0 if together else 1500 * self.rng.random(), self._lose_one, node)
        self.world.at(3000 * self.rng.random(), self._disturb)
        self.world.at(6000 * self.rng.random(), self._disturb)

    def _lose_one(self, node: Node) -> None:
        if self.world.calm or self.over or self.world.nodes.get(node.id) is not node:
            return
        style = self.rng.random()
        if style < 0.6:
            node.crash(1e9)
        elif style < 0.8:
            node.pause(1e9, whole=True)
        else:
            # Its node is cut off, from the operator, too: what runs there goes on.
            self.world.network.cut(self.between({node.name}, self.left))
            self.world.unseen.add(node.name)

    def _disturb(self) -> None:
        """Something happens to those that are left."""
        there = [n for n in self.world.nodes.values() if n.name in self.left]
        if self.world.calm or self.quiet or not there or self.rng.random() < 0.4:
            return
        node = self.rng.choice(there)
        self.rng.choice(
            (
                lambda: node.crash(self.down()),
                lambda: setattr(node, "crash_in", self.rng.randrange(8)),
                node.shell.postgres_crash,
                lambda: node.pause(self.duration(), whole=True) if node.alive and not node.paused else None,
                lambda: self.cut(self.between({node.name}, self.left - {node.name})),
                lambda: self.api_of(node.name),
            )
        )()

    def api_of(self, name: str) -> None:
        """It does not reach the API server, for a while."""
        self.world.network.without_api.add(name)
        self.world.at(self.duration(), self.world.network.without_api.discard, name)

    # --- the command -----------------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Somebody looks at the statement and accepts it; again, until there is a writer."""
        leader = self.world.leader()
        if leader is not None and leader in self.seen() and leader.durable.config.floor != NO_KEY:
            self.over = True
            return
        self.world.at(300 + 1500 * self.rng.random(), self.accept)
        stated = self.state()
        if stated is None:
            return
        config, survivors = stated
        able = [n for n in survivors if n.instance]
        if able:
            self.fence(config.voters - {n.id for n in survivors})
            best = max(able, key=lambda n: (n.db.position(), n.id))
            target = best if self.rng.random() < 0.7 else self.rng.choice(able)
            kept = frozenset(n.id for n in survivors)
            target.shell.accept_loss(kept, config.voters - kept, config.key)

    def seen(self) -> list[Node]:
        """The pods that answer the operator."""
        world = self.world
        return [n for n in world.nodes.values() if n.alive and not n.paused and n.name not in world.unseen]

    def state(self) -> tuple[Config, list[Node]] | None:
        """The newest known membership and those of its voters that answer; None while they can elect a leader."""
        seen = self.seen()
        known = [n.durable.config for n in seen] + [self.world.record or NO_CONFIG]
        config = max(known, key=lambda c: c.key)
        survivors = [n for n in seen if n.id in config.voters]
        if not survivors or self.world.leader() in seen or config.can_read(n.id for n in survivors):
            return None
        return config, survivors

    def fence(self, lost: frozenset[CopyId]) -> None:
        """No pod of theirs runs any more; their volumes are kept, and others are to take their places."""
        world = self.world
        gone = [world.nodes[copy] for copy in sorted(lost & world.nodes.keys()) if copy not in world.kept]
        if not gone:
            return
        number = max(int(n.name[1:]) for n in (*world.nodes.values(), *world.kept.values()))
        wanted = set(world.wanted)
        for node in gone:
            world.keep_aside(node)
            if node.name in wanted:
                number += 1
                wanted ^= {node.name, f"{node.name[0]}{number}"}
        world.want(frozenset(wanted))
        world.at(6000 * self.rng.random(), self.some_return if self.rng.random() < 0.7 else self.all_return)

    def some_return(self) -> None:
        """Fewer than could elect a leader by a membership that one of them knows."""
        world = self.world
        if world.calm or self.quiet:
            return
        copies = sorted(world.kept)
        self.rng.shuffle(copies)
        for copy in copies[: max(fewest_that_elect(list(world.kept.values())) - 1, 0)]:
            world.at(4000 * self.rng.random(), self.bring_back, copy)

    def all_return(self) -> None:
        """All of them, where the writer is in reach and nothing else happens."""
        world = self.world
        if world.calm or self.quiet:
            return
        there = [n for n in world.nodes.values() if n.name in self.left]
        well = all(n.alive and not n.paused for n in there) and not world.network.cuts
        if not self.over or world.leader() not in there or not well:
            world.at(300, self.all_return)
            return
        self.quiet = True
        for node in there:
            node.crash_in = -1
        for copy in sorted(world.kept):
            world.at(1000 * self.rng.random(), self.bring_back, copy)

    def bring_back(self, copy: CopyId) -> None:
        """On the volume that was kept."""
        if not self.world.calm:
            self.world.bring_back(copy)

    def stop(self) -> None:
        """Whoever still counts comes back."""
        super().stop()
        self.world.unseen.clear()
        for node in list(self.world.nodes.values()):
            if not node.alive:
                node.boot()


def fewest_that_elect(nodes: list[Node]) -> int:
    """How many copies could elect a leader by a membership that one of these knows, at least."""
    known = [n.durable.config for n in nodes if n.durable.config.voters]
    return min((max(q.read for q in (k.old, k.new) if q is not None) for k in known), default=1)
