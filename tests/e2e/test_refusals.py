"""Specs that the API server cannot judge, but that cannot be carried out here: a condition says so, and what would."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster

from aurora_operator.api import names

BAD: list[tuple[str, dict[str, Any], str, list[str]]] = [
    (
        "zone",
        {"instanceSettings": [{"instance": 1, "availabilityZone": "zone-x"}]},
        "ZoneUnknown",
        ["zone-x", "zone-a"],
    ),
    ("zones", {"durability": {"availabilityZones": ["zone-a", "mars"]}}, "ZoneUnknown", ["mars", "zone-b"]),
    ("fourth", {"durability": {"zones": 4}, "instances": 4}, "NotEnoughZones", ["4", "3"]),
    ("class", {"storage": {"size": "2Gi", "storageClassName": "nope"}}, "StorageClassUnknown", ["nope", "aurora-csi"]),
]


@pytest.mark.parametrize(("name", "spec", "reason", "words"), BAD, ids=[bad[0] for bad in BAD])
def test_what_does_not_exist_is_named(
    namespace: str, name: str, spec: dict[str, Any], reason: str, words: list[str]
) -> None:
    cluster = AuroraCluster(name, namespace)
    cluster.create(dict(SMALL) | spec)
    refused = cluster.wait_condition("SpecAccepted", "False", timeout=30)
    assert refused["reason"] == reason
    assert all(word in refused["message"] for word in words), refused["message"]
    assert refused["message"].endswith(".")
    assert cluster.status["phase"] == "Blocked"
    assert not kube.items("statefulsets", namespace, f"{names.LABEL_CLUSTER}={name}")
    assert cluster.events("SpecRefused")
    cluster.delete()


def test_a_bad_edit_leaves_the_cluster_as_it_was(cluster: AuroraCluster) -> None:
    before = {name: cluster.started(name) for name in cluster.instances()}
    roles = cluster.serving()
    cluster.change({"durability": {"zones": 5}, "instances": 5})
    refused = cluster.wait_condition("SpecAccepted", "False", timeout=30)
    assert refused["reason"] == "NotEnoughZones"
    cluster.wait_condition("Available", "True", timeout=10)
    assert cluster.serving() == roles
    assert {name: cluster.started(name) for name in cluster.instances()} == before
    cluster.change({"durability": None, "instances": 3})
    cluster.wait_condition("SpecAccepted", "True", timeout=30)
    cluster.wait_ready()
    assert {name: cluster.started(name) for name in cluster.instances()} == before
