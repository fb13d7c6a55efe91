"""What tests of lasting faults share."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import PATIENCE, until
from tests.e2e.probe import Probe

from aurora_operator.api.base import names

LEASE = 3.0
HOLD = 2 * LEASE + 2
"""Seconds that an outage lasts at least: longer than the lease, however late it begins."""
LONGEST_GAP = 15.0 * PATIENCE
"""Seconds without a write beyond which a failover has gone wrong; bench/failover says how long they take."""
WAKING = 1.0
"""Seconds in which what was frozen notices what it missed."""

Outage = Callable[[AuroraCluster, str], AbstractContextManager[float]]


def on_pod(outage: Callable[[str, str], AbstractContextManager[float]]) -> Outage:
    return lambda cluster, instance: outage(cluster.namespace, names.pod_name(instance))


def on_node(outage: Callable[[str], AbstractContextManager[float]]) -> Outage:
    return lambda cluster, instance: outage(node_of(cluster, instance))


def node_of(cluster: AuroraCluster, instance: str) -> str:
    name: str = cluster.pod(instance)["spec"]["nodeName"]
    return name


@dataclass(frozen=True)
class Case:
    """An outage of the writer; `excused`: whether PostgreSQL may answer for a moment when all of it wakes up."""

    name: str
    outage: Outage
    excused: bool = False


def check_writing_goes_on(cluster: AuroraCluster, measure: Measure, case: Case) -> None:
    """Let it happen to the writer: another one takes over, and nothing is missing when the first comes back."""
    before = cluster.leadership()
    with Probe(cluster, avoid_node=node_of(cluster, before.instance)) as probe:
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
