"""The operator is killed in the middle of each of its tasks; its successor finishes them."""

from __future__ import annotations

import json
import time

from tests.e2e import kube, operating
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until

from aurora_operator.api.base import names

# In this order: each goes on where the one before ended.


def test_killed_while_creating(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    begun = time.monotonic()
    cluster.create(dict(SMALL) | {"instances": 2, "durability": {"copies": 2}})
    until("the first pod is there", cluster.pods, timeout=60, every=0.1)
    operating.kill()
    cluster.wait_ready(240)
    measure("creation with the operator killed, seconds", time.monotonic() - begun)
    cluster.wait_roles(readers=1)
    cluster.sql(cluster.leadership().instance, "CREATE TABLE kept AS SELECT 1 AS one")


def test_killed_while_scaling_up(namespace: str) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.change({"instances": 3, "durability": {"copies": 3}})
    until("the third instance is begun", lambda: "demo-3" in cluster.instances(), timeout=60, every=0.1)
    operating.kill()
    cluster.wait_ready(180)
    assert sorted(cluster.wait_roles(readers=2)) == ["demo-1", "demo-2", "demo-3"]


def test_killed_while_restarting(namespace: str) -> None:
    cluster = AuroraCluster("demo", namespace)
    before = {name: cluster.started(name) for name in cluster.instances()}
    cluster.change({"parameters": {"max_connections": 130}})
    until("one is restarted", lambda: _restarted(cluster, before), timeout=90, every=0.2)
    operating.kill()
    until("all are restarted", lambda: len(_restarted(cluster, before)) == len(before), timeout=180)
    once = {name: cluster.started(name) for name in before}
    cluster.wait_ready(120)
    assert {name: cluster.started(name) for name in before} == once
    assert {cluster.sql(name, "SHOW max_connections") for name in before} == {"130"}


def test_killed_while_scaling_down(namespace: str) -> None:
    """The writer is among those that go: killed when it has been told to hand over, or soon after."""
    cluster = AuroraCluster("demo", namespace)
    before = cluster.leadership()
    if before.instance != "demo-3":
        cluster.annotate(names.ANNOTATION_SWITCHOVER, "demo-3")
        cluster.wait_leadership(before)
        cluster.wait_ready()
    voters = _voters(cluster)
    # The writer would be kept before others: let it be one that goes because another is named.
    cluster.change({"instances": 1, "instanceSettings": [{"instance": 1}], "durability": {"copies": 1}})
    until(
        "the membership shrinks, or the writer changes",
        lambda: _voters(cluster) != voters or cluster.leadership().instance != "demo-3",
        timeout=60,
        every=0.1,
    )
    operating.kill()
    cluster.wait_ready(180)
    assert cluster.wait_roles(readers=0) == {"demo-1": "writer"}
    assert cluster.instances() == ["demo-1"]
    assert cluster.sql("demo-1", "SELECT one FROM kept") == "1"


def _restarted(cluster: AuroraCluster, before: dict[str, str]) -> list[str]:
    return [name for name in before if cluster.started(name) != before[name]]


def _voters(cluster: AuroraCluster) -> list[str]:
    settings = kube.need("configmap", names.settings_configmap(cluster.name), cluster.namespace)
    return sorted(json.loads(settings["data"]["settings.json"])["voters"])
