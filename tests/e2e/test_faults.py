"""The writer's node is frozen or cut off, or the API server is: writing goes on, nothing is lost, no read is stale."""

from __future__ import annotations

import pytest
from tests.e2e import faults, outages
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.lasting import LONGEST_GAP, Case, check_writing_goes_on, on_node
from tests.e2e.probe import Probe

from aurora_operator.api.base import names

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("healed")]

CASES = [
    Case("node-paused", on_node(outages.paused_node), excused=True),
    Case("zone-cut-off", on_node(outages.cut_off_zone)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_writing_goes_on(cluster: AuroraCluster, measure: Measure, case: Case) -> None:
    check_writing_goes_on(cluster, measure, case)


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
