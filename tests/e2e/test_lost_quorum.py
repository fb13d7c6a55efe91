"""More copies are lost than may be: a zone and one more copy, all nodes at once, and a quorum for good."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from tests.e2e import kube, operating, outages
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.lasting import node_of
from tests.e2e.probe import Probe
from tests.kind.context import KUBE_CONTEXT

from aurora_operator.api.base import names

pytestmark = pytest.mark.alone

SIX: dict[str, Any] = dict(SMALL) | {"durability": {"repairDelaySeconds": 10}}
THREE: dict[str, Any] = dict(SMALL) | {"durability": {"copies": 3}}


def zone_of(cluster: AuroraCluster, copy: str) -> str:
    return str(cluster.pod(copy)["spec"]["nodeSelector"][names.LABEL_ZONE])


def copies_of(cluster: AuroraCluster) -> list[str]:
    return [member["name"] for member in cluster.status["members"]]


def test_a_zone_and_one_more_copy_lost(namespace: str, measure: Measure) -> None:
    """Nothing is lost and reads go on; writes wait until the leader has shrunk the membership, without the operator."""
    cluster = AuroraCluster("demo", namespace)
    cluster.create(SIX)
    cluster.wait_ready(300)
    writer = cluster.leadership()
    cluster.sql(writer.instance, "CREATE TABLE kept AS SELECT 1 AS one")
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
    assert cluster.sql(led.instance, "SELECT count(*) FROM before") == "1000"
    cluster.wait_ready(240)
    cluster.delete()


def accept(cluster: AuroraCluster, *words: str) -> subprocess.CompletedProcess[str]:
    where = ["--namespace", cluster.namespace, "--context", KUBE_CONTEXT]
    command = [sys.executable, "-m", "aurora_operator.cli.main", "accept-data-loss", cluster.name, *words, *where]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_quorum_lost_for_good(namespace: str, measure: Measure) -> None:
    """Two of three volumes are gone. Nothing happens by itself; one command says what is lost, and goes on."""
    cluster = AuroraCluster("gone", namespace)
    cluster.create(THREE)
    cluster.wait_ready(300)
    refused = accept(cluster)
    assert refused.returncode == 1 and "there is nothing to accept" in refused.stderr
    writer = cluster.leadership()
    cluster.sql(writer.instance, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    survivor, *lost = sorted(cluster.instances(), key=lambda name: name == writer.instance)
    with operating.stopped():
        for instance in lost:
            kube.delete("statefulset", instance, namespace, wait=False)
            kube.delete("pvc", f"data-{instance}", namespace, wait=False)
            kube.delete("pod", names.pod_name(instance), namespace, "--grace-period=0", "--force")
        until(
            "their volumes are gone",
            lambda: not {f"data-{i}" for i in lost} & {c["metadata"]["name"] for c in kube.items("pvc", namespace)},
            timeout=90,
        )
    stated = until("the status states the loss", lambda: cluster.status.get("dataLoss"), timeout=120)
    assert [copy.partition("/")[0] for copy in stated["survivors"]] == [survivor]
    cluster.wait_condition("Available", "False", timeout=60)
    told = accept(cluster)
    assert told.returncode == 0 and survivor in told.stdout and "--yes-lose" in told.stdout, told
    wrong = accept(cluster, "--yes-lose", "0-bytes@0000000000000000")
    assert wrong.returncode == 1 and "not accepted" in wrong.stderr, wrong
    assert cluster.status.get("dataLoss") is not None, "nothing was done yet"
    at = time.time()
    words = told.stdout.rpartition("--yes-lose ")[2].split()[0]
    accepted = accept(cluster, "--yes-lose", words)
    assert accepted.returncode == 0, accepted
    led = cluster.wait_leadership(writer, timeout=120)
    measure("a quorum lost for good: seconds from the command to a writer", time.time() - at)
    assert led.instance == survivor
    # All that had been acknowledged was on the survivor, too.
    assert cluster.sql(survivor, "SELECT count(*) FROM kept") == "1000"
    assert cluster.events("DataLossAccepted")
    cluster.wait_ready(240)
    assert cluster.status["durability"]["alive"] == "3/3"
    cluster.delete()
