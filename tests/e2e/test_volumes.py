"""Volumes grow under a running database, outlive their cluster, and go when they are told to."""

from __future__ import annotations

import pytest
from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.client import execute_with
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import names

SPEC = dict(SMALL) | {"instances": 2, "durability": {"copies": 2}}

# In this order: each goes on where the one before ended.


def test_a_volume_grows_without_a_restart(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.create(SPEC)
    cluster.wait_ready(240)
    cluster.sql(cluster.leadership().instance, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    before = {name: (_file_system(cluster, name), cluster.started(name)) for name in cluster.instances()}
    cluster.change({"storage": {"size": "3Gi"}})
    until(
        "the file systems have grown",
        lambda: all(_file_system(cluster, name) > size + (900 << 20) for name, (size, _) in before.items()),
        timeout=180,
    )
    cluster.wait_ready()
    assert {name: cluster.started(name) for name in before} == {name: at for name, (_, at) in before.items()}
    assert [claim["status"]["capacity"]["storage"] for claim in _claims(cluster)] == ["3Gi", "3Gi"]


def test_a_volume_does_not_shrink(namespace: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        AuroraCluster("demo", namespace).change({"storage": {"size": "2Gi"}})
    assert "storage.size cannot shrink, because volumes only grow: use 3Gi or more." in caught.value.output


def test_a_protected_cluster_is_not_deleted(namespace: str) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.change({"deletionProtection": True})
    cluster.wait_ready()
    with pytest.raises(CommandFailed) as caught:
        cluster.delete(wait=False)
    assert "deletionProtection" in caught.value.output
    live = cluster.read()
    assert "deletionTimestamp" not in live["metadata"]
    cluster.change({"deletionProtection": False})


def test_volumes_outlive_the_cluster_and_are_used_again(namespace: str) -> None:
    cluster = AuroraCluster("demo", namespace)
    kept = {claim["metadata"]["name"]: claim["metadata"]["uid"] for claim in _claims(cluster)}
    cluster.delete()
    assert kube.get("auroracluster", cluster.name, namespace) is None
    until("its pods are gone", lambda: not cluster.pods(), timeout=90)
    assert {claim["metadata"]["name"]: claim["metadata"]["uid"] for claim in _claims(cluster)} == kept
    cluster.create(SPEC | {"storage": {"size": "3Gi"}})
    cluster.wait_ready(180)
    assert {claim["metadata"]["name"]: claim["metadata"]["uid"] for claim in _claims(cluster)} == kept
    leader = cluster.leadership().instance
    assert cluster.sql(leader, "SELECT count(*) FROM kept") == "1000"
    # The Secret went with the cluster; whatever is in the new one opens the database.
    words = ("psql", "host=localhost user=app dbname=app sslmode=require", "-XAtc", "SELECT current_user")
    password = cluster.secret()["password"]
    opened = execute_with(password, namespace, names.pod_name(leader), names.CONTAINER, *words)
    assert opened.strip() == "app"


def test_volumes_go_when_they_are_told_to(namespace: str) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.change({"storage": {"volumeRetention": {"whenDeleted": "Delete"}}, "skipFinalSnapshot": True})
    cluster.wait_ready()
    cluster.delete()
    until("the claims are gone", lambda: not _claims(cluster), timeout=90)
    until("all its objects are gone", lambda: not _left(cluster), timeout=90)


def _claims(cluster: AuroraCluster) -> list[kube.Object]:
    found = kube.items("pvc", cluster.namespace, f"{names.LABEL_CLUSTER}={cluster.name}")
    return sorted(found, key=lambda claim: str(claim["metadata"]["name"]))


def _left(cluster: AuroraCluster) -> list[str]:
    kinds = "statefulsets,pods,services,endpointslices,configmaps,secrets,serviceaccounts,roles,rolebindings,pdb"
    found = kube.items(kinds, cluster.namespace, f"{names.LABEL_CLUSTER}={cluster.name}")
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


def _file_system(cluster: AuroraCluster, instance: str) -> int:
    """Size of an instance's file system, in bytes."""
    words = ["df", "--output=size", "--block-size=1", names.DATA_MOUNT]
    return int(cluster.execute(instance, *words).split()[-1])
