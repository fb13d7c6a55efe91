"""The writer is lost, nobody is there to help, and writing goes on with nothing missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.e2e import faults, operating
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure, Shared
from tests.e2e.probe import Probe

from aurora_operator.api import names

pytestmark = pytest.mark.alone

LONGEST_GAP = 10.0
"""Seconds without a write beyond which a failover has gone wrong; bench/failover says how long they take."""


@pytest.fixture(scope="module")
def without_operator(shared: Shared) -> Iterator[None]:
    shared.ready()
    with operating.stopped():
        yield


@pytest.mark.parametrize(
    "fault",
    [faults.kill_postmaster, faults.kill_agent, faults.delete_by_force, faults.delete_gracefully],
    ids=lambda fault: fault.__name__,
)
def test_writing_goes_on(
    cluster: AuroraCluster, without_operator: None, measure: Measure, fault: Callable[[str, str], float]
) -> None:
    before = cluster.leadership()
    pod = names.pod_name(before.instance)
    with Probe(cluster) as probe:
        at = fault(cluster.namespace, pod)
        after = cluster.wait_leadership(before)
        probe.wait_acknowledged(200)
        roles = cluster.wait_roles(readers=2)
        report = probe.stop()
    measure(f"{fault.__name__}: longest time without a write, seconds", report.longest_gap(at))
    measure(f"{fault.__name__}: the probe", report.summary())
    report.require_nothing_lost()
    assert report.longest_gap(at) < LONGEST_GAP
    assert roles[after.instance] == "writer"
    assert after.instance == before.instance or roles[before.instance] == "reader"
