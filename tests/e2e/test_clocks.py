"""The time of day is set in one pod while clients write: nobody loses its place, nothing is lost or stale."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import faults, kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.lasting import LEASE
from tests.e2e.probe import Probe
from tests.kind import project
from tests.kind.context import Context

from aurora_operator.api.base import names

pytestmark = pytest.mark.alone

IMAGE = project.Image("clock", folder=Path(__file__).with_name("clock"))
HOUR, DAY = 3600, 86400

# Names of the processes whose clock can be set.
_PROCESSES = 'for p in /proc/[0-9]*; do grep -qs libfaketime "$p/maps" && cat "$p/comm"; done; true'


class Clock:
    """A pod's wall clock."""

    def __init__(self, cluster: AuroraCluster, instance: str) -> None:
        self._cluster = cluster
        self._instance = instance

    def turn(self, ahead: int) -> None:
        """Make it so many seconds ahead of the machine's; see that date and the running PostgreSQL go by it."""
        self._sh(f"echo {ahead:+d} > /tmp/clock.new && mv /tmp/clock.new /tmp/clock")
        shown = {
            "date": float(self._sh("date +%s")),
            "clock_timestamp()": float(
                self._cluster.sql(self._instance, "SELECT extract(epoch FROM clock_timestamp())")
            ),
        }
        now = time.time()
        for what, at in shown.items():
            assert now + ahead - 10 < at < now + ahead + 1, f"{what} of {self._instance} is {at - now:+.0f} s off"

    def processes(self) -> set[str]:
        """Names of the pod's programs that go by it."""
        return set(self._sh(_PROCESSES).split())

    def _sh(self, script: str) -> str:
        pod = names.pod_name(self._instance)
        return kube.execute(self._cluster.namespace, pod, names.CONTAINER, "sh", "-c", script)


def write_on(probe: Probe) -> None:
    """Let the clients write for longer than a lease."""
    end = time.monotonic() + LEASE + 1
    probe.wait_acknowledged(200)
    until("a lease is over", lambda: time.monotonic() > end, timeout=LEASE + 2, every=0.1)
    probe.require_running()


def test_the_time_is_set_in_one_pod(namespace: str, measure: Measure) -> None:
    project.build_and_load(Context(registry=False), (IMAGE,))
    spec: dict[str, Any] = dict(SMALL) | {"image": {"name": IMAGE.tag}}
    cluster = AuroraCluster("demo", namespace)
    cluster.create(spec)
    cluster.wait_ready(300)
    before = cluster.leadership()
    reader = cluster.readers()[0]
    started = {instance: cluster.started(instance) for instance in (before.instance, reader)}
    with Probe(cluster) as probe:
        at = time.time()
        for instance in (before.instance, reader):
            clock = Clock(cluster, instance)
            assert {"python3", "bash", "postgres"} <= clock.processes()
            for ahead in (HOUR, -HOUR):
                clock.turn(ahead)
                write_on(probe)
            assert cluster.started(instance) == started[instance]
        assert cluster.leadership() == before
        clock.turn(-DAY)
        # Everything connects anew, by certificates that are not a day old.
        faults.kill_agent(namespace, names.pod_name(reader))
        until("it is started again", lambda: cluster.started(reader) != started[reader], timeout=60)
        until("it streams", lambda: reader in streaming(cluster, before.instance), timeout=60)
        cluster.wait_roles(readers=2)
        clock.turn(-DAY)
        write_on(probe)
        report = probe.stop()
    measure("wall clocks set: longest time without a write, seconds", report.longest_gap(at))
    measure("wall clocks set: the probe", report.summary())
    report.require_nothing_lost()
    assert report.longest_gap(at) < LEASE
    assert cluster.leadership() == before
    clock.turn(0)
    cluster.wait_ready()
    cluster.delete(wait=False)


def streaming(cluster: AuroraCluster, writer: str) -> str:
    """Names of the copies that stream from the writer."""
    return cluster.sql(writer, "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'")
