"""Continuous backup to a real S3 server, and restores from it: each test goes on where the one before ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.e2e import faults, kube, objectstore
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until

from aurora_operator.api.base import names

BACKUP_HEALTHY = "BackupHealthy"
GONE: dict[str, Any] = {"whenDeleted": "Delete", "whenScaled": "Delete"}


def spec(namespace: str, instances: int, **destination: str) -> dict[str, Any]:
    return {
        **SMALL,
        "instances": instances,
        "durability": {"copies": instances},
        "storage": {"size": "2Gi", "volumeRetention": GONE},
        "skipFinalSnapshot": True,
        "backup": {
            "destination": objectstore.destination(namespace, **destination),
            "encryption": {"secret": {"name": "s3-passphrase"}},
        },
    }


@pytest.fixture(scope="module")
def store(namespace: str) -> str:
    """The namespace, with an S3 server in it."""
    objectstore.start(namespace)
    return namespace


@pytest.fixture(scope="module")
def source(store: str) -> Iterator[AuroraCluster]:
    """The cluster that is backed up: a writer and a reader."""
    cluster = AuroraCluster("source", store)
    cluster.create(spec(store, 2))
    cluster.wait_ready(180)
    yield cluster
    cluster.delete()


class Rows:
    """Rows inserted all the time, one a transaction, each with its time, into a table of the database app."""

    def __init__(self, cluster: AuroraCluster, first: int, count: int) -> None:
        writer = cluster.leadership().instance
        work = (
            f"DO $$ BEGIN FOR i IN {first}..{first + count - 1} LOOP INSERT INTO t VALUES (i, clock_timestamp()); "
            "COMMIT; PERFORM pg_sleep(0.02); END LOOP; END $$"
        )
        self._thread = threading.Thread(target=lambda: self._run(cluster, writer, work))
        self._thread.start()

    def _run(self, cluster: AuroraCluster, writer: str, work: str) -> None:
        try:
            cluster.sql(writer, work, database="app")
        except Exception as error:  # the writer may be killed under it
            self.error = error

    def join(self) -> None:
        self._thread.join()


def rows(cluster: AuroraCluster) -> dict[int, datetime]:
    text = cluster.sql(
        cluster.leadership().instance, "SELECT i, extract(epoch FROM at) FROM t ORDER BY i", database="app"
    )
    pairs = (line.split("|") for line in text.splitlines())
    return {int(i): datetime.fromtimestamp(float(at), UTC) for i, at in pairs}


def stored(cluster: AuroraCluster, moment: datetime) -> None:
    """Wait until the status says that `moment` can be restored."""

    def look() -> bool:
        latest = (cluster.status.get("backup") or {}).get("latestRestorableTime")
        return latest is not None and datetime.fromisoformat(latest) > moment

    until(f"{cluster.name} can be restored to {moment}", look, timeout=60)


def restored(name: str, namespace: str, restore: dict[str, Any]) -> AuroraCluster:
    cluster = AuroraCluster(name, namespace)
    wanted = {**spec(namespace, 1), "restoreFrom": restore}
    del wanted["backup"]
    cluster.create(wanted)
    cluster.wait_ready(180)
    return cluster


def test_the_first_backup_is_taken_by_itself(source: AuroraCluster, measure: Measure) -> None:
    started = time.monotonic()
    source.wait_condition(BACKUP_HEALTHY, "True", timeout=120)
    measure("first backup after Ready, seconds", time.monotonic() - started)
    backup = source.status["backup"]
    assert [b["type"] for b in backup["backups"]] == ["full"]
    assert backup["earliestRestorableTime"] <= backup["latestRestorableTime"]
    writer = source.leadership().instance
    source.sql(writer, "CREATE TABLE t (i int PRIMARY KEY, at timestamptz)", database="app")
    source.sql(writer, "CREATE TABLE precious AS SELECT 42 AS answer", database="app")
    source.annotate(names.ANNOTATION_BACKUP, "incr")
    until(
        "the incremental backup is complete",
        lambda: [b["type"] for b in source.status["backup"]["backups"]] == ["full", "incr"],
        timeout=60,
    )
    log = kube.need("pod", names.pod_name(source.readers()[0]), source.namespace)
    assert log["status"]["phase"] == "Running"


@pytest.fixture(scope="module")
def story(source: AuroraCluster) -> dict[str, Any]:
    """Writing all the time; a second in it; a DROP TABLE; a writer that dies in mid-segment; more writing."""
    before = Rows(source, 1, 400)
    time.sleep(4)
    second = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    before.join()
    source.sql(source.leadership().instance, "DROP TABLE precious", database="app")
    leadership = source.leadership()
    during = Rows(source, 1001, 400)
    time.sleep(3)
    faults.kill_agent(source.namespace, names.pod_name(leadership.instance))
    source.wait_leadership(leadership)
    during.join()
    source.wait_ready(90)
    Rows(source, 2001, 50).join()
    final = rows(source)
    stored(source, datetime.now(UTC))
    return {"second": second, "rows": final}


def test_to_one_second_under_writing(source: AuroraCluster, story: dict[str, Any], measure: Measure) -> None:
    started = time.monotonic()
    second, all_rows = story["second"], story["rows"]
    target = {"time": second.strftime("%Y-%m-%dT%H:%M:%SZ")}
    cluster = restored("to-second", source.namespace, {"cluster": "source", "target": target})
    measure("restore to a second, until Ready, seconds", time.monotonic() - started)
    found = rows(cluster)
    # A row's time is taken just before its commit.
    assert {i for i, at in all_rows.items() if at <= second - timedelta(seconds=0.5)} <= found.keys()
    assert max(found.values()) <= second
    assert found.items() <= all_rows.items() and 0 < len(found) < 400
    assert cluster.sql(cluster.leadership().instance, "SELECT answer FROM precious", database="app") == "42"
    assert source.secret()["password"] != cluster.secret()["password"]
    cluster.delete()


def test_impossible_targets_are_refused_with_the_range(source: AuroraCluster, story: dict[str, Any]) -> None:
    cluster = AuroraCluster("too-late", source.namespace)
    wanted = {
        **spec(source.namespace, 1),
        "restoreFrom": {"cluster": "source", "target": {"time": "2035-01-01T00:00:00Z"}},
    }
    del wanted["backup"]
    cluster.create(wanted)
    found = until(
        "the refusal",
        lambda: next((m for m in [str(cluster.status.get("message"))] if "possible is" in m), None),
        timeout=60,
    )
    assert "cannot be restored" in found
    cluster.delete()


def test_from_the_destination_alone(source: AuroraCluster, story: dict[str, Any], measure: Measure) -> None:
    source.delete()
    until(
        "the volumes are gone",
        lambda: not kube.items("pvc", source.namespace, f"{names.LABEL_CLUSTER}=source"),
        timeout=60,
    )
    started = time.monotonic()
    where = {
        "destination": objectstore.destination(source.namespace),
        "stanza": "source",
        "encryption": {"secret": {"name": "s3-passphrase"}},
    }
    cluster = restored("phoenix", source.namespace, where)
    measure("restore from the destination alone, until Ready, seconds", time.monotonic() - started)
    assert rows(cluster) == story["rows"]
    there = cluster.sql(cluster.leadership().instance, "SELECT to_regclass('precious') IS NULL", database="app")
    assert there == "t"
    cluster.delete()


def test_what_is_wrong_with_the_destination_is_said(store: str) -> None:
    cluster = AuroraCluster("ill", store)
    cluster.create(spec(store, 1, bucket="nonesuch"))
    cluster.wait_condition("Available", "True", timeout=120)
    cluster.wait_condition(BACKUP_HEALTHY, "False", reason="BucketMissing", timeout=60)
    right = spec(store, 1)["backup"]
    cluster.change({"backup": right})
    cluster.wait_condition(BACKUP_HEALTHY, "True", timeout=90)
    writer = cluster.leadership()
    objectstore.publish(store, reachable=False)
    cluster.sql(writer.instance, "SELECT pg_logical_emit_message(true, 'x', 'x'), pg_switch_wal()")
    cluster.wait_condition(BACKUP_HEALTHY, "False", reason="DestinationUnreachable", timeout=60)
    cluster.sql(writer.instance, "CREATE TABLE works_on (i int)")
    assert cluster.leadership() == writer
    objectstore.publish(store)
    cluster.wait_condition(BACKUP_HEALTHY, "True", timeout=90)
    cluster.change({"backup": {"destination": objectstore.destination(store, credentials="s3-wrong")}})
    cluster.wait_condition(BACKUP_HEALTHY, "False", reason="CredentialsRefused", timeout=120)
    assert "not-this-one" not in str(cluster.read()["status"])
    cluster.delete()
