"""AuroraSnapshots: taken while the cluster is written to, and before a cluster goes for good."""

from __future__ import annotations

from tests.e2e import kube, snapshot
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import Object, until

from aurora_operator.api.base import names

SPEC = dict(SMALL) | {"instances": 2, "durability": {"copies": 2}}
ALONE = dict(SMALL) | {"instances": 1, "durability": {"copies": 1}}

# In this order: each goes on where the one before ended.


def _held(namespace: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in kube.items("volumesnapshot", namespace))


def test_a_snapshot_says_what_it_holds(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.create(SPEC)
    cluster.wait_ready(240)
    writer = cluster.leadership().instance
    cluster.sql(writer, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id", database="app")
    snapshot.apply("monday", namespace, cluster="demo")
    live = snapshot.wait_ready("monday", namespace)
    status = live["status"]
    assert status["phase"] == "Ready" and status["size"] == "2Gi"
    point = status["consistencyPoint"]
    assert point["timeline"] == cluster.leadership().epoch and point["time"]
    reached = cluster.sql(writer, f"SELECT pg_current_wal_lsn() >= '{point['lsn']}'")
    assert reached == "t"
    assert status["source"]["instance"] in cluster.readers()
    # After the snapshot:
    cluster.sql(writer, "DELETE FROM kept WHERE id > 500", database="app")


def test_a_snapshot_of_nothing_says_so(namespace: str) -> None:
    snapshot.apply("nothing", namespace, cluster="nobody")

    def look() -> bool:
        status = kube.need(snapshot.RESOURCE, "nothing", namespace).get("status", {})
        return bool(status.get("message") == f"There is no AuroraCluster nobody in namespace {namespace}.")

    until("it says that there is no such cluster", look, timeout=30)
    kube.delete(snapshot.RESOURCE, "nothing", namespace)


def test_a_new_cluster_from_a_snapshot(namespace: str, measure: Measure) -> None:
    restored = AuroraCluster("restored", namespace)
    restored.create(ALONE | {"restoreFrom": {"snapshot": "monday"}})
    restored.wait_ready(180)
    assert restored.status["origin"]["source"] == "snapshot monday"
    writer = restored.leadership().instance
    assert restored.sql(writer, "SELECT count(*) FROM kept", database="app") == "1000"
    restored.delete()


def test_the_final_snapshot_is_there_before_the_volumes_go(namespace: str) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.change({"storage": {"volumeRetention": {"whenDeleted": "Delete"}}})
    cluster.wait_ready()
    uid = cluster.read()["metadata"]["uid"]
    cluster.delete()
    until("the claims are gone", lambda: not _claims(cluster), timeout=90)
    final = f"demo-final-{uid[:8]}"
    assert snapshot.wait_ready(final, namespace)["spec"]["cluster"] == "demo"
    assert _held(namespace) == sorted([final, "monday"])


def test_a_cluster_of_the_same_name_comes_back_from_it(namespace: str) -> None:
    final = next(name for name in _held(namespace) if name.startswith("demo-final-"))
    cluster = AuroraCluster("demo", namespace)
    cluster.create(ALONE | {"restoreFrom": {"snapshot": final}})
    cluster.wait_ready(180)
    writer = cluster.leadership().instance
    assert cluster.sql(writer, "SELECT count(*) FROM kept", database="app") == "500"


def test_the_data_go_with_the_snapshot_unless_they_are_retained(namespace: str) -> None:
    final = next(name for name in _held(namespace) if name.startswith("demo-final-"))
    kube.patch(snapshot.RESOURCE, final, namespace, {"spec": {"deletionPolicy": "Retain"}})
    for name in (final, "monday"):
        kube.delete(snapshot.RESOURCE, name, namespace, "--timeout=60s")
    until("only what was to be kept is there", lambda: _held(namespace) == [final], timeout=30)


def _claims(cluster: AuroraCluster) -> list[Object]:
    return kube.items("pvc", cluster.namespace, f"{names.LABEL_CLUSTER}={cluster.name}")
