"""Who is at work on a writer, and may be the one that writes more than the copies take."""

from __future__ import annotations

from dataclasses import dataclass

from aurora_operator.postgres.sql.session import APPLICATION, Session


@dataclass(frozen=True, slots=True)
class Busy:
    """A server process that is at work: it waits neither for its client nor for other copies or a lock."""

    pid: int
    writes: bool
    """It has a transaction number, so that it has written, or it is a vacuum."""


async def busy_sessions(session: Session) -> list[Busy]:
    """See `Busy`; the agent's own sessions apart. Raises Unavailable, QueryError."""
    rows = await session.rows(
        """
        SELECT pid, backend_xid IS NOT NULL OR backend_type = 'autovacuum worker'
        FROM pg_stat_activity
        WHERE state = 'active' AND pid <> pg_backend_pid()
          AND backend_type IN ('client backend', 'parallel worker', 'autovacuum worker',
                               'logical replication apply worker', 'logical replication tablesync worker')
          AND coalesce(wait_event_type, '') NOT IN ('Client', 'Lock') AND coalesce(wait_event, '') <> 'SyncRep'
          AND NOT (application_name = %s AND coalesce(usename, '') = 'postgres')
        """,
        [APPLICATION],
    )
    return [Busy(pid, writes) for pid, writes in rows]
