"""What Prometheus sees of the operator. The state of clusters is read from their last statuses when asked, so that
nothing stays behind of a cluster or member that is gone."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aurora_operator.api.base.quantity import to_bytes
from aurora_operator.controller.fleet import Key

_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CLUSTER: Final = ["namespace", "cluster"]
_MEMBER: Final = [*_CLUSTER, "instance"]


class Metrics(Collector):
    """Counts passes, and remembers each cluster's last status."""

    def __init__(self, registry: CollectorRegistry, leading: Callable[[], bool]) -> None:
        self._leading = leading
        self._statuses: dict[Key, Mapping[str, Any]] = {}
        self._passes = Counter(
            "aurora_reconcile", "Reconcile passes, by how they ended.", ["result"], registry=registry
        )
        self._seconds = Histogram(
            "aurora_reconcile_seconds", "How long reconcile passes take.", buckets=_BUCKETS, registry=registry
        )
        for result in ("success", "error"):
            self._passes.labels(result)
        registry.register(self)

    def passed(self, key: Key, status: Mapping[str, Any], *, seconds: float, failed: bool) -> None:
        """A pass has ended."""
        self._passes.labels("error" if failed else "success").inc()
        self._seconds.observe(seconds)
        self._statuses[key] = status

    def forget(self, key: Key) -> None:
        """The cluster is gone."""
        self._statuses.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """The state of operator and clusters (called by the registry, from another thread)."""
        statuses = dict(self._statuses)
        leader = GaugeMetricFamily("aurora_operator_leader", "Whether this operator is the one that acts.")
        leader.add_metric([], float(self._leading()))
        yield leader
        phases = GaugeMetricFamily("aurora_clusters", "Clusters, by phase.", labels=["phase"])
        for phase, count in Tally(str(s.get("phase") or "Unknown") for s in statuses.values()).items():
            phases.add_metric([phase], count)
        yield phases
        epoch = GaugeMetricFamily("aurora_cluster_epoch", "Number of the writer's leadership.", labels=_CLUSTER)
        for key, status in statuses.items():
            if status.get("epoch") is not None:
                epoch.add_metric(list(key), status["epoch"])
        yield epoch
        yield from _members(statuses)
        yield from _volumes(statuses)
        yield from _rehearsals(statuses)


def _members(statuses: Mapping[Key, Mapping[str, Any]]) -> Iterator[Metric]:
    ready = GaugeMetricFamily("aurora_member_ready", "Whether the instance serves clients.", labels=_MEMBER)
    writer = GaugeMetricFamily("aurora_member_writer", "Whether the instance is the writer.", labels=_MEMBER)
    size = GaugeMetricFamily("aurora_member_lag_bytes", "WAL that the instance is behind the writer.", labels=_MEMBER)
    time = GaugeMetricFamily("aurora_member_lag_seconds", "Time that the instance is behind.", labels=_MEMBER)
    lag = GaugeMetricFamily("AuroraReplicaLag", "Time that a reader is behind, in milliseconds.", labels=_MEMBER)
    for key, status in statuses.items():
        for member in status.get("members") or ():
            labels = [*key, member["name"]]
            ready.add_metric(labels, float(bool(member.get("ready"))))
            writer.add_metric(labels, float(member.get("role") == "writer"))
            if member.get("lagBytes") is not None:
                size.add_metric(labels, member["lagBytes"])
            if member.get("lagSeconds") is not None:
                time.add_metric(labels, member["lagSeconds"])
                if member.get("role") == "reader":
                    lag.add_metric(labels, 1000 * member["lagSeconds"])
    capacity = GaugeMetricFamily("ServerlessDatabaseCapacity", "Capacity in force, in ACU.", labels=_MEMBER)
    for key, status in statuses.items():
        for member in status.get("members") or ():
            if member.get("capacity") is not None:
                capacity.add_metric([*key, member["name"]], member["capacity"])
    yield from (ready, writer, size, time, lag, capacity)


def _volumes(statuses: Mapping[Key, Mapping[str, Any]]) -> Iterator[Metric]:
    """Of each cluster, by Aurora's names, what its data take and could still take; of each copy, its volume."""
    clusters = {
        "usedBytes": GaugeMetricFamily("VolumeBytesUsed", "Used bytes of the writer's volume.", labels=_CLUSTER),
        "bytesLeft": GaugeMetricFamily(
            "AuroraVolumeBytesLeftTotal", "Bytes that it can still take, once it has grown.", labels=_CLUSTER
        ),
    }
    copies = {
        "capacity": GaugeMetricFamily("aurora_member_volume_bytes", "Size of the copy's volume.", labels=_MEMBER),
        "usedBytes": GaugeMetricFamily(
            "aurora_member_volume_used_bytes", "Used bytes of the copy's volume.", labels=_MEMBER
        ),
        "freeBytes": GaugeMetricFamily(
            "aurora_member_volume_free_bytes", "Bytes left on it, until it grows.", labels=_MEMBER
        ),
    }
    for key, status in statuses.items():
        storage = status.get("storage") or {}
        for name, family in clusters.items():
            if storage.get(name) is not None:
                family.add_metric(list(key), storage[name])
        for volume in storage.get("volumes") or ():
            for name, family in copies.items():
                value = volume.get(name)
                if value is not None:
                    family.add_metric([*key, volume["name"]], to_bytes(value) if name == "capacity" else value)
    yield from (*clusters.values(), *copies.values())


def _rehearsals(statuses: Mapping[Key, Mapping[str, Any]]) -> Iterator[Metric]:
    """Of the last rehearsal of a restore, where there was one."""
    passed = GaugeMetricFamily("aurora_restore_rehearsal_passed", "Whether it passed.", labels=_CLUSTER)
    ended = GaugeMetricFamily("aurora_restore_rehearsal_end_time_seconds", "When it ended.", labels=_CLUSTER)
    total = GaugeMetricFamily("aurora_restore_rehearsal_seconds", "How long it took.", labels=_CLUSTER)
    restore = GaugeMetricFamily(
        "aurora_restore_rehearsal_restore_seconds", "How long the restore in it took.", labels=_CLUSTER
    )
    point = GaugeMetricFamily(
        "aurora_restore_rehearsal_restored_time_seconds", "The last commit in what it restored.", labels=_CLUSTER
    )
    success = GaugeMetricFamily(
        "aurora_restore_rehearsal_last_passed_time_seconds", "When one ended last that passed.", labels=_CLUSTER
    )
    for key, status in statuses.items():
        rehearsal = (status.get("backup") or {}).get("rehearsal") or {}
        last = rehearsal.get("last") or {}
        if last:
            passed.add_metric(list(key), float(last.get("result") == "Passed"))
        for family, value in ((total, last.get("durationSeconds")), (restore, last.get("restoreSeconds"))):
            if value is not None:
                family.add_metric(list(key), value)
        moments = (
            (ended, last.get("finishedAt")),
            (point, last.get("restoredTime")),
            (success, rehearsal.get("lastPassedAt")),
        )
        for family, moment in moments:
            if moment is not None:
                family.add_metric(list(key), datetime.fromisoformat(moment).timestamp())
    yield from (passed, ended, total, restore, point, success)
