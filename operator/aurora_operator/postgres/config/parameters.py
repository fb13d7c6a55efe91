"""The configuration that a copy gets, each choice with its reason. Pure: a function of sizes and wishes.

Sizes follow the pod's own limits, except what a standby needs at least as large as its primary: that follows from
the smallest member, the same on every copy. Sources: the PostgreSQL manual's "Server Configuration", the defaults of
Aurora's parameter groups where its users would notice, and measurements named where they were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from aurora_operator.api.spec.parameters import MINIMUMS, owner_reason
from aurora_operator.postgres.server import log_line
from aurora_operator.postgres.server.control import STANDBY_MINIMUMS

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
_AURORA_BYTES_PER_CONNECTION: Final = 9_531_392
_AURORA_MAX_CONNECTIONS: Final = 5000


class Choice(NamedTuple):
    """A parameter, its value in PostgreSQL's text, and why."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the choices depend on. Bytes; `smallest_memory` is the least of all members, this copy included.

    Of a copy that scales, `memory` and `cpu_millis` are what it has now, and decide what PostgreSQL can reload.
    `least_memory` is the least that it ever has: what only a restart could change is sized from that, and so fits
    at every capacity. Memory of shared_buffers that was touched once cannot be given back: sized from more, it would
    keep the copy from ever shrinking to its least; the page cache beside it grows and shrinks as the copy does.
    max_connections follows from the largest (`smallest_memory`), as Aurora's does: a slot that is not used costs some
    kilobytes, and sessions that are there make the copy grow.
    """

    cpu_millis: int
    memory: int
    volume: int
    smallest_memory: int
    major: int = 17
    archive: bool = False
    """Whether there is a destination for backups."""
    least_memory: int | None = None

    @property
    def fixed_memory(self) -> int:
        """What may be relied on until the next restart."""
        return self.memory if self.least_memory is None else self.least_memory


def _clamp(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))


def _mb(size: int) -> str:
    return f"{size // MIB}MB"


def _segments(size: int) -> int:
    """Rounded down to whole WAL segments."""
    return size // (16 * MIB) * (16 * MIB)


def max_connections(smallest_memory: int) -> int:
    """Aurora's rule, from the smallest member's memory in bytes, so that all copies have the same."""
    return _clamp(50, smallest_memory // _AURORA_BYTES_PER_CONNECTION, _AURORA_MAX_CONNECTIONS)


def _memory(sizes: Sizes) -> list[Choice]:
    memory, connections = sizes.memory, max_connections(sizes.smallest_memory)
    work_mem = _clamp(4 * MIB, memory // (4 * connections), 64 * MIB)
    return [
        Choice(
            "shared_buffers",
            _mb(max(sizes.fixed_memory // 4, 32 * MIB)),
            "a quarter of the memory (of the least, where it scales); the page cache has the rest",
        ),
        Choice("effective_cache_size", _mb(memory * 3 // 4), "what the planner may expect to be cached, here or there"),
        Choice("work_mem", _mb(work_mem), "all connections sorting at once take about a quarter of the memory"),
        Choice(
            "maintenance_work_mem",
            _mb(_clamp(32 * MIB, memory // 16, GIB)),
            "three autovacuum workers and an index build fit beside shared_buffers",
        ),
        Choice(
            "wal_buffers",
            "16MB" if sizes.fixed_memory >= GIB else "4MB",
            "a segment's worth where memory is not scarce",
        ),
        Choice(
            "huge_pages",
            "off",
            "a pod that did not ask for huge pages is killed (SIGBUS) when it touches one on a node that has some",
        ),
        Choice("dynamic_shared_memory_type", "posix", "the pod has a /dev/shm of its own that counts as its memory"),
        Choice("shared_memory_type", "mmap", "works under the restricted pod security standard"),
    ]


def _connections(sizes: Sizes) -> list[Choice]:
    same = "the same on all copies: a standby must not have less than its primary"
    senders = MINIMUMS["max_wal_senders"][0] + 10
    return [
        Choice("max_connections", str(max_connections(sizes.smallest_memory)), f"Aurora's rule; {same}"),
        Choice("superuser_reserved_connections", "5", "the agent gets in when clients hold all others"),
        Choice("max_worker_processes", "24", f"parallel queries, extensions and subscriptions; {same}"),
        Choice("max_wal_senders", str(senders), f"15 readers stream while others are cloned (two each); {same}"),
        Choice("max_replication_slots", str(senders), "one for each copy that ever streams at once, and logical ones"),
        Choice("max_prepared_transactions", "0", f"PostgreSQL's default: a forgotten one blocks vacuum; {same}"),
        Choice("max_locks_per_transaction", "64", f"PostgreSQL's default; {same}"),
        Choice("tcp_keepalives_idle", "10", "dead clients and copies are noticed within 10 + 3 * 3 s"),
        Choice("tcp_keepalives_interval", "3", "see tcp_keepalives_idle"),
        Choice("tcp_keepalives_count", "3", "see tcp_keepalives_idle"),
        Choice("client_connection_check_interval", "10s", "a query whose client is gone does not run on"),
        Choice("idle_in_transaction_session_timeout", "1d", "as Aurora: forgotten transactions end some day"),
    ]


def _wal(sizes: Sizes) -> list[Choice]:
    max_wal = _segments(_clamp(128 * MIB, sizes.volume // 10, 4 * GIB))
    min_wal = _segments(_clamp(64 * MIB, max_wal // 4, GIB))
    keep = _segments(_clamp(64 * MIB, sizes.volume // 20, 2 * GIB))
    slots = _segments(max(256 * MIB, sizes.volume // 5))
    return [
        Choice("wal_level", "replica", "what copies and backups need; logical is the user's to choose"),
        Choice("wal_compression", "lz4", "full page images cross the network to every copy"),
        Choice("max_wal_size", _mb(max_wal), "a tenth of the volume, and no more than replays quickly after a crash"),
        Choice("min_wal_size", _mb(min_wal), "segments are reused rather than made anew"),
        Choice("checkpoint_timeout", "5min", "bounds what is replayed after a crash"),
        Choice("checkpoint_completion_target", "0.9", "spreads the writes"),
        Choice("wal_keep_size", _mb(keep), "a copy that lost its slot in a failover still finds its WAL"),
        Choice("max_slot_wal_keep_size", _mb(slots), "a copy that is gone must never fill the writer's volume"),
        Choice("fsync", "on", "acknowledged writes are on disk"),
        Choice("full_page_writes", "on", "torn pages are repaired; base backups need it"),
        Choice("wal_log_hints", "off", "data checksums are on, which log them already; pg_rewind needs one of both"),
        Choice("synchronous_commit", "on", "a commit waits for the write quorum; a session may choose otherwise"),
        Choice("archive_mode", "on" if sizes.archive else "off", "as spec.backup says; the agent gives the command"),
        Choice("restart_after_crash", "off", "every leadership is an epoch of its own, so the agent restarts it"),
        Choice("recovery_init_sync_method", "syncfs", "one call instead of opening every file before recovery"),
    ]


def _replication(sizes: Sizes) -> list[Choice]:
    return [
        Choice("hot_standby", "on", "copies serve reads"),
        Choice("hot_standby_feedback", "on", "readers' queries are not cancelled by the writer's vacuum"),
        Choice("max_standby_streaming_delay", "14s", "as Aurora: a reader's query may delay replay by that much"),
        Choice("max_standby_archive_delay", "14s", "see max_standby_streaming_delay"),
        Choice("recovery_target_timeline", "latest", "copies follow the next leader's timeline"),
        Choice("wal_retrieve_retry_interval", "40ms", "a copy turns to a new leader, and is known to be idle, at once"),
        Choice("wal_receiver_status_interval", "1s", "the leader sees replay, and its lag, move"),
        Choice("wal_receiver_timeout", "10s", "a copy drops a leader that froze; the agents decide who leads sooner"),
        Choice("wal_sender_timeout", "10s", "the leader drops a copy that froze"),
    ]


def _planner(sizes: Sizes) -> list[Choice]:
    cpus = max(sizes.cpu_millis // 1000, 1)
    gather = min(cpus // 2, 4)
    return [
        Choice("max_parallel_workers", str(_clamp(1, cpus, 24)), "one for each CPU"),
        Choice("max_parallel_workers_per_gather", str(gather), "half the CPUs; none where there is but one"),
        Choice("max_parallel_maintenance_workers", str(gather), "see max_parallel_workers_per_gather"),
        Choice("random_page_cost", "1.1", "volumes are solid-state or striped"),
        Choice("effective_io_concurrency", "100", "see random_page_cost"),
        Choice("jit", "off", "LLVM is not in the image, and short queries are faster without"),
        Choice("autovacuum_naptime", "15s", "small busy tables stay small"),
        Choice("autovacuum_vacuum_scale_factor", "0.1", "as Aurora"),
        Choice("autovacuum_analyze_scale_factor", "0.05", "as Aurora"),
        Choice("autovacuum_vacuum_cost_limit", "1000", "PostgreSQL's 200 is for spinning disks"),
        Choice("shared_preload_libraries", "pg_stat_statements", "as Aurora"),
        Choice("track_activity_query_size", "4kB", "as Aurora"),
        Choice("track_io_timing", "on", "as Aurora"),
    ]


def _logging(sizes: Sizes) -> list[Choice]:
    return [
        Choice("log_destination", "stderr", "`kubectl logs` shows it"),
        Choice("logging_collector", "off", "see log_destination"),
        Choice("log_line_prefix", log_line.PREFIX, "when, which process, of what kind, how bad; who, where, with what"),
        Choice("log_timezone", "UTC", "all pods tell the same time"),
        Choice("timezone", "UTC", "see log_timezone"),
        Choice("log_checkpoints", "on", "explains latency"),
        Choice("log_lock_waits", "on", "explains latency"),
        Choice("log_temp_files", "10MB", "explains a full volume"),
        Choice("log_autovacuum_min_duration", "10s", "explains latency"),
        Choice("lc_messages", "C", "one language in all logs, and we read some of them"),
        Choice("default_text_search_config", "pg_catalog.english", "initdb's choice for C.UTF-8, whoever ran it"),
    ]


def _security(sizes: Sizes) -> list[Choice]:
    choices = [
        Choice("ssl", "on", "passwords and data do not cross the network in clear"),
        Choice("ssl_min_protocol_version", "TLSv1.2", "older ones are broken"),
        Choice("password_encryption", "scram-sha-256", "md5 is broken"),
    ]
    if sizes.major >= 17:
        choices.append(Choice("allow_alter_system", "off", "parameters belong in the resource, where they are checked"))
    return choices


def compute(sizes: Sizes) -> tuple[Choice, ...]:
    """Our choices for a copy of these sizes."""
    parts = (_memory, _connections, _wal, _replication, _planner, _logging, _security)
    return tuple(choice for part in parts for choice in part(sizes))


def merge(
    choices: tuple[Choice, ...], user: Mapping[str, str], standby_minimums: Mapping[str, int] | None = None
) -> tuple[Choice, ...]:
    """Our choices with the user's in their place, except those that we own; in a stable order.

    `standby_minimums` (`Control.standby_minimums`; for standbys only) raises what a standby needs at least as large
    as its primary had it: without, it would not start after such a parameter was lowered.
    """
    wishes = {name.lower(): value for name, value in user.items() if owner_reason(name) is None}
    merged = [c if c.name not in wishes else Choice(c.name, wishes.pop(c.name), "the user's") for c in choices]
    merged += [Choice(name, value, "the user's") for name, value in sorted(wishes.items())]
    return tuple(_raise(choice, standby_minimums or {}) for choice in merged)


def preload(choices: tuple[Choice, ...], library: str | None) -> tuple[Choice, ...]:
    """The choices, with a library of ours loaded at the start beside those that they name; the same for None."""
    name = "shared_preload_libraries"
    if library is None:
        return choices
    if all(choice.name != name for choice in choices):
        return (*choices, Choice(name, library, "ours"))
    return tuple(
        Choice(name, f"{c.value}, {library}".removeprefix(", "), c.reason) if c.name == name else c for c in choices
    )


def raised(user: Mapping[str, str], standby_minimums: Mapping[str, int]) -> dict[str, str]:
    """The user's values that `merge` raises, by name: what is in force in their place."""
    return {c.name: c.value for c in merge((), user, standby_minimums) if c.reason != "the user's"}


def _raise(choice: Choice, minimums: Mapping[str, int]) -> Choice:
    least = minimums.get(choice.name) if choice.name in STANDBY_MINIMUMS else None
    if least is None or (choice.value.isascii() and choice.value.isdigit() and int(choice.value) >= least):
        return choice
    return Choice(choice.name, str(least), f"{choice.value} is wanted, but the primary still has {least}")
