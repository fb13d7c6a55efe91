"""The writer is frozen or cut off, or much more is lost: writing goes on, nothing is missing, nothing read is stale."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from tests.e2e import faults, outages
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.lasting import LONGEST_GAP, Case, check_writing_goes_on, on_node, on_pod
from tests.e2e.probe import Probe

from aurora_operator.api.base import names

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("healed")]

CASES = [
    Case("postgres-frozen", on_pod(outages.frozen_postgres)),
    Case("agent-frozen", on_pod(outages.frozen_agent)),
    Case("node-paused", on_node(outages.paused_node), excused=True),
    Case("pod-cut-off-receiving", on_pod(partial(outages.cut_off_pod, direction="in"))),
    Case("zone-cut-off", on_node(outages.cut_off_zone)),
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
