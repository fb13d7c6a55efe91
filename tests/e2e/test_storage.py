"""Volumes that fill: they grow by themselves, and nobody fails over because of one that is full."""

from __future__ import annotations

import time

from tests.e2e import faults, kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.probe import Probe

from aurora_operator.api.base import names
from aurora_operator.api.base.quantity import to_bytes

MIB = 1 << 20
FILLER = f"{names.DATA_MOUNT}/filler"
GROWS = {"enabled": True, "step": "1Gi", "max": "2Gi"}
SPEC = dict(SMALL) | {"instances": 2, "storage": {"size": "1Gi", "autoscaling": GROWS}}
"""Two instances and a log copy."""
FAST = 60.0
"""Seconds in which a volume has grown, on two busy cores."""

# In this order: each goes on where the one before ended.


def test_a_volume_grows_while_a_burst_fills_it(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.create(SPEC)
    cluster.wait_ready(240)
    before = cluster.leadership()
    started = cluster.started(before.instance)
    sizes = capacities(cluster)
    with Probe(cluster) as probe:
        at = fill(cluster, before.instance, leave=300 * MIB)
        load = "CREATE TABLE burst AS SELECT g, repeat('x', 1000) AS filling FROM generate_series(1, 100000) g"
        cluster.sql(before.instance, load, database="app")
        grown = until(
            "the writer's volume has grown",
            lambda: file_system(cluster, before.instance) > sizes[before.instance] and time.time(),
            timeout=FAST,
        )
        probe.wait_acknowledged(100)
        report = probe.stop()
    measure("storage: seconds from a burst to a larger file system", grown - at)
    measure("storage: longest time without a write while it grew, seconds", report.longest_gap(at))
    report.require_nothing_lost()
    assert report.refused == 0
    assert cluster.sql(before.instance, "SELECT count(*) FROM burst", database="app") == "100000"
    assert (cluster.leadership(), cluster.started(before.instance)) == (before, started)
    until(
        "the events tell of it", lambda: cluster.events("VolumeGrowing") and cluster.events("VolumeGrown"), timeout=30
    )
    empty(cluster, before.instance)
    cluster.wait_ready()


def test_a_full_volume_stops_writes_and_nothing_else_until_it_may_grow(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    before = cluster.leadership()
    started = cluster.started(before.instance)
    with Probe(cluster) as probe:
        at = fill(cluster, before.instance, leave=16 * MIB)
        stopped = until("writes are refused", lambda: brake(cluster) and time.time(), timeout=20, every=0.1)
        cluster.wait_condition("StorageHealthy", "False", timeout=20)
        assert cluster.sql(before.instance, "SELECT count(*) FROM burst", database="app") == "100000"
        cluster.change({"storage": {"autoscaling": {"max": "3Gi"}}})
        raised = time.time()
        until("writes are let in again", lambda: not brake(cluster), timeout=FAST, every=0.1)
        again = time.time()
        probe.wait_acknowledged(100)
        report = probe.stop()
    measure("storage: seconds until a full volume stops writes", stopped - at)
    measure("storage: seconds from a higher maximum until writes go on", again - raised)
    report.require_nothing_lost()
    assert (cluster.leadership(), cluster.started(before.instance)) == (before, started), "PostgreSQL went on"
    empty(cluster, before.instance)
    cluster.wait_condition("StorageHealthy", "True", timeout=FAST)
    cluster.wait_ready()


def test_postgresql_that_died_on_a_full_volume_waits_until_that_has_grown(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    writer = cluster.leadership().instance
    pod = names.pod_name(writer)
    size = capacities(cluster)[writer]
    cluster.change({"storage": {"autoscaling": {"max": f"{size // MIB}Mi"}}})
    cluster.wait_condition("Ready", "True", timeout=30)
    runs = restarts(cluster, writer)
    with Probe(cluster) as probe:
        fill(cluster, writer, leave=MIB)
        faults.kill_postmaster(cluster.namespace, pod)
        until("it is kept down", lambda: "PostgreSQL waits" in unhealthy(cluster), timeout=30)
        assert restarts(cluster, writer) == runs
        cluster.change({"storage": {"autoscaling": {"max": "8Gi"}}})
        raised = time.time()
        until("the volume has grown", lambda: capacities(cluster)[writer] > size, timeout=FAST)
        cluster.wait_roles(readers=1, timeout=FAST)
        measure("storage: seconds from a higher maximum until PostgreSQL is back", time.time() - raised)
        probe.wait_acknowledged(100)
        report = probe.stop()
    report.require_nothing_lost()
    assert cluster.sql(writer, "SELECT count(*) FROM burst", database="app") == "100000"
    assert restarts(cluster, writer) == runs, "the agent went on"
    empty(cluster, writer)
    cluster.wait_ready()


def test_a_log_copy_that_is_full_grows(namespace: str, measure: Measure) -> None:
    cluster = AuroraCluster("demo", namespace)
    cluster.change({"storage": {"autoscaling": {"max": "8Gi"}}})
    cluster.wait_ready()
    log = names.log_name("demo", 1)
    size, runs, before = capacities(cluster)[log], restarts(cluster, log), cluster.leadership()
    with Probe(cluster) as probe:
        at = fill(cluster, log, leave=MIB)
        grown = until("it has grown", lambda: file_system(cluster, log) > size and time.time(), timeout=FAST)
        probe.wait_acknowledged(100)
        report = probe.stop()
    measure("storage: seconds from a full log copy to a larger file system", grown - at)
    report.require_nothing_lost()
    assert report.refused == 0
    until("all copies receive", lambda: cluster.status["durability"]["alive"] == "3/3", timeout=FAST)
    written = f"SELECT count(*) FROM pg_stat_replication WHERE application_name LIKE '{log}/%' AND state = 'streaming'"
    assert cluster.sql(before.instance, written) == "1"
    assert (cluster.leadership(), restarts(cluster, log)) == (before, runs)
    empty(cluster, log)
    cluster.wait_ready()


def restarts(cluster: AuroraCluster, instance: str) -> int:
    """How often an instance's container was started again."""
    return int(cluster.pod(instance)["status"]["containerStatuses"][0]["restartCount"])


def unhealthy(cluster: AuroraCluster) -> str:
    """What StorageHealthy says against the volumes."""
    found = kube.condition(cluster.read(), "StorageHealthy")
    return str(found["message"]) if found is not None and found["status"] == "False" else ""


def fill(cluster: AuroraCluster, instance: str, *, leave: int) -> float:
    """Take all room of a volume but `leave` bytes; returns when. What is let go for it is taken too."""
    script = f"""
import os, time
fd = os.open("{FILLER}", os.O_RDWR | os.O_CREAT)
print(time.time())
quiet = time.time()
while time.time() < quiet + 1.5:
    found = os.statvfs("{names.DATA_MOUNT}")
    more = found.f_bavail * found.f_frsize - {leave}
    if more > 0:
        try:
            os.posix_fallocate(fd, os.fstat(fd).st_size, more)
            quiet = time.time()
        except OSError:
            pass
    time.sleep(0.02)
"""
    answer = cluster.execute(instance, "python3", "-c", script)
    return float(answer)


def empty(cluster: AuroraCluster, instance: str) -> None:
    """Give the room back."""
    cluster.execute(instance, "rm", "-f", FILLER)


def brake(cluster: AuroraCluster) -> bool:
    """Whether clients may not write."""
    instance = cluster.leadership().instance
    return cluster.sql(instance, "SHOW default_transaction_read_only") == "on"


def capacities(cluster: AuroraCluster) -> dict[str, int]:
    """The size of each volume, as Kubernetes says."""
    found = kube.items("pvc", cluster.namespace, f"{names.LABEL_CLUSTER}={cluster.name}")
    return {c["metadata"]["labels"][names.LABEL_INSTANCE]: to_bytes(c["status"]["capacity"]["storage"]) for c in found}


def file_system(cluster: AuroraCluster, instance: str) -> int:
    """Size of an instance's file system, in bytes."""
    words = ["df", "--output=size", "--block-size=1", names.DATA_MOUNT]
    return int(cluster.execute(instance, *words).split()[-1])
