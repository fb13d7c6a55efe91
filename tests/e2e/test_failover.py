"""The writer is lost, nobody is there to help, and writing goes on with nothing missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.e2e import faults, kube, operating
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure, Shared
from tests.e2e.kube import Object
from tests.e2e.probe import Probe

from aurora_operator.api.base import names

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
    [
        faults.kill_postmaster,
        faults.kill_agent,
        faults.delete_gracefully,
        # To the others it is a killed agent, and its pod is made anew as the deleted one's is.
        pytest.param(faults.delete_by_force, marks=pytest.mark.soak),
    ],
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


def test_no_service_changes_before_the_writers(cluster: AuroraCluster) -> None:
    """kube-proxy takes in the first change at once, and the next one a second later."""

    def whole() -> dict[str, list[Object]] | None:
        found = _endpoints(cluster)
        # The writer twice, each reader twice: by its own Service, and by the one over all.
        return found if sum(e["conditions"]["ready"] for each in found.values() for e in each) == 6 else None

    before = kube.until("all Services lead to all of theirs", whole, timeout=60)
    faults.delete_gracefully(cluster.namespace, names.pod_name(cluster.leadership().instance))

    def changed() -> set[str]:
        return {name for name, endpoints in _endpoints(cluster).items() if endpoints != before[name]}

    first = kube.until("a Service leads elsewhere", changed, timeout=30, every=0.05)
    assert names.writer_endpointslice(cluster.name) in first
    cluster.wait_roles(readers=2)


def _endpoints(cluster: AuroraCluster) -> dict[str, list[Object]]:
    """Of all Services that kube-proxy minds, by EndpointSlice."""
    slices = kube.items("endpointslices", cluster.namespace, "!service.kubernetes.io/headless")
    return {slice["metadata"]["name"]: slice["endpoints"] or [] for slice in slices}
