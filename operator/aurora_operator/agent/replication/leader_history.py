"""What this copy asks of another copy's PostgreSQL, as `aurora_replication`."""

from __future__ import annotations

import asyncio

from aurora_operator.net.resolver import Resolver
from aurora_operator.postgres.config.conf import Source, conninfo
from aurora_operator.postgres.errors import Unavailable
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.wal.timeline import History, history_name, parse_history

ASK_SECONDS = 2.0


async def resolve(host: str) -> str:
    """An address of a host, as text. Raises Unavailable when its name is not known, or not yet."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return (await Resolver().addresses(host))[0]
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"the address of {host} is not known: {error or 'no answer in time'}") from error


async def leader_history(layout: Layout, source: Source, epoch: int) -> History:
    """The history of timeline `epoch` from its leader. Raises Unavailable when that is not there or no writer.

    By a connection for replication, for which there is room when clients have taken all others: they must keep no copy
    from following. Such a connection takes simple queries alone.
    """
    import psycopg

    text = f"convert_from(pg_read_binary_file('pg_wal/{history_name(epoch)}'), 'UTF8')"
    try:
        async with (
            asyncio.timeout(ASK_SECONDS),
            await psycopg.AsyncConnection.connect(
                conninfo(source, layout, "aurora-agent", dbname="postgres", replication="database"), autocommit=True
            ) as connection,
        ):
            cursor = await connection.execute(f"SELECT pg_is_in_recovery(), {text}".encode())
            row = await cursor.fetchone()
    except (psycopg.Error, TimeoutError) as error:
        why = (str(error).strip().splitlines() or ["no answer in time"])[0]
        raise Unavailable(f"cannot ask {source.host} for its history: {why}") from error
    if row is None or row[0]:
        raise Unavailable(f"{source.host} is no writer")
    try:
        return parse_history(epoch, row[1])
    except ValueError as error:
        raise Unavailable(f"{source.host} has a damaged history: {error}") from error
