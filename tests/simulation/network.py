"""The network between the pods: delays, losses, duplicates, partitions in each direction."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from aurora_operator.consensus.events import Received
from aurora_operator.consensus.messages import Message

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World


class Network:
    """Datagrams between agents (and, for TCP, whether two pods reach each other)."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.random = rng.random
        self.cuts: dict[tuple[str, str], int] = {}
        """Directed pairs of names that are cut, and by how many faults."""
        self.without_api: set[str] = set()
        """Names of the pods that do not reach the API server."""
        self.muted: set[tuple[str, str]] = set()
        """Directed pairs of names whose agents' messages are lost, while PostgreSQL's connections work."""
        self.loss = 0.0
        self.duplication = 0.0
        self.spread = 3.0
        """Most of a message's delay (ms)."""
        self.stragglers = 0.0
        """Part of the messages that takes up to two seconds."""

    def latency(self) -> float:
        """One way, in ms."""
        if self.stragglers and self.random() < self.stragglers:
            return 2000 * self.random()
        return 0.2 + self.spread * self.random()

    def connected(self, a: Node, b: Node) -> bool:
        """Whether TCP works between two pods."""
        return (a.name, b.name) not in self.cuts and (b.name, a.name) not in self.cuts

    def cut(self, pairs: list[tuple[str, str]]) -> None:
        """Drop everything from the first to the second of each pair."""
        for pair in pairs:
            self.cuts[pair] = self.cuts.get(pair, 0) + 1

    def heal(self, pairs: list[tuple[str, str]]) -> None:
        """End one `cut`."""
        for pair in pairs:
            left = self.cuts.get(pair, 0) - 1
            if left > 0:
                self.cuts[pair] = left
            else:
                self.cuts.pop(pair, None)

    def send(self, source: Node, to: str, message: Message) -> None:
        """Deliver at some time, or never, or twice."""
        target = self.world.nodes.get(to)
        if target is None or (source.name, target.name) in self.cuts:
            return
        if (self.loss and self.random() < self.loss) or (source.name, target.name) in self.muted:
            return
        self.world.at(self.latency(), target.handle, Received(source.id, message))
        if self.duplication and self.random() < self.duplication:
            self.world.at(self.latency(), target.handle, Received(source.id, message))
