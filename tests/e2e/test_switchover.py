"""The writer hands over because somebody asked for it."""

from __future__ import annotations

import pytest
from tests.e2e import kube
from tests.e2e.aurora import RESOURCE, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.probe import Probe

from aurora_operator.api.base import names, reasons


@pytest.mark.parametrize("named", [True, False], ids=["to-one", "to-any"])
def test_a_switchover_loses_nothing(cluster: AuroraCluster, measure: Measure, named: bool) -> None:
    before = cluster.leadership()
    target = cluster.readers()[-1] if named else "any"
    with Probe(cluster) as probe:
        cluster.annotate(names.ANNOTATION_SWITCHOVER, target)
        after = cluster.wait_leadership(before)
        probe.wait_acknowledged(200)
        cluster.wait_roles(readers=2)
        report = probe.stop()
    measure(f"switchover to {target}: longest time without a write, seconds", report.longest_gap())
    measure(f"switchover to {target}: the probe", report.summary())
    report.require_nothing_lost()
    assert report.longest_gap() < 10 * kube.PATIENCE
    assert after.instance != before.instance
    assert after.instance == target or not named
    until("the request is answered", lambda: _annotation(cluster) is None, timeout=30)
    until("an event says so", lambda: cluster.events(reasons.SWITCHED_OVER), timeout=30)


def test_a_switchover_to_nobody_is_refused(cluster: AuroraCluster) -> None:
    before = cluster.leadership()
    cluster.annotate(names.ANNOTATION_SWITCHOVER, "demo-9")
    refused = until("the request is refused", lambda: cluster.events(reasons.SWITCHOVER_REFUSED), timeout=30)
    assert "demo-9" in refused[-1]["message"]
    until("the request is gone", lambda: _annotation(cluster) is None, timeout=30)
    assert cluster.leadership() == before


def _annotation(cluster: AuroraCluster) -> str | None:
    metadata = kube.need(RESOURCE, cluster.name, cluster.namespace)["metadata"]
    value: str | None = metadata.get("annotations", {}).get(names.ANNOTATION_SWITCHOVER)
    return value
