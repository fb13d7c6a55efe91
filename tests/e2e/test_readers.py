"""A reader comes with sessions, and goes without them."""

from __future__ import annotations

import subprocess
import time

from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.kind.context import KUBE_CONTEXT

from aurora_operator.api.base import names

POLICY = {
    "minCapacity": 0,
    "maxCapacity": 1,
    "target": {"metric": "DatabaseConnections", "value": 4},
    "scaleOutCooldownSeconds": 5,
}
SPEC = dict(SMALL) | {"instances": 1, "durability": {"copies": 1}, "readerAutoscaling": POLICY}
SESSIONS = 30


def test_a_reader_comes_with_the_load(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.create(SPEC)
    cluster.wait_ready(240)
    writer = cluster.leadership().instance
    load = sleepers(cluster, writer)
    try:
        started = time.time()
        until("a reader is added", lambda: len(cluster.instances()) == 2, timeout=90)
        measure("readers: seconds from load to a reader being made", time.time() - started)
        cluster.wait_roles(readers=1, timeout=90)
        measure("readers: seconds from load to a reader serving", time.time() - started)
    finally:
        load.kill()
        load.wait()
    status = cluster.status
    (added,) = status["readerAutoscaling"]["added"]
    assert next(m for m in status["members"] if m["name"] == added)["tier"] == 15
    assert cluster.events("ReadersScaledOut")


def test_it_goes_when_its_sessions_have_ended(namespace: str, measure: Measure) -> None:
    """Goes on where the one before ended."""
    cluster = AuroraCluster("demo", namespace)
    writer = cluster.leadership()
    (added,) = cluster.status["readerAutoscaling"]["added"]
    client = sleepers(cluster, added, sessions=1)
    try:
        until("a client uses the reader", lambda: sessions(cluster, added) == 1, timeout=30)
        # By this measure nobody needs it any more.
        cluster.change({"readerAutoscaling": {"target": {"value": 100}, "scaleInCooldownSeconds": 5}})
        until("it takes no new sessions", lambda: added not in cluster.serving(), timeout=90)
        assert cluster.events("ReadersScaledIn")
        assert sessions(cluster, added) == 1, "who is there may stay"
        assert cluster.instances() == sorted([writer.instance, added])
        cluster.sql(added, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OF_CLIENTS}")
        ended = time.time()
        until("it is gone", lambda: cluster.instances() == [writer.instance], timeout=60)
        measure("readers: seconds from the end of the last session to the reader's removal", time.time() - ended)
    finally:
        client.kill()
        client.wait()
    cluster.wait_ready()
    assert not cluster.status["readerAutoscaling"].get("added")
    assert cluster.leadership() == writer


OF_CLIENTS = "backend_type = 'client backend' AND usename = 'app'"


def sessions(cluster: AuroraCluster, instance: str) -> int:
    """The application's sessions there."""
    return int(cluster.sql(instance, f"SELECT count(*) FROM pg_stat_activity WHERE {OF_CLIENTS}"))


def sleepers(cluster: AuroraCluster, instance: str, sessions: int = SESSIONS) -> subprocess.Popen[bytes]:
    """Sessions of the application that do nothing; they end with the process in the pod."""
    login = "host=localhost user=app dbname=app sslmode=require"
    script = (
        f"PGPASSWORD=$(cat {names.APP_MOUNT}/password); export PGPASSWORD; "
        f"for i in $(seq {sessions}); do psql '{login}' -XAtc 'SELECT pg_sleep(600)' & done; wait"
    )
    words = ["kubectl", "--context", KUBE_CONTEXT, "--namespace", cluster.namespace, "exec", names.pod_name(instance)]
    return subprocess.Popen([*words, "--container", names.CONTAINER, "--", "sh", "-c", script])
