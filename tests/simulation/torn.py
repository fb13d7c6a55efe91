"""Schedules in which copies begin to rewind to a new leader, and break off because that one dies."""

from __future__ import annotations

from tests.simulation.faults import Faults
from tests.simulation.node import Node
from tests.simulation.world import World

LENGTH = 14_000.0


class Torn(Faults):
    """One such schedule; begins with an open leader. Directed, since chance rarely brings it about."""

    def __init__(self, world: World, leader: Node) -> None:
        super().__init__(world, world.now + LENGTH, ["none"])
        world.tearing = True
        self.behind: list[tuple[str, str]] = []
        if self.rng.random() < 0.7:
            # One is left behind: what is committed from now on it does not have.
            stale = self.rng.choice(sorted(self.names() - {leader.name}))
            self.behind = self.between({stale}, self.names() - {stale})
            world.network.cut(self.behind)
        world.at(500 + 1500 * self.rng.random(), leader.shell.postgres_crash)
        world.at(3000 + 5000 * self.rng.random(), self.lose_leader)
        world.at(LENGTH, self.stop)

    def lose_leader(self) -> None:
        """Of the newest epoch: it is away for longer than the others bear to be without one."""
        self.world.network.heal(self.behind)
        self.world.tearing = False
        there = [n for n in self.world.nodes.values() if n.alive and n.instance]
        max(there, key=lambda n: n.db.position()).crash(3000 + 4000 * self.rng.random())
