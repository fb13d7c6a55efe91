"""The writer is frozen, cut off, or without room: writing goes on, nothing is missing, nothing read is stale."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import pytest
from tests.e2e import faults, outages
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.probe import Probe

from aurora_operator.api import names

LEASE = 3.0
HOLD = 2 * LEASE + 2
"""Seconds that an outage lasts at least: longer than the lease, however late it begins."""
LONGEST_GAP = 15.0
"""Seconds without a write beyond which a failover has gone wrong; bench/failover says how long they take."""
WAKING = 1.0
"""Seconds in which what was frozen notices what it missed."""

Outage = Callable[[AuroraCluster, str], AbstractContextManager[float]]


def _pod(outage: Callable[[str, str], AbstractContextManager[float]]) -> Outage:
    return lambda cluster, instance: outage(cluster.namespace, names.pod_name(instance))


def _node(outage: Callable[[str], AbstractContextManager[float]]) -> Outage:
    return lambda cluster, instance: outage(_node_of(cluster, instance))


def _node_of(cluster: AuroraCluster, instance: str) -> str:
    name: str = cluster.pod(instance)["spec"]["nodeName"]
    return name


@dataclass(frozen=True)
class Case:
    """An outage of the writer; `excused`: whether PostgreSQL may answer for a moment when all of it wakes up."""

    name: str
    outage: Outage
    excused: bool = False


CASES = [
    Case("postgres-frozen", _pod(outages.frozen_postgres)),
    Case("agent-frozen", _pod(outages.frozen_agent)),
    Case("node-paused", _node(outages.paused_node), excused=True),
    Case("pod-cut-off-receiving", _pod(partial(outages.cut_off_pod, direction="in"))),
    Case("zone-cut-off", _node(outages.cut_off_zone)),
]
MORE_CASES = [
    Case("pod-cut-off", _pod(outages.cut_off_pod)),
    Case("pod-cut-off-sending", _pod(partial(outages.cut_off_pod, direction="out"))),
    Case("zone-cut-off-sending", _node(partial(outages.cut_off_zone, direction="out"))),
]
MANY = os.environ.get("AURORA_FAULTS") == "all"
many = pytest.mark.skipif(not MANY, reason="make faults runs it: make test would take too long with all of them")


@pytest.fixture(autouse=True)
def healed() -> Iterator[None]:
    """What an interrupted test left behind ends."""
    outages.heal()
    yield
    outages.heal()


@pytest.mark.parametrize("case", CASES + MORE_CASES * MANY, ids=lambda case: case.name)
def test_writing_goes_on(cluster: AuroraCluster, measure: Measure, case: Case) -> None:
    before = cluster.leadership()
    with Probe(cluster, avoid_node=_node_of(cluster, before.instance)) as probe:
        with case.outage(cluster, before.instance) as at:
            after = cluster.wait_leadership(before)
            probe.wait_acknowledged(200)
            until("the outage has lasted", lambda: time.time() > at + HOLD, timeout=HOLD + 1)
        healed = time.time()
        roles = cluster.wait_roles(readers=2)
        probe.wait_acknowledged(100)
        report = probe.stop()
    measure(f"{case.name}: longest time without a write, seconds", report.longest_gap(at))
    measure(f"{case.name}: the probe", report.summary())
    report.require_nothing_lost(excused=[(at, healed + WAKING)] if case.excused else [])
    assert report.longest_gap(at) < LONGEST_GAP
    assert after.instance != before.instance
    assert roles[before.instance] == "reader"


@many
def test_a_frozen_reader_is_nobodys_loss(cluster: AuroraCluster) -> None:
    before = cluster.leadership()
    reader = cluster.readers()[0]
    with Probe(cluster, avoid_node=_node_of(cluster, reader)) as probe:
        with outages.frozen_postgres(cluster.namespace, names.pod_name(reader)) as at:
            probe.wait_acknowledged(200)
            until("the outage has lasted", lambda: time.time() > at + HOLD, timeout=HOLD + 1)
        probe.wait_acknowledged(200)
        report = probe.stop()
    report.require_nothing_lost()
    assert cluster.leadership() == before
    cluster.wait_roles(readers=2)


def test_all_pods_killed_at_once(cluster: AuroraCluster, measure: Measure) -> None:
    pods = [names.pod_name(instance) for instance in cluster.instances()]
    with Probe(cluster) as probe:
        agents = [faults.container(cluster.namespace, pod) for pod in pods]
        with ThreadPoolExecutor(len(agents)) as pool:
            at = min(pool.map(lambda agent: faults.signal(agent, "KILL"), agents))
        probe.wait_acknowledged(200, timeout=120)
        cluster.wait_roles(readers=2)
        report = probe.stop()
    measure("all pods killed: longest time without a write, seconds", report.longest_gap(at))
    report.require_nothing_lost()


def test_the_api_server_is_gone_for_the_whole_failover(cluster: AuroraCluster, measure: Measure) -> None:
    """No Service can move: the clients choose the writer among the instances themselves, as the Secret's URI lets."""
    before = cluster.leadership()
    writer = faults.container(cluster.namespace, names.pod_name(before.instance))
    with Probe(cluster, direct=True, avoid_node=writer.node) as probe:
        with outages.without_api():
            at = faults.signal(writer, "KILL")
            probe.wait_acknowledged(500)
        probe.wait_acknowledged(100)
        after = cluster.wait_leadership(before)
        cluster.wait_roles(readers=2)
        report = probe.stop()
    measure("API server gone: longest time without a write, seconds", report.longest_gap(at))
    measure("API server gone: the probe", report.summary())
    report.require_nothing_lost()
    assert report.longest_gap(at) < LONGEST_GAP
    assert after.epoch > before.epoch
    cluster.wait_ready()


@many
def test_the_writers_volume_is_full(cluster: AuroraCluster, measure: Measure) -> None:
    """Writes may wait until there is room again; what was acknowledged stays."""
    before = cluster.leadership()
    with Probe(cluster) as probe:
        with outages.full_volume(cluster.namespace, names.pod_name(before.instance)) as at:
            until("it has been full for a while", lambda: time.time() > at + HOLD, timeout=HOLD + 1)
        probe.wait_acknowledged(200, timeout=120)
        report = probe.stop()
    measure("full volume: longest time without a write, seconds", report.longest_gap(at))
    measure("full volume: the probe", report.summary())
    report.require_nothing_lost()
    cluster.wait_roles(readers=2)
    cluster.wait_ready()
