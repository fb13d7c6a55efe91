"""Logical replication slots that a former writer has kept, on a server that only follows now."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.postgres.sql.session import Session


@dataclass(frozen=True, slots=True)
class Left:
    """A slot that nobody uses, nor has used since the present writer began."""

    name: str
    database: str
    retained_bytes: int
    """WAL that it keeps."""
    idle_seconds: float
    """Since it was used last, or since this server started if that was later."""


async def left_behind(session: Session, epoch_start: int) -> list[Left]:
    """See `Left`. `epoch_start` is where the present writer's WAL begins: a consumer that reads here on purpose has
    moved its slot beyond that. Slots that PostgreSQL copies from the writer are not counted, and none on a writer.

    Raises Unavailable, QueryError.
    """
    rows = await session.rows(
        """
        SELECT slot_name, database,
               greatest(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), restart_lsn), 0)::bigint,
               extract(epoch FROM clock_timestamp() - inactive_since)
        FROM pg_replication_slots
        WHERE pg_is_in_recovery() AND slot_type = 'logical' AND NOT temporary AND NOT synced AND NOT active
          AND confirmed_flush_lsn < %s::pg_lsn
        ORDER BY slot_name
        """,
        [format_lsn(epoch_start)],
    )
    return [Left(name, database, int(kept or 0), float(idle or 0)) for name, database, kept, idle in rows]
