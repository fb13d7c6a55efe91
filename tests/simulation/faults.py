"""What goes wrong: a random choice of kinds, times and victims."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from tests.simulation.node import Node
from tests.simulation.world import World

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.types import majority

Fault: TypeAlias = "Callable[[Faults], None]"


class Faults:
    """Injects faults of these kinds until `end`, then heals everything."""

    def __init__(self, world: World, end: float, kinds: list[str]) -> None:
        self.world = world
        self.rng: Random = world.rng
        self.end = end
        self.kinds = kinds
        self.mean = self.rng.choice((200.0, 600.0, 1500.0))
        self.bystander: str | None = None
        """A copy that is not the leader, and the only one that anything happens to."""

    def begin(self, first: float) -> None:
        """Start after `first` ms."""
        self.world.at(first, self.next)
        self.world.at(self.end - self.world.now, self.stop)

    def next(self) -> None:
        """One fault, and the time of the next."""
        if self.world.now >= self.end:
            return
        kind = self.rng.choice(self.kinds)
        KINDS[kind](self)
        self.world.at(self.rng.expovariate(1 / self.mean), self.next)

    def stop(self) -> None:
        """Nothing goes wrong from here on."""
        world = self.world
        world.calm = True
        network = world.network
        network.cuts.clear()
        network.muted.clear()
        network.without_api.clear()
        network.loss = network.duplication = network.stragglers = 0.0
        network.spread = 3.0
        world.api_down = world.tearing = False
        for node in world.nodes.values():
            node.disk = node.failing = node.lag = 0.0
            node.volume.hangs = node.volume.full = node.volume.failing = False
            node.crash_in = -1
            if node.paused:
                node.resume(node.life)

    # --- helpers ---------------------------------------------------------------------------------------------------

    def victim(self) -> Node:
        """A copy; the leader as often as all others together."""
        if self.bystander is not None:
            return next(n for n in self.world.nodes.values() if n.name == self.bystander)
        leader = self.world.leader()
        if leader is not None and self.rng.random() < 0.4:
            return leader
        return self.rng.choice(list(self.world.nodes.values()))

    def duration(self) -> float:
        """How long (ms): around the lease, where it hurts."""
        return min(self.rng.choice((300, 1500, 4000, 8000)) * (0.3 + self.rng.random()), self.end - self.world.now)

    def down(self) -> float:
        """How long a pod is away."""
        return self.rng.choice((100, 500, 2500, 6000)) * (0.3 + self.rng.random())

    def cut(self, pairs: list[tuple[str, str]]) -> None:
        """A partition, for a while."""
        self.world.network.cut(pairs)
        self.world.at(self.duration(), self._heal, pairs)

    def _heal(self, pairs: list[tuple[str, str]]) -> None:
        if not self.world.calm:
            self.world.network.heal(pairs)

    def between(self, one: set[str], other: set[str]) -> list[tuple[str, str]]:
        """Pairs from one side to the other, in one direction or both."""
        style = self.rng.random()
        there = [(a, b) for a in sorted(one) for b in sorted(other)]
        back = [(b, a) for a, b in there]
        return there if style < 0.2 else back if style < 0.4 else there + back

    def names(self) -> set[str]:
        """Of all copies."""
        return {n.name for n in self.world.nodes.values()}

    # --- kinds -----------------------------------------------------------------------------------------------------

    def crash(self) -> None:
        self.victim().crash(self.down())

    def crash_in_step(self) -> None:
        self.victim().crash_in = self.rng.randrange(8)

    def crash_all(self) -> None:
        for node in list(self.world.nodes.values()):
            node.crash(self.down())

    def crash_zone(self) -> None:
        zone = self.rng.choice(("z0", "z1", "z2"))
        for node in list(self.world.nodes.values()):
            if node.zone == zone:
                node.crash(self.down())

    def postgres(self) -> None:
        self.victim().shell.postgres_crash()

    def pause(self) -> None:
        node = self.victim()
        if node.alive and not node.paused:
            node.pause(self.duration(), whole=self.rng.random() < 0.6)

    def api_of_one(self) -> None:
        name = self.victim().name
        self.world.network.without_api.add(name)
        self.world.at(self.duration(), self.world.network.without_api.discard, name)

    def isolate(self) -> None:
        name = self.victim().name
        if self.rng.random() < 0.3:
            self.api_of_one()
        self.cut(self.between({name}, self.names() - {name}))

    def strand(self) -> None:
        """The leader is cut off and all others are restarted at once: they forget that they heard it."""
        leader = self.world.leader()
        if leader is not None:
            self.cut(self.between({leader.name}, self.names() - {leader.name}))
            for node in list(self.world.nodes.values()):
                if node is not leader and self.rng.random() < 0.9:
                    node.crash(100 * self.rng.random())

    def bridge(self) -> None:
        """The leader and some others do not see each other; the rest sees both sides."""
        leader = self.world.leader()
        if leader is not None:
            others = sorted(self.names() - {leader.name})
            side = set(self.rng.sample(others, self.rng.randrange(len(others) + 1)))
            self.cut(self.between({leader.name}, side))

    def duel(self) -> None:
        """The leader's PostgreSQL dies while messages take long, and each copy does not see one of the others."""
        leader, network = self.world.leader(), self.world.network
        if leader is not None:
            network.spread = 400.0
            names = sorted(self.names())
            self.rng.shuffle(names)
            pairs = [(names[i], names[i ^ 1]) for i in range(len(names) & ~1)]
            network.cut(pairs)
            self.world.at(2500, self._quicken, pairs)
            leader.shell.postgres_crash()

    def _quicken(self, pairs: list[tuple[str, str]]) -> None:
        self._heal(pairs)
        self.world.network.spread = 3.0

    def deaf(self) -> None:
        """The membership changes while some do not hear the leader's agent, and then the leader dies."""
        leader, network = self.world.leader(), self.world.network
        if leader is None:
            return
        self.membership()
        self.lagging()
        for other in sorted(self.names() - {leader.name}):
            if self.rng.random() < 0.6:
                network.muted.add((leader.name, other))
        self.world.at(200 + 2000 * self.rng.random(), self._end_deaf, leader)

    def _end_deaf(self, leader: Node) -> None:
        if not self.world.calm:
            self.world.network.muted.clear()
            leader.crash(self.down())

    def split(self) -> None:
        names = sorted(self.names())
        side = set(self.rng.sample(names, self.rng.randrange(len(names) + 1)))
        self.cut(self.between(side, set(names) - side))

    def halves(self) -> None:
        """No write quorum on either side, or just none with the leader, for long enough to shrink."""
        leader = self.world.leader()
        names = sorted(self.names())
        self.rng.shuffle(names)
        if leader is not None and self.rng.random() < 0.7:
            names.remove(leader.name)
            names.insert(0, leader.name)
        size = len(names) - majority(len(names)) + 1
        side = set(names[: max(size - (self.rng.random() < 0.2), 1)])
        pairs = self.between(side, set(names) - side)
        self.world.network.cut(pairs)
        self.world.at(min(6000 + 8000 * self.rng.random(), self.end - self.world.now), self._heal, pairs)
        if leader is not None and self.rng.random() < 0.4:
            # Both sides look for a leader at the same time.
            leader.shell.postgres_crash()
        if self.rng.random() < 0.3:
            self.api_of_one()

    def crash_half(self) -> None:
        """So many copies die that no write quorum is left, for long enough to shrink."""
        nodes = list(self.world.nodes.values())
        for node in self.rng.sample(nodes, len(nodes) - majority(len(nodes)) + 1):
            if len(nodes) > 1:
                node.crash(5000 + 8000 * self.rng.random())

    def split_zone(self) -> None:
        zone = self.rng.choice(("z0", "z1", "z2"))
        side = {n.name for n in self.world.nodes.values() if n.zone == zone}
        self.cut(self.between(side, self.names() - side))

    def links(self) -> None:
        names = sorted(self.names())
        pairs = [(a, b) for a in names for b in names if a != b and self.rng.random() < 0.25]
        self.cut(pairs)

    def link(self) -> None:
        one, other = self.rng.sample(sorted(self.names()), 2) if len(self.names()) > 1 else ("c1", "c1")
        if self.bystander is not None:
            one = self.bystander
        if one != other:
            self.cut(self.between({one}, {other}))

    def bad_network(self) -> None:
        network = self.world.network
        network.loss = self.rng.choice((0.0, 0.1, 0.3, 0.6))
        network.duplication = self.rng.choice((0.0, 0.2))
        network.stragglers = self.rng.choice((0.0, 0.02, 0.1))
        network.spread = self.rng.choice((3.0, 3.0, 50.0, 300.0))

    def slow_disk(self) -> None:
        self.victim().disk = self.rng.choice((0.0, 0.0, 50.0, 400.0))

    def power(self) -> None:
        """A node loses power: what its disk has not made durable may be gone."""
        self.victim().crash(self.down(), power=True)

    def power_in_step(self) -> None:
        """Some copies lose power while an election has them write."""
        for node in list(self.world.nodes.values()):
            if self.rng.random() < 0.5:
                node.crash_in = self.rng.randrange(4)
        leader = self.world.leader()
        if leader is not None:
            leader.shell.postgres_crash()

    def end_all(self) -> None:
        """All or some are ended in order, as before a rest; or all but a leader that they are cut off from, at once."""
        leader = self.world.leader() if self.rng.random() < 0.5 else None
        if leader is not None:
            self.cut(self.between({leader.name}, self.names() - {leader.name}))
        for node in list(self.world.nodes.values()):
            if node is not leader and self.rng.random() < 0.9:
                node.shell.postgres_crash()
                down = self.down() if leader is None else 100 * self.rng.random()
                self.world.at(60 * self.rng.random(), node.end, down)

    def bad_disk(self) -> None:
        """The agent's writes do not come back, or are refused, for a while."""
        volume = self.victim().volume
        what = self.rng.choice(("hangs", "full", "failing"))
        setattr(volume, what, True)
        self.world.at(self.duration(), setattr, volume, what, False)

    def lagging(self) -> None:
        self.victim().lag = self.rng.choice((0.0, 200.0, 2000.0))

    def tail(self) -> None:
        """An instance is left with WAL that nobody acknowledged, and then only log copies have what came after.

        It cannot be rewound from these: it must not lead, and comes back when another instance does.
        """
        leader = self.world.leader()
        others = [n for n in self.world.nodes.values() if n.instance and n is not leader and n.alive]
        if leader is None or len(others) < 2 or not self.world.logs:
            return
        behind = self.rng.choice(others)
        for node in self.world.nodes.values():
            node.lag = 0.0 if node is behind else 4000.0
        self.world.at(500, self._leave_tail, leader, behind)

    def _leave_tail(self, leader: Node, behind: Node) -> None:
        if self.world.calm:
            return
        pairs = [p for n in sorted(self.names() - {behind.name}) for p in ((n, behind.name), (behind.name, n))]
        self.world.network.cut(pairs)
        leader.crash(7000)
        for node in self.world.nodes.values():
            node.lag = 0.0
        self.world.at(3000 + 2000 * self.rng.random(), self._only_logs, pairs)

    def _only_logs(self, pairs: list[tuple[str, str]]) -> None:
        leader = self.world.leader()
        self._heal(pairs)
        if leader is not None and not self.world.calm:
            leader.crash(6000)

    def failing(self) -> None:
        self.victim().failing = self.rng.choice((0.0, 0.3, 1.0))

    def clock_jump(self) -> None:
        node = self.victim()
        jump = self.rng.choice((50.0, 2000.0, 5000.0))
        self.world.note(node, f"clock jumps by {jump:.0f}")
        node.offset += jump
        self.world.checker.reads_unsafe_until = self.world.now + 4000

    def api(self) -> None:
        self.world.api_down = not self.world.api_down

    def switchover(self) -> None:
        leader = self.world.leader()
        if leader is not None:
            target = self.rng.choice([None, *self.world.nodes])
            leader.handle(ev.SwitchoverRequested(target))

    def membership(self) -> None:
        logs = [f"l{i}" for i in range(1, 5)] if self.world.logs else []
        possible = [f"c{i}" for i in range(1, 8 - len(logs))] + logs
        if self.rng.random() < 0.6:
            names = self.world.wanted ^ {self.rng.choice(possible)}
        else:
            names = frozenset(self.rng.sample(possible, self.rng.choice((1, 2, 3, 3, 4, 5, 6))))
        if all(name.startswith("l") for name in names) or len(names) > 6:
            return
        self.world.note(self.victim(), f"wanted: {sorted(names)}")
        self.world.want(names)

    def lose_volume(self) -> None:
        world = self.world
        known = [n.durable.config for n in world.nodes.values()]
        newest = max(known, key=lambda c: c.key)
        quorums = [q for config in known if config.voters for q in (config.old, config.new) if q is not None]
        spare = all(len(q.voters) - q.write >= 1 for q in quorums)
        if newest.new is not None or not spare or not world.whole():
            return
        victim = self.rng.choice(list(world.nodes.values()))
        if victim.instance and world.logs:
            # Log copies cannot lead, nor be a source for a rewind: an instance must be left on the furthest history.
            furthest = max(world.nodes.values(), key=lambda n: n.db.position())
            left = [n for n in world.nodes.values() if n.instance and n is not victim and n.id in newest.voters]
            if not any(n.db.common(furthest.db) == len(n.db.log) and not n.db.torn for n in left):
                return
        world.lose_volume(victim)

    def evidence(self) -> None:
        node, peer = self.victim(), self.victim()
        if node is not peer:
            self.world.note(node, f"is told that {peer.id} is dead")
            self.world.checker.reads_unsafe_until = self.world.now + 4000
            node.handle(ev.PeerDead(peer.id))


KINDS: dict[str, Fault] = {
    "crash": Faults.crash,
    "crash-in-step": Faults.crash_in_step,
    "crash-all": Faults.crash_all,
    "crash-zone": Faults.crash_zone,
    "postgres": Faults.postgres,
    "pause": Faults.pause,
    "strand": Faults.strand,
    "bridge": Faults.bridge,
    "duel": Faults.duel,
    "deaf": Faults.deaf,
    "isolate": Faults.isolate,
    "split": Faults.split,
    "split-zone": Faults.split_zone,
    "links": Faults.links,
    "link": Faults.link,
    "network": Faults.bad_network,
    "slow-disk": Faults.slow_disk,
    "end": Faults.end_all,
    "bad-disk": Faults.bad_disk,
    "power": Faults.power,
    "power-in-step": Faults.power_in_step,
    "lagging": Faults.lagging,
    "failing": Faults.failing,
    "tail": Faults.tail,
    "clock": Faults.clock_jump,
    "api": Faults.api,
    "api-of-one": Faults.api_of_one,
    "halves": Faults.halves,
    "crash-half": Faults.crash_half,
    "switchover": Faults.switchover,
    "membership": Faults.membership,
    "volume": Faults.lose_volume,
    "evidence": Faults.evidence,
}
