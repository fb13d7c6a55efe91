"""Every interleaving, for a small cluster: `python -m tests.simulation.exhaustive`.

A leader whose agent is cut off while its PostgreSQL still streams, and from there all orders of: commits, WAL and its
acknowledgements, the ends of leases and requests, promises and heartbeats that arrive late or never, receivers that
stop, fetches and promotions, crashes at any moment, the end of the partition. The core is the real one; a clock may
jump at any time, since no commit may depend on it. Pre-votes and acknowledgements of heartbeats, which promise nothing,
are delivered at once.

Three instances; two and a log copy; or two that may each give the other up, as the record decides: its answers may come
late or never, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from tests.simulation.checker import ViolationError
from tests.simulation.situation import COPIES, DIGESTS, TIMING, Budget, Log, Situation

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.state import State
from aurora_operator.consensus.step import start, step
from aurora_operator.consensus.types import NO_CONFIG, Config, ConfigKey, Quorum, name_of


@dataclass(frozen=True)
class Scene:
    """Who is there at the beginning."""

    copies: int = 3
    instances: int = 3
    repair_delay: int = 3_600_000
    """As in `events.Wanted`: that long is not waited here, unless it is very short."""
    api: bool = False
    """Whether there is an API server; then PostgreSQL is cut off, too."""


SCENES = {
    "instances": Scene(),
    "log-copy": Scene(instances=2),
    "shrink": Scene(copies=2, instances=2, repair_delay=1, api=True),
}
BUDGETS = {
    "instances": Budget(writes=2, crashes=1),
    "log-copy": Budget(writes=2, crashes=1),
    "shrink": Budget(writes=1, crashes=0, heals=0, leases=(0, 2, 0), requests=(7, 5, 0)),
}


def possible(now: Situation) -> Iterator[tuple[str, Situation]]:
    """Everything that can happen next."""
    for message in now.messages:
        after = now.copy()
        after.messages -= {message}
        source, to, body = message
        if not (now.cut and 0 in (source, to)):
            after.happen(to, ev.Received(COPIES[source], body))
            yield f"{COPIES[to]} receives {body} from {COPIES[source]}", after
    for copy, task in now.tasks:
        after = now.copy()
        after.finish(copy, task)
        yield f"{COPIES[copy]} has done {task}", after
        if isinstance(task, ev.WriteRecord) and now.budget.lost:
            for done in (True, False):
                after = now.copy()
                after.budget = replace(now.budget, lost=now.budget.lost - 1)
                after.lose_answer(copy, task, done=done)
                yield f"{COPIES[copy]} hears nothing of {task}, {'done' if done else 'not done'}", after
    for copy, log in enumerate(now.logs):
        yield from _replication(now, copy, log)
        yield from _time(now, copy)
        if log.open and now.budget.writes:
            after = now.copy()
            after.budget = replace(now.budget, writes=now.budget.writes - 1)
            after.write(copy)
            yield f"a client writes at {COPIES[copy]}", after
        if now.budget.crashes:
            after = now.copy()
            after.budget = replace(now.budget, crashes=now.budget.crashes - 1)
            after.stop(copy)
            durable = now.states[copy].durable
            after.states[copy] = begin(copy, durable, after.clocks[copy], now.states[copy].wanted, log.instance)
            after.restart(copy)
            yield f"{COPIES[copy]} crashes and restarts", after
    if now.cut and now.budget.heals:
        after = now.copy()
        after.cut, after.budget = False, replace(now.budget, heals=0)
        yield "the partition ends", after


def _replication(now: Situation, copy: int, log: Log) -> Iterator[tuple[str, Situation]]:
    if log.upstream is None:
        return
    source = now.logs[log.upstream]
    common = log.common(source)
    if len(source.entries) > common:
        after = now.copy()
        after.logs[copy] = replace(log, entries=source.entries[: common + 1])
        yield f"{COPIES[copy]} flushes WAL of {COPIES[log.upstream]}", after
    if source.flushed[copy] != common:
        after = now.copy()
        after.acknowledge(copy)
        yield f"{COPIES[copy]} acknowledges to {COPIES[log.upstream]}", after


def _time(now: Situation, copy: int) -> Iterator[tuple[str, Situation]]:
    budget = now.budget
    for name, length, left in (("lease", TIMING.lease, budget.leases), ("request", TIMING.request, budget.requests)):
        if left[copy]:
            fewer = (*left[:copy], left[copy] - 1, *left[copy + 1 :])
            after = now.copy()
            after.clocks[copy] += length + 1
            after.budget = replace(budget, leases=fewer) if name == "lease" else replace(budget, requests=fewer)
            after.happen(copy, ev.Tick())
            if now.record != NO_CONFIG:
                after.look(copy)  # one that is alone hears of nobody's WAL
            yield f"the time of a {name} passes for {COPIES[copy]}", after


def begin(copy: int, durable: ev.Durable, now: int, wanted: ev.Wanted | None, instance: bool) -> State:
    """A copy whose agent starts."""
    state = start(COPIES[copy], copy + 1 if instance else 0, durable, now, TIMING, instance=instance)
    return state if wanted is None else step(state, now, wanted)[0]


def beginning(budget: Budget, scene: Scene) -> Situation:
    """A leads epoch 2, its commits acknowledged by the others; its agent has just been cut off."""
    copies = COPIES[: scene.copies]
    config = Config(ConfigKey(0, 2), Quorum(frozenset(copies), 2))
    wanted = ev.Wanted(frozenset(map(name_of, copies)), 2, 1, 1, scene.repair_delay)
    instances = [i < scene.instances for i in range(scene.copies)]
    states = [begin(i, ev.Durable(0, config), 0, wanted, instance) for i, instance in enumerate(instances)]
    for state in states:
        state.next_try = 10 * TIMING.lease
    states[0].next_try = 0
    logs = [Log(((1, 0),), up=False, instance=instance) for instance in instances]
    now = Situation(states, [TIMING.lease] * scene.copies, logs, cut=False, budget=budget)
    if scene.api:
        now.record = config
    for copy in (*range(1, scene.copies), 0):
        now.restart(copy)
    now.budget = Budget(0, 0, 0, (0, 0, 0), (0, 0, 0))
    while after := next(possible(now), None):
        now = after[1]
    if not now.logs[0].open or any(log.entries != now.logs[0].entries for log in now.logs):
        raise RuntimeError("the beginning is not as described")
    for state in now.states:
        state.next_try = 0
    now.messages, now.cut, now.budget = frozenset(), True, budget
    if scene.api:
        now.logs = [replace(log, upstream=None) for log in now.logs]
    return now


def search(budget: Budget, limit: int, scene: Scene = SCENES["instances"]) -> tuple[int, int, bool]:
    """All that can be reached, breadth first: how many situations, how deep, and whether that was all."""
    first = beginning(budget, scene)
    seen = {first.key()}
    layer: list[tuple[Situation, tuple[str, ...]]] = [(first, ())]
    for depth in count():
        following: list[tuple[Situation, tuple[str, ...]]] = []
        for now, path in layer:
            try:
                for name, after in possible(now):
                    key = after.key()
                    if key not in seen:
                        seen.add(key)
                        following.append((after, (*path, name)))
            except ViolationError as error:
                raise ViolationError("\n".join((*path, str(error)))) from error
        if not following or len(seen) > limit:
            return len(seen), depth, not following
        layer = following
        DIGESTS.clear()
    raise AssertionError


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.exhaustive", description=__doc__)
    parser.add_argument("--limit", type=int, default=1_000_000, help="stop after so many situations")
    parser.add_argument("--scene", choices=SCENES, default="instances")
    parser.add_argument("--writes", type=int)
    parser.add_argument("--crashes", type=int)
    arguments = parser.parse_args()
    budget = BUDGETS[arguments.scene]
    asked = {"writes": arguments.writes, "crashes": arguments.crashes}
    budget = replace(budget, **{name: number for name, number in asked.items() if number is not None})
    began = time.monotonic()
    try:
        found, depth, complete = search(budget, arguments.limit, SCENES[arguments.scene])
    except ViolationError as error:
        print(error)
        return 1
    extent = "all of them" if complete else "stopped there"
    print(f"ok: {found} situations, {depth} steps deep, {extent}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
