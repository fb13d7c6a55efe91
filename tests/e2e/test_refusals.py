"""Specs that the API server cannot judge, but that cannot be carried out here: a condition says so, and what would."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.kube import until

from aurora_operator.api.base import names, reasons

BAD: list[tuple[str, dict[str, Any], str]] = [
    (
        "instance-zone",
        {"instanceSettings": [{"instance": 1, "availabilityZone": "mars"}]},
        "Zone mars of instance 1 does not exist: the zones are zone-a, zone-b, zone-c.",
    ),
    (
        "zone",
        {"durability": {"availabilityZones": ["zone-a", "mars"]}},
        "Zone mars in durability.availabilityZones does not exist: the zones are zone-a, zone-b, zone-c.",
    ),
    (
        "fourth-zone",
        {"durability": {"zones": 4}, "instances": 4},
        "durability.zones is 4, but the zones are zone-a, zone-b, zone-c: use 3, or add nodes in another zone.",
    ),
    (
        "class",
        {"storage": {"size": "2Gi", "storageClassName": "nope"}},
        "StorageClass nope does not exist: storage.storageClassName can be one of ",
    ),
]


@pytest.mark.parametrize(("name", "spec", "sentence"), BAD, ids=[bad[0] for bad in BAD])
def test_what_does_not_exist_is_named(namespace: str, name: str, spec: dict[str, Any], sentence: str) -> None:
    cluster = AuroraCluster(name, namespace)
    cluster.create(dict(SMALL) | spec)
    refused = cluster.wait_condition("SpecAccepted", "False", timeout=30, reason=reasons.IMPOSSIBLE_SPEC)
    assert sentence in refused["message"]
    assert cluster.status["phase"] == "Blocked"
    assert not kube.items("statefulsets", namespace, f"{names.LABEL_CLUSTER}={name}")
    until("an event says so", lambda: cluster.events(reasons.SPEC_REJECTED), timeout=10)
    cluster.delete()


def test_a_bad_edit_leaves_the_cluster_as_it_was(cluster: AuroraCluster) -> None:
    before = {name: cluster.started(name) for name in cluster.instances()}
    roles = cluster.serving()
    cluster.change({"durability": {"zones": 5}, "instances": 5})
    cluster.wait_condition("SpecAccepted", "False", timeout=30, reason=reasons.IMPOSSIBLE_SPEC)
    cluster.wait_condition("Available", "True", timeout=10)
    assert cluster.serving() == roles
    assert {name: cluster.started(name) for name in cluster.instances()} == before
    cluster.change({"durability": {"zones": None}, "instances": 3})
    cluster.wait_condition("SpecAccepted", "True", timeout=30)
    cluster.wait_ready()
    assert {name: cluster.started(name) for name in cluster.instances()} == before
