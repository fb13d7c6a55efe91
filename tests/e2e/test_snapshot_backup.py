"""AuroraSnapshots by backup: kept when the cluster and its backups go, copied, restored from, and removed."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e import kube, objectstore, snapshot
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until

from aurora_operator.api.base import names

VAULT = "/vault"
ALONE: dict[str, Any] = dict(SMALL) | {"instances": 1, "durability": {"copies": 1}}

# In this order: each goes on where the one before ended.


def _make(name: str, namespace: str, **spec: object) -> None:
    snapshot.apply(name, namespace, method="Backup", **spec)


def _stored(namespace: str, path: str) -> list[str]:
    """What is in a path of the bucket, as the cluster's writer sees it."""
    pod = names.pod_name(AuroraCluster("demo", namespace).leadership().instance)
    config = f"--config={names.RUN_DIR}/pgbackrest/backup/pgbackrest.conf"
    return kube.execute(
        namespace, pod, names.CONTAINER, "pgbackrest", config, f"--repo1-path={path}", "repo-ls", timeout=30
    ).split()


def test_a_reader_stores_it_in_a_path_of_its_own(namespace: str, measure: Measure) -> None:
    objectstore.start(namespace)
    cluster = AuroraCluster("demo", namespace)
    backup = {
        "destination": objectstore.destination(namespace),
        "encryption": {"secret": {"name": "s3-passphrase"}},
    }
    two = {"instances": 2, "durability": {"copies": 2}, "backup": backup}
    gone = {"storage": {"size": "2Gi", "volumeRetention": {"whenDeleted": "Delete"}}, "skipFinalSnapshot": True}
    cluster.create(dict(SMALL) | two | gone)
    cluster.wait_ready(180)
    writer = cluster.leadership().instance
    cluster.sql(writer, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id", database="app")
    started = time.monotonic()
    _make("monday", namespace, cluster="demo")
    status = snapshot.wait_ready("monday", namespace, timeout=90)["status"]
    measure("snapshot by backup, seconds", time.monotonic() - started)
    cluster.sql(writer, "DELETE FROM kept", database="app")
    path = status["backup"]["path"]
    assert path.startswith(f"/aurora/{namespace}/snapshots/monday-") and status["backup"]["storedBytes"] > 0
    assert status["source"]["instance"] in cluster.readers()
    assert status["consistencyPoint"]["timeline"] == cluster.leadership().epoch and status["consistencyPoint"]["time"]
    assert {"archive", "backup", "snapshot.json"} <= set(_stored(namespace, path))


def test_a_copy_goes_elsewhere_and_the_first_one_goes(namespace: str, measure: Measure) -> None:
    started = time.monotonic()
    destination = {**objectstore.destination(namespace), "path": VAULT}
    _make("tuesday", namespace, sourceSnapshot="monday", destination=destination)
    first, copy = (snapshot.wait_ready(name, namespace, timeout=90)["status"] for name in ("monday", "tuesday"))
    measure("copy of a snapshot, seconds", time.monotonic() - started)
    assert copy["backup"]["path"].startswith(f"{VAULT}/snapshots/tuesday-")
    assert copy["consistencyPoint"] == first["consistencyPoint"]
    kube.delete(snapshot.RESOURCE, "monday", namespace, "--timeout=60s")
    assert _stored(namespace, first["backup"]["path"]) == []
    assert {"archive", "backup", "snapshot.json"} <= set(_stored(namespace, copy["backup"]["path"]))


def test_a_new_cluster_from_the_copy(namespace: str, measure: Measure) -> None:
    restored = AuroraCluster("restored", namespace)
    started = time.monotonic()
    restored.create(ALONE | {"restoreFrom": {"snapshot": "tuesday"}})
    restored.wait_ready(120)
    measure("restore of a snapshot by backup, until Ready, seconds", time.monotonic() - started)
    assert restored.status["origin"]["source"] == "snapshot tuesday"
    assert restored.sql(restored.leadership().instance, "SELECT count(*) FROM kept", database="app") == "1000"
    restored.delete()


def test_what_is_retained_stays(namespace: str) -> None:
    kube.patch(snapshot.RESOURCE, "tuesday", namespace, {"spec": {"deletionPolicy": "Retain"}})
    path = kube.need(snapshot.RESOURCE, "tuesday", namespace)["status"]["backup"]["path"]
    kube.delete(snapshot.RESOURCE, "tuesday", namespace, "--timeout=60s")
    assert "snapshot.json" in _stored(namespace, path)


def _owned(namespace: str, uid: str) -> dict[str, str]:
    """The uids of what a cluster owns, by kind and name."""
    kinds = "statefulsets,services,secrets,configmaps,serviceaccounts,networkpolicies"
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["uid"]
        for each in kube.items(kinds, namespace, "aurorapg.io/cluster=demo")
        if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))
    }


def test_the_last_of_a_stopped_cluster_is_stored_before_its_volumes_go(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    uid = kube.need("auroracluster", "demo", namespace)["metadata"]["uid"]
    cluster.sql(cluster.leadership().instance, "CREATE TABLE last_words AS SELECT 1 AS id", database="app")
    cluster.change({"skipFinalSnapshot": False, "finalSnapshotMethod": "Backup", "stopped": True})
    until("it is stopped", lambda: cluster.status["phase"] == "Stopped", timeout=90)
    before = _owned(namespace, uid)
    assert {"StatefulSet/demo-1", "Secret/demo-ca", "Secret/demo-app"} <= before.keys()
    started = time.monotonic()
    # As Argo CD deletes: Kubernetes' garbage collector must not be first.
    kube.delete("auroracluster", "demo", namespace, "--cascade=foreground", wait=False)
    final, remade = f"demo-final-{uid[:8]}", set[str]()

    def goes_on() -> bool:
        remade.update(each for each, now in _owned(namespace, uid).items() if before.get(each, now) != now)
        made = kube.get(snapshot.RESOURCE, final, namespace) or {}
        return bool((made.get("status") or {}).get("phase") == "Ready")

    until("the final snapshot is there", goes_on, timeout=180)
    assert not remade
    until("the cluster is gone", lambda: kube.get("auroracluster", "demo", namespace) is None, timeout=60)
    until("nothing of it is left", lambda: not _owned(namespace, uid), timeout=30)
    measure("deletion of a stopped cluster with a final snapshot by backup, seconds", time.monotonic() - started)
    status = snapshot.wait_ready(final, namespace, timeout=90)["status"]
    assert status["backup"]["label"] and status["backup"]["path"].startswith(f"/aurora/{namespace}/snapshots/")
    claims = kube.items("persistentvolumeclaims", namespace, "aurorapg.io/cluster=demo")
    assert claims == []
