"""Schedules in which a cluster falls into halves, neither with a write quorum, and each may shrink the membership.

Directed, since all of it takes long, and chance rarely brings it about. Each plot is played with random times.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.faults import Faults
from tests.simulation.node import Node
from tests.simulation.world import World

from aurora_operator.consensus.types import majority

LENGTH = 20_000.0


class Halves(Faults):
    """One such schedule; begins with an open leader, on the near side."""

    def __init__(self, world: World, leader: Node) -> None:
        super().__init__(world, world.now + LENGTH, ["none"])
        rng: Random = world.rng
        world.repair_delay = 500
        others = sorted(self.names() - {leader.name})
        rng.shuffle(others)
        count = len(others) - majority(len(others) + 1) + 1
        self.leader = leader
        self.near = {leader.name, *others[: max(count, 0)]}
        self.far = set(others) - self.near
        self.turncoat = others[0] if count > 0 else None
        world.network.cut(self._pairs(self.near, self.far))
        rng.choice(PLOTS)(self)
        world.at(LENGTH, self.stop)

    # --- plots -----------------------------------------------------------------------------------------------------

    def near_decides(self) -> None:
        """The leader goes on; it, or its PostgreSQL, may die on the way."""
        self.api_for(self.far, off=0)
        if self.rng.random() < 0.5:
            self.at(0, 8000, self.leader.shell.postgres_crash)
        elif self.rng.random() < 0.5:
            self.at(0, 12_000, self.leader.crash, 500.0)

    def far_decides(self) -> None:
        """The old leader never reaches the API server; the others elect."""
        self.api_for(self.near, off=0)
        self.at(6000, 12_000, self.change_sides)

    def far_is_quicker(self) -> None:
        """The old leader is in no hurry to give anybody up, and reads on until the others have."""
        for node in self.world.nodes.values():
            if node.name in self.near:
                node.handle(self.world.wish(node, repair_delay=60_000))
        if self.rng.random() < 0.5:
            self.at(4000, 8000, self.world.network.without_api.update, self.near)

    def both_elect(self) -> None:
        """First only the far side reaches the API server, then only the near side, then both."""
        self.api_for(self.near, off=0, on=5000)
        self.api_for(self.far, off=5300, on=14_000)
        self.at(9500, 13_500, self.change_sides)

    def one_does_not_hear(self) -> None:
        """A copy of the near side is to stay, does not hear of it, and then makes the far side a write quorum."""
        self.api_for(self.far, off=0)
        self.at(2700, 3500, self.deafen)
        self.at(7000, 9000, self.change_sides)

    # --- their parts -----------------------------------------------------------------------------------------------

    def at(self, earliest: float, latest: float, do: Callable[..., None], *args: object) -> None:
        """At some time between."""
        self.world.at(earliest + (latest - earliest) * self.rng.random(), self._unless_over, do, args)

    def _unless_over(self, do: Callable[..., None], args: tuple[object, ...]) -> None:
        if not self.world.calm:
            do(*args)

    def api_for(self, names: set[str], *, off: float, on: float | None = None) -> None:
        """The API server is out of reach for these, about from then to then."""
        without = self.world.network.without_api
        self.at(off, off * 1.08, without.update, names)
        if on is not None:
            self.at(on, on * 1.2, without.difference_update, names)

    def _pairs(self, one: set[str], other: set[str]) -> list[tuple[str, str]]:
        return [pair for a in sorted(one) for b in sorted(other) for pair in ((a, b), (b, a))]

    def deafen(self) -> None:
        """One of the near side hears nothing of its agents any more; WAL still comes."""
        if self.turncoat is not None:
            self.world.network.muted.update((other, self.turncoat) for other in self.near - {self.turncoat})

    def change_sides(self) -> None:
        """It is cut off from the near side, and sees the far one."""
        network, name = self.world.network, self.turncoat
        if name is not None:
            network.muted.clear()
            network.heal(self._pairs({name}, self.far))
            network.cut(self._pairs({name}, self.near - {name}))


PLOTS = (
    Halves.near_decides,
    Halves.far_decides,
    Halves.far_is_quicker,
    Halves.both_elect,
    Halves.one_does_not_hear,
)
