"""Virtual time, the pods, their clients, the operator and the cluster's record."""

from __future__ import annotations

import sys
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from tests.simulation.checker import Checker
from tests.simulation.network import Network
from tests.simulation.node import Node

from aurora_operator.agent.member.kubeapi import config_of, config_status
from aurora_operator.api.agent.record import Record
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.types import NO_CONFIG, Config, ConfigKey, Quorum, initial_config, majority, name_of

CLIENT_PERIOD = 130.0
OPERATOR_PERIOD = 400.0
SWITCHOVER_PERIOD = 1200.0
"""How long a leader leads before it is to hand over, or to try that again: the operator hears of it by its status."""


class World:
    """One run. Everything random comes from `rng`, so that a seed says all."""

    def __init__(self, seed: int, *, tracing: bool = False) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.tracing = tracing
        self.now = 0.0
        self.heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.sequence = 0
        self.steps = 0
        self.entries = 0
        self.drift = 0.002
        self.network = Network(self, self.rng)
        self.checker = Checker(self)
        self.nodes: dict[str, Node] = {}
        self.kept: dict[str, Node] = {}
        """Given up: they do not run, and the operator knows them no more, even when somebody brings them back."""
        self.unseen: set[str] = set()
        """Names of pods that do not answer the operator."""
        self.incarnations = 0
        self.zones, self.logs = 3, 0
        self.wanted: frozenset[str] = frozenset()
        self.seen: tuple[str, int | None, float] = ("", None, 0.0)
        """The leader that the operator knows, its epoch, and since when."""
        self.api_down = False
        self.tearing = False
        """Who follows a new leader begins to rewind, needed or not; that breaks off, and nothing completes it yet."""
        self.kept_record = Record(state="initialised")
        self.record_version = 0
        self.record: Config | None = None
        """The membership in it."""
        self.false_evidence = 0.0
        self.repair_delay = self.rng.choice((1000, 2500, 60_000))
        self.calm = False
        """Faults are over."""

    # --- time ------------------------------------------------------------------------------------------------------

    def at(self, delay: float, function: Callable[..., None], *args: Any) -> None:
        """Call after `delay` ms."""
        self.sequence += 1
        heappush(self.heap, (self.now + delay, self.sequence, function, args))

    def run(self, until: float, done: Callable[[], bool] | None = None) -> bool:
        """Go on until that time, or until `done` (asked after each event of the operator's period)."""
        heap = self.heap
        asked = self.now
        while heap and heap[0][0] <= until:
            self.now, _, function, args = heappop(heap)
            function(*args)
            if done is not None and self.now - asked >= 100:
                asked = self.now
                if done():
                    return True
        self.now = until
        return False

    def end(self) -> None:
        """Nothing happens any more."""
        for node in (*self.nodes.values(), *self.kept.values()):
            if node.alive:
                node.process.abandon()

    # --- pods ------------------------------------------------------------------------------------------------------

    def add(self, name: str, zone: str, durable: ev.Durable) -> Node:
        """A pod on a new volume."""
        self.incarnations += 1
        node = Node(self, name, chr(96 + self.incarnations), zone, durable)
        node.tier, node.size = self.rng.choice((1, 1, 0)), self.rng.choice((1, 1, 2))
        self.nodes[node.id] = node
        return node

    def form(self, instances: int, logs: int, *, bootstrap: bool) -> None:
        """A cluster's first copies, formed already or with all but the first still to join."""
        self.zones = 2 if instances + logs == 4 and logs else 3
        self.logs = logs
        names = [f"c{i}" for i in range(1, instances + 1)] + [f"l{i}" for i in range(1, logs + 1)]
        count = len(names)
        self.wanted = frozenset(names)
        for name in names:
            self.add(name, self.zone(name), ev.Durable(0, NO_CONFIG))
        ids = list(self.nodes)
        if bootstrap:
            config = initial_config(ids[0])
            for other in ids[1:]:
                self.nodes[other].db.torn = True
            self.nodes[ids[0]].lay_out(ev.Durable(0, config))
        else:
            config = Config(ConfigKey(0, 2), Quorum(frozenset(ids), majority(count)))
            for node in self.nodes.values():
                node.lay_out(ev.Durable(0, config))
            self.keep_record(Record(state="initialised", config=config_status(config)))
        for node in list(self.nodes.values()):
            self.at(300 * self.rng.random(), node.boot)
        self.at(OPERATOR_PERIOD, self.operate)
        self.at(CLIENT_PERIOD, self.clients)

    def zone(self, name: str) -> str:
        """Where the copy of this name lives."""
        return f"z{int(name[1:]) % self.zones}"

    def lose_volume(self, node: Node) -> None:
        """The pod comes back on an empty volume, as another incarnation."""
        self.note(node, "LOSES ITS VOLUME")
        node.crash(1e9)
        del self.nodes[node.id]
        new = self.add(node.name, node.zone, ev.Durable(0, NO_CONFIG))
        new.db.torn = True
        self.at(200 + 2000 * self.rng.random(), new.boot)

    def keep_aside(self, node: Node) -> None:
        """The pod is ended for good; its volume is kept."""
        self.note(node, "IS GIVEN UP")
        node.crash(1e9)
        self.kept[node.id] = self.nodes.pop(node.id)

    def bring_back(self, copy: str) -> None:
        """A pod on a volume that was kept."""
        if copy in self.kept and copy not in self.nodes:
            self.nodes[copy] = self.kept[copy]
            self.note(self.kept[copy], "COMES BACK")
            self.kept[copy].boot()

    def whole(self) -> bool:
        """Whether every voter of every known membership still has its volume and could start from it."""
        known = {voter for node in self.nodes.values() for voter in node.durable.config.voters}
        return all(voter in self.nodes and not self.nodes[voter].db.torn for voter in known)

    def died(self, node: Node) -> None:
        """Peers that can reach the pod's address find its ports closed."""
        self.at(100 + 150 * self.rng.random(), self._notice, node, node.life)

    def _notice(self, node: Node, life: int) -> None:
        if node.life != life or node.state is not None:
            return
        for peer in self.nodes.values():
            if peer is not node and peer.state is not None and self.network.connected(peer, node):
                peer.handle(ev.PeerDead(node.id))
        self.at(400, self._notice, node, life)

    def reachable(self, node: Node, source: Node) -> bool:
        """Whether `node` can stream from that one's PostgreSQL."""
        return (
            source is not node
            and source.state is not None
            and source.db.up
            and not source.db.frozen
            and self.network.connected(node, source)
        )

    # --- clients and the operator ----------------------------------------------------------------------------------

    def clients(self) -> None:
        """Sessions at every open writer, old ones included, read and write."""
        self.at(CLIENT_PERIOD * (0.7 + 0.6 * self.rng.random()), self.clients)
        for node in self.nodes.values():
            db = node.db
            if db.open and not db.frozen and db.up:
                self.checker.reads(node)
                db.write()

    def wish(self, node: Node, repair_delay: int | None = None) -> ev.Wanted:
        """What the operator tells a copy."""
        delay = self.repair_delay if repair_delay is None else repair_delay
        return ev.Wanted(self.wanted, majority(len(self.wanted)), node.tier, node.size, delay)

    def want(self, names: frozenset[str]) -> None:
        """Another membership is wished for; copies hear of it one by one."""
        self.wanted = names
        for name in sorted(names):
            if all(n.name != name for n in self.nodes.values()):
                node = self.add(name, self.zone(name), ev.Durable(0, NO_CONFIG))
                node.db.torn = True
                self.at(500 * self.rng.random(), node.boot)
        for node in self.nodes.values():
            self.at(300 * self.rng.random(), self._tell, node)

    def _tell(self, node: Node) -> None:
        node.handle(self.wish(node))

    def leader(self) -> Node | None:
        """The open leader of the highest epoch."""
        open_ = [n for n in self.nodes.values() if n.db.open and n.state is not None and n.state.role == Role.LEADING]
        return max(open_, key=lambda n: n.db.epoch or 0, default=None)

    def operate(self) -> None:
        """Remove pods that have left the membership; hand over from a leader that should not be there."""
        self.at(OPERATOR_PERIOD, self.operate)
        leader = self.leader()
        if leader is None or leader.state is None or leader.state.leadership is None:
            return
        config = leader.state.durable.config
        if leader.name not in self.wanted:
            if self.seen[:2] != (leader.id, leader.db.epoch):
                self.seen = leader.id, leader.db.epoch, self.now
            if self.now < self.seen[2] + SWITCHOVER_PERIOD:
                return
            self.seen = leader.id, leader.db.epoch, self.now
            leader.handle(ev.SwitchoverRequested(None))
        elif (
            config.new is None
            and leader.state.leadership.synced == config.key
            and leader.state.leadership.proposal is None
            and leader.state.wanted == self.wish(leader)
        ):
            for node in list(self.nodes.values()):
                if node.name not in self.wanted and node.id not in config.voters and node.id not in self.kept:
                    self.note(node, "is removed")
                    node.crash(1e9)
                    del self.nodes[node.id]

    def settled(self, since: float) -> bool:
        """Whether a leader commits, the wanted membership is in force, and all of it streams."""
        leader = self.leader()
        if leader is None or leader.state is None or leader.state.leadership is None:
            return False
        config = leader.state.durable.config
        return (
            self.checker.commit_time > since
            and config.new is None
            and {name_of(c) for c in config.voters} == self.wanted
            and config.voters <= self.nodes.keys()
            and leader.state.leadership.synced == config.key
            and all(voter == leader.id or voter in leader.db.flushed for voter in config.voters)
        )

    def api_lost(self, node: Node) -> bool:
        """Whether this pod gets no answer from the API server now."""
        return self.api_down or node.name in self.network.without_api

    def keep_record(self, record: Record) -> None:
        """Written; whoever has read another version conflicts with this one."""
        self.kept_record = record
        self.record_version += 1
        self.record = None if record.config is None else config_of(record.config)

    # --- traces ----------------------------------------------------------------------------------------------------

    def note(self, node: Node, text: str) -> None:
        """A line of the trace."""
        if self.tracing:
            sys.stdout.write(f"{self.now:9.1f} {node.id:5} ** {text}\n")

    def trace_event(self, node: Node, event: ev.Event) -> None:
        """What a copy's core is about to see."""
        state = node.state
        assert state is not None
        length, epoch = len(node.db.log), node.db.runs[-1][0]
        head = f"{self.now:9.1f} {node.id:5} {state.role:10} p={state.durable.promised} log={epoch}:{length}"
        sys.stdout.write(f"{head} <- {event}\n")

    def trace_effect(self, effect: ev.Effect) -> None:
        """What comes of it."""
        sys.stdout.write(f"{'':28}-> {effect}\n")
