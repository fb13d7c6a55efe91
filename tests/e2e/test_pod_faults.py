"""A process of the writer's pod stands still, or all pods are killed: nothing is lost, no read is stale. No node is
harmed, so that other tests may run beside."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e import faults, outages
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.lasting import Case, check_writing_goes_on, on_pod
from tests.e2e.probe import Probe

from aurora_operator.api.base import names

CASES = [
    Case("postgres-frozen", on_pod(outages.frozen_postgres)),
    Case("agent-frozen", on_pod(outages.frozen_agent)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_writing_goes_on(cluster: AuroraCluster, measure: Measure, case: Case) -> None:
    check_writing_goes_on(cluster, measure, case)


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
