"""More of test_serverless.py: too long for every run. `make serverless` runs it; pytest finds this file by its name
only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.e2e import nodes, objectstore, snapshot
from tests.e2e.aurora import RESOURCE, AuroraCluster
from tests.e2e.conftest import Measure, fresh_cluster
from tests.e2e.kube import until
from tests.e2e.lasting import node_of
from tests.e2e.test_serverless import wait_paused
from tests.kind.context import kubectl

pytestmark = pytest.mark.alone

SPEC = {
    "instances": 1,
    "durability": {"copies": 1},
    "instanceClass": "db.serverless",
    "serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 1},
    "storage": {"size": "1Gi"},
    "skipFinalSnapshot": True,
}


@pytest.fixture
def store(namespace: str) -> Iterator[str]:
    """The namespace, with an S3 server in it that nobody can reach."""
    objectstore.start(namespace)
    objectstore.publish(namespace, reachable=False)
    yield namespace


def test_a_due_backup_wakes_it(store: str, measure: Measure) -> None:
    """Its first backup cannot be taken while it is awake. Hours are not waited for, but written into its status."""
    cluster = AuroraCluster("demo", store)
    cluster.create(SPEC | {"backup": {"destination": objectstore.destination(store)}})
    until("it stays awake for it", lambda: (cluster.status.get("backup") or {}).get("wokenAt"), timeout=120)
    assert cluster.status["phase"] == "Ready"
    _woken_before(cluster, timedelta(minutes=5))
    wait_paused(cluster)
    objectstore.publish(store)
    assert not cluster.events("Resuming"), "it was woken less than an hour ago"
    _woken_before(cluster, timedelta(hours=2))
    begun = time.monotonic()

    def kinds() -> list[str]:
        return [b["type"] for b in cluster.status["backup"].get("backups") or ()]

    until("the backup is there", lambda: kinds() == ["full"], timeout=90)
    measure("serverless: seconds from a backup being due at zero to its end", time.monotonic() - begun)
    (event,) = cluster.events("Resuming")
    assert "A backup (full) is due." in (event.get("message") or event.get("note", ""))
    # Nobody uses it, and now nothing is due.
    wait_paused(cluster)
    assert len(cluster.events("Resuming")) == 1


def test_a_snapshot_and_a_clone_wake_it(namespace: str, measure: Measure) -> None:
    """And nothing keeps it awake afterwards."""
    source = AuroraCluster("sleeper", namespace)
    source.create(SPEC)
    source.wait_ready(240)
    source.sql(source.leadership().instance, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    wait_paused(source)
    begun = time.monotonic()
    snapshot.apply("asleep", namespace, cluster=source.name)
    snapshot.wait_ready("asleep", namespace)
    measure("serverless: seconds from a snapshot asked for at zero to its end", time.monotonic() - begun)
    wait_paused(source)
    awake = {"serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 1}}
    for way, origin in (("cloneFrom", {"cluster": source.name}), ("restoreFrom", {"snapshot": "asleep"})):
        made = AuroraCluster(way.lower(), namespace)
        begun = time.monotonic()
        made.create(SPEC | awake | {way: origin})
        made.wait_condition("Available", "True", timeout=120)
        measure(f"serverless: seconds to a writer by {way} of one at zero", time.monotonic() - begun)
        assert made.sql(made.leadership().instance, "SELECT count(*) FROM kept") == "1000"
        made.delete()
        wait_paused(source)
    # Only the snapshot and the clone; the volume of a snapshot is there while its source sleeps.
    assert len(source.events("Resuming")) == 2


MOVES: dict[str, Any] = {
    "instances": 2,
    "durability": {"copies": 2},
    "instanceClass": "db.serverless",
    "serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 4},
    # The range changes below; these would follow it, with a restart.
    "parameters": {"shared_buffers": "128MB", "max_connections": "100"},
    "storage": {"size": "1Gi", "storageClassName": "unbound", "autoscaling": {"enabled": False}},
    "skipFinalSnapshot": True,
}


def test_a_reader_moves_off_a_node_that_is_too_small(namespace: str, measure: Measure) -> None:
    """Volumes of the harness's driver are bound to their nodes; these are not. Minutes are written into the status."""
    with nodes.unbound_volumes("unbound", 2, "1Gi"), fresh_cluster("demo", f"{namespace}-moves", MOVES) as cluster:
        writer = cluster.leadership()
        (reader,) = cluster.readers()
        small, other = node_of(cluster, reader), node_of(cluster, writer.instance)
        large = next(node for node in nodes.workers() if node not in (small, other))
        cluster.sql(writer.instance, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
        with nodes.in_zone(large, nodes.zone_of(small)), nodes.reserved(small, 1500):
            cluster.change({"serverlessV2ScalingConfiguration": {"minCapacity": 3, "maxCapacity": 4}})
            until("its node is too small", lambda: member(cluster, reader).get("tooSmallSince"), timeout=90)
            told = cluster.wait_condition("CapacityMet", "False", timeout=30)
            assert reader in told["message"] and f"{small} is too small" in told["message"]
            _too_small_for(cluster, reader, timedelta(minutes=10))
            begun = time.monotonic()
            until("it is elsewhere", lambda: node_of(cluster, reader) == large, timeout=60)
            until("it serves there", lambda: cluster.serving().get(reader) == "reader", timeout=90)
            measure("serverless: seconds until a reader serves on another node", time.monotonic() - begun)
            assert cluster.events("ReaderMoved")
            until("it has what it needs", lambda: member(cluster, reader).get("capacity") == 3, timeout=60)
            until("all is well", lambda: "tooSmallSince" not in member(cluster, reader), timeout=30)
            assert member(cluster, reader)["movedAt"]
            assert cluster.sql(reader, "SELECT count(*) FROM kept") == "1000"
            assert cluster.leadership() == writer
        # Where it is has become another zone.
        cluster.delete()


def member(cluster: AuroraCluster, name: str) -> dict[str, Any]:
    """A copy in the status."""
    found: dict[str, Any] = next(m for m in cluster.status["members"] if m["name"] == name)
    return found


def _too_small_for(cluster: AuroraCluster, reader: str, ago: timedelta) -> None:
    at = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
    members = [m | ({"tooSmallSince": at} if m["name"] == reader else {}) for m in cluster.status["members"]]
    _change_status(cluster, {"members": members})


def _woken_before(cluster: AuroraCluster, ago: timedelta) -> None:
    at = (datetime.now(UTC) - ago).isoformat(timespec="seconds")
    _change_status(cluster, {"backup": {"wokenAt": at}})


def _change_status(cluster: AuroraCluster, change: dict[str, Any]) -> None:
    patch = json.dumps({"status": change})
    words = ["patch", RESOURCE, cluster.name, "--subresource=status", "--type=merge", f"--patch={patch}"]
    kubectl("--namespace", cluster.namespace, *words, timeout=30)
