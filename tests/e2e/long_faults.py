"""More of test_faults.py: too long for every run. `make faults` and `make soak` run them; pytest finds this file by
its name only."""

from __future__ import annotations

import time
from functools import partial

import pytest
from tests.e2e import outages
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.lasting import HOLD, Case, check_writing_goes_on, node_of, on_node, on_pod
from tests.e2e.probe import Probe

from aurora_operator.api.base import names

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("healed")]

CASES = [
    Case("pod-cut-off", on_pod(outages.cut_off_pod)),
    Case("pod-cut-off-receiving", on_pod(partial(outages.cut_off_pod, direction="in"))),
    Case("pod-cut-off-sending", on_pod(partial(outages.cut_off_pod, direction="out"))),
    Case("zone-cut-off-sending", on_node(partial(outages.cut_off_zone, direction="out"))),
    Case("zone-cut-off-receiving", on_node(partial(outages.cut_off_zone, direction="in"))),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_writing_goes_on(cluster: AuroraCluster, measure: Measure, case: Case) -> None:
    check_writing_goes_on(cluster, measure, case)


def test_a_frozen_reader_is_nobodys_loss(cluster: AuroraCluster) -> None:
    before = cluster.leadership()
    reader = cluster.readers()[0]
    with Probe(cluster, avoid_node=node_of(cluster, reader)) as probe:
        with outages.frozen_postgres(cluster.namespace, names.pod_name(reader)) as at:
            probe.wait_acknowledged(200)
            until("the outage has lasted", lambda: time.time() > at + HOLD, timeout=HOLD + 1)
        probe.wait_acknowledged(200)
        report = probe.stop()
    report.require_nothing_lost()
    assert cluster.leadership() == before
    cluster.wait_roles(readers=2)


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
