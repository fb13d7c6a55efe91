"""Every interleaving, for a small cluster: `python -m tests.simulation.exhaustive`.

Three copies, a leader whose agent is cut off while its PostgreSQL still streams, and from there all orders of: commits,
WAL and its acknowledgements, the ends of leases and requests, promises and heartbeats that arrive late or never,
receivers that stop, fetches and promotions, crashes at any moment, the end of the partition. The core is the real one;
a clock may jump at any time, since no commit may depend on it. Pre-votes and acknowledgements of heartbeats, which
promise nothing, are delivered at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from tests.simulation.checker import ViolationError
from tests.simulation.situation import COPIES, DIGESTS, TIMING, Budget, Log, Situation

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.step import start
from aurora_operator.consensus.types import Config, ConfigKey, Quorum


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
    for copy, log in enumerate(now.logs):
        yield from _replication(now, copy, log)
        yield from _time(now, copy)
        if log.open and now.budget.writes:
            after = now.copy()
            after.logs[copy] = replace(log, entries=(*log.entries, (log.epoch or 0, len(log.entries))))
            after.budget = replace(now.budget, writes=now.budget.writes - 1)
            yield f"a client writes at {COPIES[copy]}", after
        if now.budget.crashes:
            after = now.copy()
            after.budget = replace(now.budget, crashes=now.budget.crashes - 1)
            after.stop(copy)
            durable = now.states[copy].durable
            after.states[copy] = start(COPIES[copy], copy + 1, durable, after.clocks[copy], TIMING)
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
    if len(source.entries) > len(log.entries):
        after = now.copy()
        after.logs[copy] = replace(log, entries=source.entries[: len(log.entries) + 1])
        yield f"{COPIES[copy]} flushes WAL of {COPIES[log.upstream]}", after
    if source.flushed[copy] != len(log.entries):
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
            yield f"the time of a {name} passes for {COPIES[copy]}", after


def beginning(budget: Budget) -> Situation:
    """A leads epoch 2, its commits acknowledged by B and C; its agent has just been cut off."""
    config = Config(ConfigKey(0, 2), Quorum(frozenset(COPIES), 2))
    clocks = [TIMING.lease] * 3
    states = [start(c, i + 1, ev.Durable(0, config), 0, TIMING) for i, c in enumerate(COPIES)]
    for state in states:
        state.next_try = 10 * TIMING.lease
    states[0].next_try = 0
    now = Situation(states, clocks, [Log(((1, 0),), up=False) for _ in COPIES], cut=False, budget=budget)
    for copy in (1, 2, 0):
        now.restart(copy)
    now.budget = Budget(0, 0, 0, (0, 0, 0), (0, 0, 0))
    while after := next(possible(now), None):
        now = after[1]
    if not now.logs[0].open or any(log.entries != now.logs[0].entries for log in now.logs):
        raise RuntimeError("the beginning is not as described")
    for state in now.states:
        state.next_try = 0
    now.messages, now.cut, now.budget = frozenset(), True, budget
    return now


def search(budget: Budget, limit: int) -> tuple[int, int, bool]:
    """All that can be reached, breadth first: how many situations, how deep, and whether that was all."""
    first = beginning(budget)
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
    parser.add_argument("--writes", type=int, default=2)
    parser.add_argument("--crashes", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    try:
        found, depth, complete = search(Budget(arguments.writes, arguments.crashes), arguments.limit)
    except ViolationError as error:
        print(error)
        return 1
    extent = "all of them" if complete else "stopped there"
    print(f"ok: {found} situations, {depth} steps deep, {extent}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
