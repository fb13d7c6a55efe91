"""Six copies in three zones: a zone is lost, a zone and one more copy, and all nodes at once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.e2e import kube, operating, outages
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.client import Client
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.lasting import node_of
from tests.e2e.probe import Probe
from tests.e2e.test_serverless import claims, copies, wait_paused
from tests.kind.context import kubectl

from aurora_operator.api.base import names

pytestmark = pytest.mark.alone

CAPACITY = {"minCapacity": 0.5, "maxCapacity": 1}
SIX: dict[str, Any] = dict(SMALL) | {"durability": {"repairDelaySeconds": 10}}
SERVERLESS: dict[str, Any] = {
    "instances": 3,
    "instanceClass": "db.serverless",
    "serverlessV2ScalingConfiguration": CAPACITY,
    "storage": SMALL["storage"],
}

# In this order: each goes on where the one before ended.


def test_six_copies_by_default(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.create(SIX)
    cluster.wait_ready(300)
    shown = kubectl("--namespace", namespace, "get", "ac", "demo", "--output", "wide", timeout=60)
    measure("kubectl get ac -o wide", shown)
    assert " 6/6 " in shown and "zone-a 2/2, zone-b 2/2, zone-c 2/2" in shown
    durability = cluster.status["durability"]
    assert (durability["writeQuorum"], durability["readQuorum"]) == (4, 3)
    assert durability["writeAvailable"] and durability["readAvailable"]
    writer = cluster.leadership().instance
    assert cluster.sql(writer, "SHOW synchronous_standby_names").startswith("ANY 3 (")
    cluster.sql(writer, "CREATE TABLE kept AS SELECT 1 AS one")
    budget = kube.need("poddisruptionbudget", "demo", namespace)
    assert budget["spec"]["maxUnavailable"] == 2


def test_a_lost_zone_is_replaced_and_taken_back(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    writer = cluster.leadership().instance
    zones = {m["name"]: m["zone"] for m in cluster.status["members"]}
    # The operator has one replica, which must see what happens.
    operators = kube.items("pods", "aurora-system")
    taken = {zones[writer], *(_zone(str(pod["spec"].get("nodeName"))) for pod in operators)}
    lost = next(zone for zone in ("zone-c", "zone-b", "zone-a") if zone not in taken)
    with Probe(cluster, avoid_node=_node(lost)) as probe:
        with outages.paused_node(_node(lost)):
            until("the zone's copies are missing", lambda: _alive(cluster) == "4/6", timeout=120)
            until("its votes are elsewhere", lambda: _alive(cluster) == "6/6", timeout=180)
            spread = {z["zone"]: (z["alive"], z["copies"]) for z in cluster.status["durability"]["spread"]}
            assert sorted(spread.values()) == [(3, 3), (3, 3)] and lost not in spread
            assert "CopyLost" in {event["reason"] for event in cluster.events()}
        until("the zone has its copies again", lambda: _spread(cluster).get(lost) == (2, 2), timeout=180)
        cluster.wait_ready(180)
        report = probe.stop()
    measure("a lost zone, replaced and taken back: the probe", report.summary())
    report.require_nothing_lost()
    assert sorted(_spread(cluster).values()) == [(2, 2)] * 3
    logs = [m["name"] for m in cluster.status["members"] if m["kind"] == "log"]
    until("only what is used is left", lambda: len(logs) == 3 and _claims(cluster) == 6, timeout=120)


def test_a_zone_and_one_more_copy_lost(namespace: str, measure: Measure) -> None:
    """Nothing is lost and reads go on; writes wait until the leader has shrunk the membership, without the operator."""
    cluster = AuroraCluster("demo", namespace)
    writer = cluster.leadership()
    zones = {copy: zone_of(cluster, copy) for copy in copies_of(cluster)}
    lost_zone = next(zone for zone in sorted(set(zones.values())) if zone != zones[writer.instance])
    node = node_of(cluster, next(copy for copy, zone in zones.items() if zone == lost_zone))
    other = next(
        copy for copy, zone in zones.items() if "-log-" in copy and zone not in (lost_zone, zones[writer.instance])
    )
    with Probe(cluster, avoid_node=node) as probe, operating.stopped():
        with outages.paused_node(node), outages.cut_off_pod(namespace, names.pod_name(other)):
            at = time.time()
            assert cluster.sql(writer.instance, "SELECT one FROM kept") == "1"
            probe.wait_acknowledged(200, timeout=90)  # more than could be on its way
            resumed = time.time()
            assert cluster.leadership() == writer
            shown = cluster.sql(writer.instance, "SHOW synchronous_standby_names")
            assert shown.startswith("ANY 1 (") and "," in shown
        report = probe.stop()
    measure("a zone and one more copy lost: seconds until writes go on", resumed - at)
    measure("a zone and one more copy lost: longest time without a write, seconds", report.longest_gap())
    report.require_nothing_lost()
    cluster.wait_ready(240)
    durability = cluster.status["durability"]
    assert (durability["alive"], durability["writeQuorum"]) == ("6/6", 4)


def test_all_nodes_restarted_at_once(namespace: str, measure: Measure) -> None:
    """As after a power cut: the cluster comes back by itself, with all that was acknowledged."""
    cluster = AuroraCluster("demo", namespace)
    writer = cluster.leadership()
    cluster.sql(writer.instance, "CREATE TABLE before AS SELECT generate_series(1, 1000) AS n")
    at = outages.restart_nodes(sorted({node_of(cluster, copy) for copy in copies_of(cluster)}))
    led = cluster.wait_leadership(writer, timeout=240)
    cluster.wait_roles(readers=2, timeout=240)
    measure("all nodes restarted at once: seconds until a writer and two readers serve", time.time() - at)
    assert cluster.sql(led.instance, "SELECT one FROM kept") == "1"
    assert cluster.sql(led.instance, "SELECT count(*) FROM before") == "1000"
    cluster.wait_ready(240)


@pytest.mark.soak
def test_all_six_sleep_and_wake(namespace: str, measure: Measure) -> None:
    """A cluster of its own: it needs nothing of the tests before."""
    cluster = AuroraCluster("asleep", namespace)
    cluster.create(SERVERLESS)
    cluster.wait_ready(300)
    client = Client(cluster)
    client.start()
    target, volumes = client.conninfo(cluster.name, connect_timeout="60"), claims(cluster)
    client.psql(target, "CREATE TABLE told AS SELECT generate_series(1, 1000) AS number")
    epoch = cluster.leadership().epoch
    cluster.change({"serverlessV2ScalingConfiguration": CAPACITY | {"minCapacity": 0}})
    wait_paused(cluster)
    begun = time.monotonic()
    assert client.psql(target, "SELECT count(*) FROM told") == "1000"
    measure("six copies: seconds from connection to answer at zero, kubectl exec included", time.monotonic() - begun)
    cluster.change({"serverlessV2ScalingConfiguration": CAPACITY})
    cluster.wait_ready(120)
    assert _alive(cluster) == "6/6" and len(copies(cluster)) == 6
    assert claims(cluster) == volumes
    after = cluster.leadership()
    assert after.epoch > epoch
    assert cluster.sql(after.instance, "SELECT count(*) FROM told", database="app") == "1000"


def zone_of(cluster: AuroraCluster, copy: str) -> str:
    return str(cluster.pod(copy)["spec"]["nodeSelector"][names.LABEL_ZONE])


def copies_of(cluster: AuroraCluster) -> list[str]:
    return [member["name"] for member in cluster.status["members"]]


def _node(zone: str) -> str:
    nodes = kube.items("nodes", "default", f"{names.LABEL_ZONE}={zone}")
    return str(nodes[0]["metadata"]["name"])


def _zone(node: str) -> str:
    return str(kube.need("node", node, "default")["metadata"]["labels"].get(names.LABEL_ZONE))


def _alive(cluster: AuroraCluster) -> str:
    return str(cluster.status["durability"]["alive"])


def _spread(cluster: AuroraCluster) -> dict[str, tuple[int, int]]:
    return {z["zone"]: (z["alive"], z["copies"]) for z in cluster.status["durability"].get("spread", ())}


def _claims(cluster: AuroraCluster) -> int:
    return len(kube.items("pvc", cluster.namespace, f"{names.LABEL_CLUSTER}={cluster.name}"))
