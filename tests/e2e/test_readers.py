"""Readers come with sessions, and go once their own sessions have ended."""

from __future__ import annotations

import subprocess
import time

from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.kind.context import KUBE_CONTEXT

from aurora_operator.api import names

DRAIN = 15
POLICY = {
    "minCapacity": 0,
    "maxCapacity": 1,
    "target": {"metric": "DatabaseConnections", "value": 4},
    "scaleInCooldownSeconds": 20,
    "scaleOutCooldownSeconds": 5,
    "drainTimeoutSeconds": DRAIN,
}
SPEC = dict(SMALL) | {"instances": 1, "durability": {"copies": 1}, "readerAutoscaling": POLICY}
SESSIONS = 30


def test_a_reader_comes_with_the_load_and_goes_with_it(namespace: str, measure: Measure) -> None:
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
    cluster.sql(
        writer,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%'"
        " AND pid <> pg_backend_pid()",
    )
    # With a session of its own, it goes only when that has had its time.
    held = sleepers(cluster, added, count=1)
    try:
        until("it takes no new sessions", lambda: added not in cluster.serving() or None, timeout=240)
        drained = time.time()
        assert added in cluster.instances()
        until("it is gone", lambda: cluster.instances() == [writer], timeout=90)
        measure("readers: seconds from draining to gone", time.time() - drained)
        assert time.time() - drained > DRAIN / 2
    finally:
        held.kill()
        held.wait()
    assert cluster.events("ReadersScaledIn")
    cluster.wait_ready()


def sleepers(cluster: AuroraCluster, instance: str, count: int = SESSIONS) -> subprocess.Popen[bytes]:
    """Sessions of the application that do nothing; they end with the process in the pod."""
    password = cluster.secret()["password"]
    login = f"host=localhost user=app dbname=app sslmode=require password={password}"
    script = f"for i in $(seq {count}); do psql '{login}' -XAtc 'SELECT pg_sleep(600)' & done; wait"
    words = ["kubectl", "--context", KUBE_CONTEXT, "--namespace", cluster.namespace, "exec", names.pod_name(instance)]
    return subprocess.Popen([*words, "--container", names.CONTAINER, "--", "sh", "-c", script])
