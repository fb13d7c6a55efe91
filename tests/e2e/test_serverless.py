"""Serverless: capacity follows a real load, in place; a cluster sleeps, and a connection wakes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.client import CONTAINER, POD, Client, Refused
from tests.e2e.conftest import Measure, fresh_cluster
from tests.e2e.kube import until

from aurora_operator.api.base import names
from aurora_operator.api.spec.capacity import ACU_BYTES

MOST = 2
"""ACU. Other tests' clusters are on the same nodes, and what a pod asks for must fit beside them."""
LIMIT = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
"""Of control groups version 2 or 1."""
SPEC = {
    "instances": 2,
    "durability": {"copies": 2},
    "instanceClass": "db.serverless",
    "serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": MOST},
    "storage": {"size": "1Gi"},
}


@pytest.fixture(scope="module")
def serverless(namespace: str) -> Iterator[AuroraCluster]:
    with fresh_cluster("demo", namespace, SPEC) as cluster:
        yield cluster


def limit(cluster: AuroraCluster) -> int:
    """The memory limit that the kernel has for the writer's container."""
    text = kube.execute(cluster.namespace, "demo-1-0", names.CONTAINER, "sh", "-c", LIMIT)
    return int(text)


def uid(cluster: AuroraCluster) -> tuple[str, int]:
    pod = kube.need("pod", "demo-1-0", cluster.namespace)
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def test_capacity_follows_a_load(serverless: AuroraCluster, measure: Measure) -> None:
    client = Client(serverless)
    client.start()
    target = client.conninfo("demo")
    before = uid(serverless)
    least = limit(serverless)
    assert least < MOST * ACU_BYTES
    client.psql(target, "CREATE TABLE work (n bigint)")
    cache = client.psql(target, "SHOW effective_cache_size")
    begun = time.monotonic()
    # Four sessions that compute for 20 s, each commits each second.
    loop = (
        "DO $$ DECLARE ends timestamptz := clock_timestamp() + '20 s'; BEGIN WHILE clock_timestamp() < ends LOOP "
        "PERFORM sum(i) FROM generate_series(1, 200000) i; INSERT INTO work VALUES (1); COMMIT; END LOOP; END $$"
    )
    with ThreadPoolExecutor() as pool:
        loads = [pool.submit(client.psql, target, loop) for _ in range(4)]
        until("more memory", lambda: limit(serverless) > least, timeout=30, every=0.1)
        measure("serverless: seconds from load to a higher memory limit", time.monotonic() - begun)
        until("the status tells", lambda: _member(serverless).get("capacity", 0) * ACU_BYTES > least, timeout=20)
        until("PostgreSQL knows", lambda: client.psql(target, "SHOW effective_cache_size") != cache, timeout=20)
        assert client.psql(target, "SHOW shared_buffers") == "256MB", "what only a restart could change stays"
        for load in loads:
            load.result()
    assert uid(serverless) == before, "nothing was restarted"
    events = kube.items("events", serverless.namespace)
    assert any(e["reason"] == "CapacityChanged" for e in events)


def test_capacity_goes_down_again(serverless: AuroraCluster, measure: Measure) -> None:
    """In steps, after a minute; the page cache is let go for it."""
    before, begun, most = uid(serverless), time.monotonic(), limit(serverless)
    until("less memory", lambda: limit(serverless) < most, timeout=150, every=1)
    measure("serverless: seconds from the end of the load to a lower memory limit", time.monotonic() - begun)
    assert uid(serverless) == before


def _member(cluster: AuroraCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.status["members"][0]
    return found


def copies(cluster: AuroraCluster) -> list[str]:
    """The pods of its instances and log copies."""
    selector = f"{names.LABEL_CLUSTER}={cluster.name},{names.LABEL_COMPONENT} in (instance,log)"
    return [pod["metadata"]["name"] for pod in kube.items("pod", cluster.namespace, selector)]


def claims(cluster: AuroraCluster) -> set[str]:
    """The claims of its volumes: as long as they are the same, so are the data."""
    return {c["metadata"]["uid"] for c in kube.items("pvc", cluster.namespace)}


def wait_paused(cluster: AuroraCluster) -> None:
    """Until it sleeps, with its volumes alone."""
    until("it is paused", lambda: cluster.status["phase"] == "Paused", timeout=120)
    assert copies(cluster) == []


def test_an_idle_cluster_pauses_and_a_connection_wakes_it(serverless: AuroraCluster, measure: Measure) -> None:
    client = Client(serverless)
    client.start()
    target = client.conninfo("demo", connect_timeout="60")
    rows = client.psql(target, "SELECT count(*) FROM work")
    volumes = claims(serverless)
    serverless.change({"serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": MOST}})
    wait_paused(serverless)
    assert claims(serverless) == volumes
    _scan(serverless)
    assert serverless.status["phase"] == "Paused"
    begun = time.monotonic()
    assert client.psql(target, "SELECT count(*) FROM work") == rows
    measure("serverless: seconds from connection to answer at zero, kubectl exec included", time.monotonic() - begun)
    serverless.wait_ready(120)
    reasons = {e["reason"] for e in kube.items("events", serverless.namespace)}
    assert {"Paused", "Resuming", "Ready"} <= reasons
    # The reader's endpoint wakes it, too.
    until("it is paused again", lambda: serverless.status["phase"] == "Paused", timeout=120)
    assert client.psql(client.conninfo("demo-ro", connect_timeout="60"), "SELECT count(*) FROM work") == rows


def _scan(cluster: AuroraCluster) -> None:
    """What is no client of PostgreSQL: an HTTP request, garbage, a connection that says nothing."""
    script = (
        "exec 3<>/dev/tcp/demo/5432; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; exec 3>&-; "
        "exec 3<>/dev/tcp/demo/5432; head -c 5000 /dev/urandom >&3; exec 3>&-; "
        "exec 3<>/dev/tcp/demo/5432; exec 3>&-; sleep 2"
    )
    kube.execute(cluster.namespace, POD, CONTAINER, "bash", "-c", script)


def test_stopped_by_hand(serverless: AuroraCluster) -> None:
    client = Client(serverless)
    target = client.conninfo("demo", connect_timeout="60")
    serverless.change({"serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": MOST}, "stopped": True})
    until("it is stopped", lambda: serverless.status["phase"] == "Stopped", timeout=120)
    assert copies(serverless) == []
    with pytest.raises(Refused, match="is stopped"):
        client.psql(target, "SELECT 1")
    serverless.change({"stopped": False})
    serverless.wait_ready(120)
    assert int(client.psql(target, "SELECT count(*) FROM work")) > 0
