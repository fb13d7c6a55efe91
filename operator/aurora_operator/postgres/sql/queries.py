"""What the agent asks and tells the server of its own pod. LSNs are in bytes, times in seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from aurora_operator.api.base.lsn import parse_lsn
from aurora_operator.api.base.names import REPLICATION_USER
from aurora_operator.postgres.errors import QueryError, Unavailable
from aurora_operator.postgres.sql.session import APPLICATION, Session

_POLL: Final = 0.01
_DUPLICATE_OBJECT: Final = "42710"
_UNDEFINED_OBJECT: Final = "42704"
_OBJECT_IN_USE: Final = "55006"
_CLIENTS: Final = (
    "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    f" AND (usename <> 'postgres' OR application_name <> '{APPLICATION}')"
)
_BLOCKS_READ: Final = "(SELECT coalesce(sum(blks_read), 0)::bigint FROM pg_stat_database)"


@dataclass(frozen=True, slots=True)
class Receiver:
    """The process that receives WAL. All but `pid` are None until it has connected."""

    pid: int
    status: str | None = None
    timeline: int | None = None
    flushed: int | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What a server is doing, from one query."""

    in_recovery: bool
    receive_lsn: int
    """Flushed by a WAL receiver in this life of the server; 0 if none ran. A record's middle, possibly."""
    replay_lsn: int
    """The end of the last record replayed; on a writer, what it has flushed itself."""
    receiver: Receiver | None
    waiting_for_wal: bool
    """Whether recovery found nothing to replay, receives nothing, and sleeps until it looks again."""
    replay_delay: float | None
    """Age of the last transaction replayed, when more has been received; 0 when not; None if unknown."""
    paused: bool = False
    """Whether replay stands still: somebody asked for it, or it lacks something (`Standby.lacking`)."""

    @property
    def lsn(self) -> int:
        """How far the durable log goes, replayed or not."""
        return max(self.receive_lsn, self.replay_lsn)


@dataclass(frozen=True, slots=True)
class Replica:
    """A row of pg_stat_replication. LSNs are 0 where it has not said."""

    pid: int
    application_name: str
    state: str
    sync_state: str
    flush_lsn: int
    replay_lsn: int
    replay_lag: float
    address: str | None


class Replication(NamedTuple):
    """Who receives WAL from a writer."""

    lsn: int
    """The end of what the writer has flushed."""
    replicas: list[Replica]
    need: int
    """How many of those that PostgreSQL counts must have flushed a commit: its setting in force."""

    @property
    def acknowledged(self) -> int | None:
        """Up to where commits are acknowledged; None where PostgreSQL counts too few copies for any."""
        if self.need == 0:
            return self.lsn
        counted = sorted((r.flush_lsn for r in self.replicas if r.sync_state == "quorum"), reverse=True)
        return counted[self.need - 1] if len(counted) >= self.need else None


@dataclass(frozen=True, slots=True)
class Slot:
    """A physical replication slot. `wal_status` is `lost` when its copy must be cloned again."""

    name: str
    active: bool
    restart_lsn: int | None
    wal_status: str | None


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions of clients, the agent's own and receivers of WAL apart."""

    connections: int
    active: int
    """Those that execute a statement."""
    running: int
    """Of these, those that wait for nothing but CPU."""
    max_connections: int
    blocks_read: int = 0
    """Blocks that were not in shared_buffers, ever."""


def _lsn(text: object) -> int:
    return 0 if text is None else parse_lsn(str(text))


async def status(session: Session) -> Status:
    """See `Status`. Raises Unavailable, QueryError."""
    row = await session.row(
        """
        SELECT r.recovery,
               CASE WHEN r.recovery THEN pg_last_wal_receive_lsn() END,
               CASE WHEN r.recovery THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END,
               p.pid, w.status, w.received_tli, w.flushed_lsn, w.sender_host,
               EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
                       AND wait_event = 'RecoveryRetrieveRetryInterval'),
               CASE WHEN NOT r.recovery OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                    ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
               CASE WHEN r.recovery THEN pg_get_wal_replay_pause_state() = 'paused' ELSE false END
        FROM (SELECT pg_is_in_recovery() AS recovery) r
        LEFT JOIN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver') p ON true
        LEFT JOIN pg_stat_wal_receiver w ON w.pid = p.pid
        """
    )
    recovery, received, replayed, pid, word, timeline, flushed, sender, waiting, delay, paused = row
    receiver = (
        None if pid is None else Receiver(pid, word, timeline, None if flushed is None else _lsn(flushed), sender)
    )
    return Status(
        in_recovery=recovery,
        receive_lsn=_lsn(received),
        replay_lsn=_lsn(replayed),
        receiver=receiver,
        waiting_for_wal=waiting,
        replay_delay=None if delay is None else max(float(delay), 0.0),
        paused=paused,
    )


async def whole_numbers(session: Session, names: Sequence[str]) -> dict[str, int]:
    """The values in force of parameters that are whole numbers. Raises Unavailable, QueryError."""
    rows = await session.rows("SELECT name, setting::int FROM pg_settings WHERE name = ANY(%s)", [list(names)])
    return {str(name): int(value) for name, value in rows}


async def is_in_recovery(session: Session) -> bool:
    """Whether the server is a standby. Raises Unavailable, QueryError."""
    return bool((await session.row("SELECT pg_is_in_recovery()"))[0])


async def write_lsn(session: Session) -> tuple[int, int]:
    """On a writer: (its timeline, the end of what it has flushed). Raises QueryError on a standby."""
    row = await session.row(
        "SELECT pg_current_wal_flush_lsn(), ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))"
        "::bit(32)::bigint"
    )
    return int(row[1]), _lsn(row[0])


async def flush(session: Session) -> int:
    """On a writer: flush all that is written so far, and return the LSN after it.

    A commit does it; a message that nobody decodes is the smallest one.
    """
    await session.row("SELECT pg_logical_emit_message(true, 'aurora', '')")
    return (await write_lsn(session))[1]


async def replication(session: Session) -> Replication:
    """On a writer: see `Replication`; base backups are left out.

    Raises Unavailable, and QueryError on a standby.
    """
    rows = await session.rows(
        """
        SELECT w.lsn, pid, application_name, state, sync_state, flush_lsn, replay_lsn,
               extract(epoch FROM replay_lag), host(client_addr), w.need
        FROM (SELECT pg_current_wal_flush_lsn() AS lsn,
                     coalesce(substring(current_setting('synchronous_standby_names') FROM '^ANY ([0-9]+)'), '0')::int
                         AS need) w
        LEFT JOIN pg_stat_replication ON state <> 'backup' ORDER BY application_name, pid
        """
    )
    found = [
        Replica(pid, name, state, sync, _lsn(flush), _lsn(replay), float(lag or 0), address)
        for _, pid, name, state, sync, flush, replay, lag, address, _ in rows
        if pid is not None
    ]
    return Replication(_lsn(rows[0][0]), found, rows[0][-1])


async def slots(session: Session) -> list[Slot]:
    """The physical replication slots. Raises Unavailable, QueryError."""
    rows = await session.rows(
        "SELECT slot_name, active, restart_lsn, wal_status FROM pg_replication_slots"
        " WHERE slot_type = 'physical' AND NOT temporary ORDER BY slot_name"
    )
    return [Slot(name, active, None if at is None else _lsn(at), word) for name, active, at, word in rows]


async def create_slot(session: Session, name: str, *, reserve: bool = True) -> bool:
    """Make a physical slot that keeps WAL from now on, or (not `reserve`) from its first use on.

    Returns False if there is one. Raises QueryError.
    """
    try:
        await session.rows("SELECT pg_create_physical_replication_slot(%s, %s)", [name, reserve])
    except QueryError as error:
        if error.sqlstate == _DUPLICATE_OBJECT:
            return False
        raise
    return True


async def drop_slot(session: Session, name: str) -> bool:
    """Drop a slot; returns False if there was none, or a copy uses it. Raises QueryError."""
    try:
        await session.rows("SELECT pg_drop_replication_slot(%s)", [name])
    except QueryError as error:
        if error.sqlstate in (_UNDEFINED_OBJECT, _OBJECT_IN_USE):
            return False
        raise
    return True


async def clients(session: Session) -> int:
    """How many sessions of others there are, receivers of WAL apart."""
    return int((await session.row(f"SELECT count(*) {_CLIENTS}"))[0])


async def sessions(session: Session) -> Sessions:
    """See `Sessions`. Raises Unavailable, QueryError."""
    row = await session.row(
        "SELECT count(*), count(*) FILTER (WHERE state = 'active'),"
        " count(*) FILTER (WHERE state = 'active' AND wait_event IS NULL),"
        " current_setting('max_connections')::int,"
        f" {_BLOCKS_READ} {_CLIENTS}"
    )
    return Sessions(*(int(value) for value in row))


async def has_login(session: Session, role: str, database: str) -> bool:
    """Whether there is this role, and this database."""
    rows = await session.rows("SELECT FROM pg_roles, pg_database WHERE rolname = %s AND datname = %s", [role, database])
    return bool(rows)


async def terminate_clients(session: Session, timeout: float = 2) -> int:  # noqa: ASYNC109
    """End all sessions but the agent's own and the receivers of WAL; returns how many are left after `timeout`."""
    deadline = time.monotonic() + timeout
    while True:
        left = await session.rows(f"SELECT pg_terminate_backend(pid) {_CLIENTS}")
        if not left or time.monotonic() > deadline:
            return len(left)
        await asyncio.sleep(_POLL)


async def terminate_guests(session: Session) -> int:
    """End the sessions of all who come by password; returns how many there were. Superusers stay, pgBackRest's too."""
    rows = await session.rows(
        f"SELECT pg_terminate_backend(pid) {_CLIENTS} AND usename NOT IN ('postgres', '{REPLICATION_USER}')"
    )
    return len(rows)


async def flush_wal(session: Session) -> None:
    """Have all WAL on disk that was written before, that of commits that did not wait for it too. Not on a standby."""
    await session.rows("SELECT pg_switch_wal()")


async def terminate_writers(session: Session, pids: Collection[int] = ()) -> int:
    """End the clients' sessions that are writing just now, and those of `pids`; returns how many.

    Never by cancelling them: a commit that waits for other copies would be acknowledged without them. Those that wait
    for nothing else need no more room, and are left alone.
    """
    rows = await session.rows(
        f"SELECT pg_terminate_backend(pid) {_CLIENTS} AND state = 'active' AND coalesce(wait_event, '') <> 'SyncRep'"
        " AND (backend_xid IS NOT NULL OR pid = ANY(%s))",
        [list(pids)],
    )
    return len(rows)


@dataclass(frozen=True, slots=True)
class WalKeepers:
    """What keeps WAL on this server."""

    slots: tuple[tuple[str, bool, bool, int], ...]
    """Of each slot: its name, whether it is logical, whether it is active, and the bytes of WAL that it keeps."""
    archive_failing: str | None
    """The WAL file that could not be archived, if that was the archiver's last attempt."""
    max_wal_size: int
    """Bytes."""


async def wal_keepers(session: Session) -> WalKeepers:
    """See `WalKeepers`. Raises Unavailable, QueryError."""
    slots = await session.rows(
        """
        SELECT slot_name, slot_type = 'logical', active, greatest(pg_wal_lsn_diff(
                   CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                   restart_lsn), 0)::bigint
        FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY slot_name
        """
    )
    failing, max_wal = await session.row(
        "SELECT CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN last_failed_wal END,"
        " pg_size_bytes(current_setting('max_wal_size')) FROM pg_stat_archiver"
    )
    return WalKeepers(tuple((n, lo, a, int(kept)) for n, lo, a, kept in slots), failing, int(max_wal))


async def terminate(session: Session, pid: int) -> None:
    """Ask one server process to end."""
    await session.rows("SELECT pg_terminate_backend(%s)", [pid])


async def checkpoint(session: Session, timeout: float = 600) -> None:  # noqa: ASYNC109
    """Write everything out now. Raises Unavailable when it takes longer."""
    await session.rows("CHECKPOINT", timeout=timeout)


async def checkpoint_timeline(session: Session) -> int:
    """The timeline of pg_control's checkpoint: no start of this copy begins on an older one."""
    (timeline,) = await session.row("SELECT timeline_id FROM pg_control_checkpoint()")
    return int(timeline)


async def pending_restart(session: Session) -> tuple[str, ...]:
    """Parameters in the files that only a restart brings in force."""
    rows = await session.rows("SELECT name FROM pg_settings WHERE pending_restart ORDER BY name")
    return tuple(name for (name,) in rows)


async def file_errors(session: Session) -> dict[str, str]:
    """Parameters in the files that this server cannot use, and why; a restart-only change is no error."""
    rows = await session.rows(
        "SELECT coalesce(f.name, f.sourcefile || ':' || f.sourceline), f.error FROM pg_file_settings f"
        " LEFT JOIN pg_settings s ON s.name = f.name AND s.pending_restart WHERE f.error IS NOT NULL AND s.name IS NULL"
    )
    return dict(rows)


async def settings_in_force(session: Session, names: Collection[str]) -> dict[str, str]:
    """Values of these parameters as a new session has them; unknown ones are left out."""
    rows = await session.rows(
        "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [[n.lower() for n in names]]
    )
    return dict(rows)


async def checksum_failures(session: Session) -> int:
    """How many pages were read whose checksum was wrong, in all databases."""
    return int((await session.row("SELECT coalesce(sum(checksum_failures), 0)::bigint FROM pg_stat_database"))[0])


async def server_version(session: Session) -> str:
    """Such as `17.12`."""
    return str((await session.row("SELECT split_part(current_setting('server_version'), ' ', 1)"))[0])


async def system_identifier(session: Session) -> str:
    """What initdb made up; the same on all copies."""
    return str((await session.row("SELECT system_identifier::text FROM pg_control_system()"))[0])


async def reload_seen(session: Session, name: str, value: str, timeout: float = 5) -> None:  # noqa: ASYNC109
    """After a reload: wait until every process of the server has been told that `name` is now `value`.

    The postmaster tells all its children before it takes the next connection, so once a connection made after we
    saw the new value answers, every child has been told. Raises Unavailable.
    """
    deadline = time.monotonic() + timeout
    while (await session.row("SELECT current_setting(%s)", [name]))[0] != value:
        if time.monotonic() > deadline:
            raise Unavailable(f"PostgreSQL did not reload {name} within {timeout:g} s")
        await asyncio.sleep(_POLL)
    await session.close()
    await session.row("SELECT 1")


async def enabled_subscriptions(session: Session) -> list[str]:
    """Names of the logical subscriptions that run, or would on a writer, in all databases."""
    rows = await session.rows("SELECT subname FROM pg_subscription WHERE subenabled ORDER BY subname")
    return [str(name) for (name,) in rows]
