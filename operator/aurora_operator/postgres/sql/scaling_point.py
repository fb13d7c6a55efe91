"""Whether this moment is a scaling point, as Aurora Serverless v1 has it: nobody is in the middle of anything."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aurora_operator.postgres.sql.session import APPLICATION, Session

LONG_SECONDS: Final = 1.0
"""Transactions that are shorter come and go all the time on a busy server, and are no obstacle."""
_TEMPORARY: Final = re.compile(r"t\d+_\d+", re.ASCII)
"""The file of a temporary table; it is there from its creation to its end, however many transactions that spans."""
_LOCKS: Final = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
"""Those that are taken by LOCK TABLE and by changes of a table's definition, not by reading or writing rows."""


async def obstacle(session: Session, pgdata: Path) -> str | None:
    """What is in the way, as a clause without numbers, so that it stays the same while it does; None: nothing.

    Raises Unavailable, QueryError.
    """
    transaction, prepared, table, advisory = await session.row(
        """
        WITH others AS (
            SELECT pid, xact_start FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                AND (usename <> 'postgres' OR application_name <> %s)
        ), held AS (
            SELECT locktype, mode FROM pg_locks JOIN others USING (pid) WHERE granted
        )
        SELECT EXISTS (SELECT FROM others WHERE clock_timestamp() - xact_start > make_interval(secs => %s)),
            EXISTS (SELECT FROM pg_prepared_xacts),
            EXISTS (SELECT FROM held WHERE locktype = 'relation' AND mode = ANY(%s)),
            EXISTS (SELECT FROM held WHERE locktype = 'advisory')
        """,
        (APPLICATION, LONG_SECONDS, list(_LOCKS)),
    )
    if transaction:
        return "a transaction is open"
    if prepared:
        return "a prepared transaction is open"
    if table:
        return "a table is locked"
    if advisory:
        return "an advisory lock is held"
    # The catalogs would show those of one database only.
    return "temporary tables are in use" if await asyncio.to_thread(_temporary_tables, pgdata) else None


def _temporary_tables(pgdata: Path) -> bool:
    for folder in _databases(pgdata):
        try:
            with os.scandir(folder) as entries:
                if any(_TEMPORARY.match(entry.name) for entry in entries):
                    return True
        except OSError:
            continue  # A database or tablespace that is being dropped.
    return False


def _databases(pgdata: Path) -> Iterator[Path]:
    yield from (pgdata / "base").glob("*")
    yield from (pgdata / "pg_tblspc").glob("*/PG_*/*")
