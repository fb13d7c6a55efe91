"""Instances come and go under load; the writer goes only after it has handed over."""

from __future__ import annotations

from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.probe import Probe
from tests.kind.context import kubectl

from aurora_operator.api.base import names

LONGEST_GAP = 10.0 * kube.PATIENCE
"""Seconds without a write: none is interrupted for longer than a switchover takes."""


def test_three_five_two(cluster: AuroraCluster, measure: Measure) -> None:
    with Probe(cluster) as probe:
        cluster.change({"instances": 5})
        cluster.wait_ready(240)
        grown = cluster.wait_roles(readers=4)
        # The writer would be kept before others: let it be one that goes because others are named.
        before = cluster.leadership()
        cluster.annotate(names.ANNOTATION_SWITCHOVER, "demo-5")
        assert cluster.wait_leadership(before).instance == "demo-5"
        cluster.wait_ready()
        cluster.change(
            {
                "instances": 2,
                "instanceSettings": [{"instance": 1}, {"instance": 2}],
                "durability": {"copies": 2},
            }
        )
        cluster.wait_ready(240)
        shrunk = cluster.wait_roles(readers=1)
        report = probe.stop()
    measure("instances 3 to 5 to 2: longest time without a write, seconds", report.longest_gap())
    measure("instances 3 to 5 to 2: the probe", report.summary())
    report.require_nothing_lost()
    assert report.longest_gap() < LONGEST_GAP
    assert sorted(grown) == [f"demo-{ordinal}" for ordinal in range(1, 6)]
    assert sorted(shrunk) == ["demo-1", "demo-2"]
    until("volumes that are not used are gone", lambda: _volumes(cluster) == ["data-demo-1", "data-demo-2"], timeout=60)
    status = cluster.status
    assert (status["durability"]["copies"], status["durability"]["writeQuorum"]) == (2, 2)
    assert [member["name"] for member in status["members"]] == ["demo-1", "demo-2"]


def test_one_more_again(cluster: AuroraCluster) -> None:
    """By the scale subresource, as an autoscaler does; the number that is free is used again."""
    cluster.change({"instanceSettings": None, "durability": {"copies": 3}})
    until("a log copy fills up", lambda: "data-demo-log-1" in _volumes(cluster), timeout=60)
    kubectl("--namespace", cluster.namespace, "scale", f"ac/{cluster.name}", "--replicas=3")
    cluster.wait_ready(180)
    assert sorted(cluster.wait_roles(readers=2)) == ["demo-1", "demo-2", "demo-3"]


def _volumes(cluster: AuroraCluster) -> list[str]:
    claims = kube.items("pvc", cluster.namespace, f"{names.LABEL_CLUSTER}={cluster.name}")
    return sorted(claim["metadata"]["name"] for claim in claims)
