"""Serverless v1: a change of capacity waits for a scaling point, and is forced where that is asked for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.client import CONTAINER, POD, Client
from tests.e2e.conftest import Measure, fresh_cluster
from tests.e2e.kube import until
from tests.e2e.test_serverless import claims, limit, uid, wait_paused

from aurora_operator.api.spec.capacity import ACU_BYTES

SCALING = {"autoPause": False, "secondsBeforeTimeout": 60, "timeoutAction": "ForceApplyCapacityChange"}
SPEC = {
    "instances": 1,
    "durability": {"copies": 1},
    "engineMode": "serverless",
    "scalingConfiguration": {"minCapacity": 2, "maxCapacity": 4, **SCALING},
    # The range changes below; these would follow it, with a restart.
    "parameters": {"shared_buffers": "256MB", "max_connections": "100"},
    "storage": {"size": "1Gi"},
}
LOAD = (
    "DO $$ DECLARE ends timestamptz := clock_timestamp() + '25 s'; BEGIN WHILE clock_timestamp() < ends LOOP "
    "PERFORM sum(i) FROM generate_series(1, 100000) i; COMMIT; END LOOP; END $$"
)


@pytest.fixture(scope="module")
def cluster(namespace: str) -> Iterator[AuroraCluster]:
    with fresh_cluster("demo", namespace, SPEC) as cluster:
        yield cluster


class Holder:
    """A transaction that stays open until it is told to commit."""

    def __init__(self, client: Client, namespace: str, target: str, pool: ThreadPoolExecutor) -> None:
        self._client, self._target = client, target
        client.psql(target, "CREATE TABLE IF NOT EXISTS told (n int)")
        client.psql(target, "TRUNCATE told")
        script = (
            "BEGIN; INSERT INTO kept VALUES (1); "
            "DO $$ BEGIN FOR i IN 1..1200 LOOP EXIT WHEN EXISTS (SELECT FROM told); PERFORM pg_sleep(0.1); END LOOP; "
            "END $$; COMMIT"
        )
        words = ["psql", target, "-XAt", "-v", "ON_ERROR_STOP=1", "-c", script]
        self._work: Future[str] = pool.submit(kube.execute, namespace, POD, CONTAINER, *words, timeout=180)
        until("the transaction is open", self._open, timeout=30, every=0.2)

    def _open(self) -> bool:
        # So long that it is no short one.
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT INTO kept%' AND state = 'active' "
            "AND clock_timestamp() - xact_start > '1.5 s'"
        )
        return self._client.psql(self._target, query) != "0"

    def commit(self) -> None:
        """End it, and hear that it has committed."""
        self._client.psql(self._target, "INSERT INTO told VALUES (1)")
        self._work.result(timeout=30)


def status(cluster: AuroraCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.status["members"][0]
    return found


def reasons(cluster: AuroraCluster) -> set[str]:
    return {event["reason"] for event in kube.items("events", cluster.namespace)}


def test_a_scaling_point_is_waited_for_and_forced(cluster: AuroraCluster, measure: Measure) -> None:
    client = Client(cluster)
    client.start()
    target = client.conninfo("demo")
    assert limit(cluster) == 2 * ACU_BYTES
    client.psql(target, "CREATE TABLE kept (n int)")
    before = uid(cluster)
    with ThreadPoolExecutor() as pool:
        holder = Holder(client, cluster.namespace, target, pool)
        loads = [pool.submit(client.psql, target, LOAD) for _ in range(2)]
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: [load.result() for load in loads])
            until("more is wanted", lambda: status(cluster).get("capacityChange") == "Waiting", timeout=40, every=0.5)
            assert status(cluster)["wantedCapacity"] == 4
            assert "a transaction is open" in status(cluster)["capacityReason"]
            assert limit(cluster) == 2 * ACU_BYTES
            until("it is told", lambda: "WaitingForScalingPoint" in reasons(cluster), timeout=20)
        # The loads are transactions, too: until they have ended, nothing changes.
        assert limit(cluster) == 2 * ACU_BYTES
        begun = time.monotonic()
        holder.commit()
        until("it is taken", lambda: limit(cluster) == 4 * ACU_BYTES, timeout=20, every=0.1)
        measure("serverless v1: seconds from the end of the transaction to the new limit", time.monotonic() - begun)

        holder = Holder(client, cluster.namespace, target, pool)
        # Whatever the load is, and however small the nodes are.
        cluster.change({"scalingConfiguration": {"minCapacity": 2, "maxCapacity": 2, **SCALING}})
        until("less is wanted", lambda: status(cluster).get("wantedCapacity") == 2, timeout=30)
        assert limit(cluster) == 4 * ACU_BYTES
        begun = time.monotonic()
        until("it is forced", lambda: limit(cluster) == 2 * ACU_BYTES, timeout=90, every=0.2)
        measure("serverless v1: seconds from waiting to a forced change", time.monotonic() - begun)
        until("it is told", lambda: "CapacityChangeForced" in reasons(cluster), timeout=20)
        # Who was in the way is not disturbed.
        holder.commit()
    assert client.psql(target, "SELECT count(*) FROM kept") == "2"
    assert uid(cluster) == before, "nothing was restarted"


def test_it_pauses_and_a_connection_wakes_it(cluster: AuroraCluster, measure: Measure) -> None:
    client = Client(cluster)
    client.start()
    target, volumes = client.conninfo("demo", connect_timeout="60"), claims(cluster)
    client.psql(target, "CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS number")
    cluster.change({"scalingConfiguration": {"minCapacity": 2, "maxCapacity": 2, **SCALING, "autoPause": True}})
    wait_paused(cluster)
    begun = time.monotonic()
    assert client.psql(target, "SELECT count(*) FROM numbers") == "1000"
    measure("serverless v1: seconds from connection to answer at zero, kubectl exec included", time.monotonic() - begun)
    assert limit(cluster) == 2 * ACU_BYTES, "the capacity that it had"
    cluster.change({"scalingConfiguration": {"minCapacity": 2, "maxCapacity": 2, **SCALING}})
    cluster.wait_ready(120)
    assert claims(cluster) == volumes
