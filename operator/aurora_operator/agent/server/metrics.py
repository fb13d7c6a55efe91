"""The agent's metrics, read at each scrape."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aurora_operator.agent.member import status
from aurora_operator.agent.member.member import Member


class Metrics(Collector):
    """A view of the status."""

    def __init__(self, copy: Member) -> None:
        self._copy = copy

    def collect(self) -> Iterable[Metric]:
        """Gauges of this copy; `AuroraReplicaLag` is in milliseconds, as Aurora's users know it."""
        now = status.build(self._copy)
        yield GaugeMetricFamily("aurora_writer", "1 on the open writer", 1.0 if now.role == "writer" else 0.0)
        yield GaugeMetricFamily("aurora_serving", "1 while clients are let in", 0.0 if now.role == "none" else 1.0)
        yield GaugeMetricFamily("aurora_epoch", "Epoch of the leader that this copy knows", now.epoch)
        yield GaugeMetricFamily("aurora_wal_position_bytes", "LSN of this copy", now.lsn)
        if now.lag_bytes is not None:
            yield GaugeMetricFamily("aurora_replica_lag_bytes", "Bytes not yet replayed here", now.lag_bytes)
        if now.lag_seconds is not None:
            yield GaugeMetricFamily("AuroraReplicaLag", "Replication lag in milliseconds", now.lag_seconds * 1000)
        if now.commits_wait_seconds is not None:
            text = "For how long no commit has been acknowledged, in seconds; 0 while they go through"
            yield GaugeMetricFamily("aurora_commits_wait_seconds", text, now.commits_wait_seconds)
            yield GaugeMetricFamily("aurora_writers_slowed", "Part of the time that writers are paused", now.slowed)
        if now.capacity is not None:
            utilization = 100 * now.capacity.now / now.capacity.most if now.capacity.most else 0.0
            yield GaugeMetricFamily("ServerlessDatabaseCapacity", "Capacity in force, in ACU", now.capacity.now)
            yield GaugeMetricFamily("ACUUtilization", "Capacity in force, in percent of maxCapacity", utilization)
            waits = float(now.capacity.change == "Waiting")
            yield GaugeMetricFamily("aurora_scaling_point_waiting", "1 while a change waits for a scaling point", waits)
        load = now.load
        if load is not None:
            if load.cpu_limit_millis:
                used = 100 * load.cpu_millis_10s / load.cpu_limit_millis
                yield GaugeMetricFamily("CPUUtilization", "CPU used, in percent of the limit, over 10 s", used)
            if load.memory_limit_bytes:
                free = max(load.memory_limit_bytes - load.memory_working_set_bytes, 0)
                yield GaugeMetricFamily("FreeableMemory", "Memory limit less the working set, in bytes", free)
            if load.connections is not None:
                yield GaugeMetricFamily("DatabaseConnections", "Sessions of clients", load.connections)
        volume = now.volume
        if volume is not None:
            yield GaugeMetricFamily("VolumeBytesUsed", "Used bytes of the volume", volume.used_bytes)
            yield GaugeMetricFamily("aurora_volume_free_bytes", "Bytes that are left of the volume", volume.free_bytes)
            yield GaugeMetricFamily("aurora_volume_wal_bytes", "Bytes of WAL on the volume", volume.wal_bytes)
            yield GaugeMetricFamily(
                "aurora_volume_temporary_bytes", "Bytes of queries' temporary files", volume.temporary_bytes
            )
            yield GaugeMetricFamily(
                "aurora_volume_growth_bytes_per_second", "How fast it fills", volume.growth_bytes_per_second
            )
        if now.backup is not None:
            report = now.backup
            name = "aurora_backup_healthy"
            yield GaugeMetricFamily(
                name, "1 while all WAL is stored in time", float(report.cause is None and report.archiving)
            )
            yield GaugeMetricFamily(
                "aurora_backup_waiting_segments", "Full segments not stored yet", report.waiting_segments
            )
            for name, text, moment in (
                (
                    "aurora_backup_latest_restorable_seconds",
                    "Unix time up to which all is stored",
                    report.latest_restorable_at,
                ),
                ("aurora_backup_earliest_restorable_seconds", "Unix time from which on", report.earliest_restorable_at),
            ):
                if moment is not None:
                    yield GaugeMetricFamily(name, text, datetime.fromisoformat(moment).timestamp())
        yield GaugeMetricFamily("aurora_volume_bytes", "Size of the volume", now.volume_bytes)
        yield GaugeMetricFamily("aurora_volume_used_bytes", "Used bytes of the volume", now.volume_used_bytes)
