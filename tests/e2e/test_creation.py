"""A cluster from its manifest to Ready, and what people and programs see of it then."""

from __future__ import annotations

import json

import pytest
from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.kind.context import kubectl
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import names, reasons


def test_it_is_ready_in_time(cluster: AuroraCluster, measure: Measure) -> None:
    measure("creation to Ready, seconds", cluster.seconds_to_ready)
    assert cluster.seconds_to_ready < 180
    assert [event["reason"] for event in cluster.events(reasons.WRITER_OPENED)] == [reasons.WRITER_OPENED]
    assert cluster.events("Ready")


def test_kubectl_shows_and_waits(cluster: AuroraCluster) -> None:
    inside = ["--namespace", cluster.namespace]
    kubectl(*inside, "wait", "--for=condition=Ready", f"ac/{cluster.name}", "--timeout=5s")
    header, row = kubectl(*inside, "get", "ac").splitlines()
    assert header.split() == ["NAME", "STATUS", "READY", "INSTANCES", "WRITER", "VERSION", "AGE"]
    leader = cluster.leadership().instance
    version = cluster.sql(leader, "SHOW server_version").split()[0]
    assert row.split()[:6] == [cluster.name, "Ready", "3/3", "3", leader, version]
    assert f"auroracluster.{names.GROUP}/{cluster.name}" in kubectl(*inside, "get", "all")


def test_conditions_are_about_this_generation(cluster: AuroraCluster) -> None:
    expected = {"Ready": "True", "Available": "True", "SpecAccepted": "True", "DurabilityMet": "True"}
    expected |= {"StorageHealthy": "True", "Progressing": "False", "Degraded": "False"}

    def settled() -> kube.Object:
        live = cluster.read()
        generation = live["metadata"]["generation"]
        assert live["status"]["observedGeneration"] == generation
        seen = {c["type"]: (c["status"], c["observedGeneration"]) for c in live["status"]["conditions"]}
        assert seen == {type: (status, generation) for type, status in expected.items()}
        return live

    live = until("the conditions are settled", settled, timeout=30)
    assert all(c["reason"] for c in live["status"]["conditions"])


def test_members_are_spread_over_three_zones(cluster: AuroraCluster) -> None:
    status = cluster.status
    members = status["members"]
    assert sorted(member["role"] for member in members) == ["reader", "reader", "writer"]
    assert sorted(member["zone"] for member in members) == ["zone-a", "zone-b", "zone-c"]
    assert all(member["ready"] and member["voting"] for member in members)
    assert all(member["lagBytes"] < 1 << 20 for member in members if member["role"] == "reader")
    for member in members:
        node = kube.need("node", cluster.pod(member["name"])["spec"]["nodeName"], "default")
        assert node["metadata"]["labels"][names.LABEL_ZONE] == member["zone"]
    durability = status["durability"]
    assert (durability["copies"], durability["aliveCopies"], durability["writeQuorum"]) == (3, 3, 2)


def test_timeline_is_the_epoch(cluster: AuroraCluster) -> None:
    leader = cluster.leadership()
    assert cluster.status["epoch"] == leader.epoch
    timeline = int(cluster.sql(leader.instance, "SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], 16)
    assert timeline == leader.epoch


def test_it_can_be_scaled_by_others(cluster: AuroraCluster) -> None:
    path = f"/apis/{names.API_VERSION}/namespaces/{cluster.namespace}/{names.PLURAL}/{cluster.name}/scale"
    scale = json.loads(kubectl("get", "--raw", path))
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    selected = kube.items("pods", cluster.namespace, scale["status"]["selector"])
    assert sorted(pod["metadata"]["name"] for pod in selected) == ["demo-1-0", "demo-2-0", "demo-3-0"]


def test_pods_are_restricted(cluster: AuroraCluster) -> None:
    """The namespace lets in no others; here is what the standard does not ask for."""
    labels = kube.need("namespace", cluster.namespace, "default")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = names.pod_name(cluster.leadership().instance)
    with pytest.raises(CommandFailed, match="Read-only file system"):
        kube.execute(cluster.namespace, pod, names.CONTAINER, "touch", "/etc/here")
    assert kube.execute(cluster.namespace, pod, names.CONTAINER, "id", "-u").strip() == str(names.POSTGRES_UID)


def test_pages_have_checksums(cluster: AuroraCluster) -> None:
    assert [cluster.sql(name, "SHOW data_checksums") for name in cluster.instances()] == ["on"] * 3
