"""What is in the way of a change of capacity with Serverless v1, asked of a real server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from tests.integration.copies import Cluster

from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.sql import scaling_point


@contextlib.asynccontextmanager
async def user(writer: Any, dbname: str = "shop") -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(
        host=str(writer.layout.run), user="postgres", dbname=dbname, autocommit=True
    ) as connection:
        yield connection


async def test_scaling_points(cluster: Cluster) -> None:
    writer = cluster.first()
    writer.configure(Runtime(sync=(0, ())), standby=False, user={"max_prepared_transactions": "2"})
    await writer.start()
    await writer.session.rows("CREATE DATABASE shop")

    async def seen(wanted: str | None, within: float = 10) -> None:
        """It becomes so; what is there before is never something else than nothing or a transaction."""
        end = time.monotonic() + within
        while (found := await scaling_point.obstacle(writer.session, writer.layout.pgdata)) != wanted:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.05)

    await seen(None)
    async with user(writer) as connection:
        await seen(None)  # A session that does nothing.
        await connection.execute("CREATE TABLE goods (n int)")
        begun = time.monotonic()
        await connection.execute("BEGIN")
        await connection.execute("SELECT count(*) FROM goods")
        found = await scaling_point.obstacle(writer.session, writer.layout.pgdata)
        if time.monotonic() - begun < scaling_point.LONG_SECONDS:
            assert found is None, "short ones always come and go"
        await seen("a transaction is open")
        await connection.execute("COMMIT")
        await seen(None)

        await connection.execute("BEGIN")
        await connection.execute("LOCK TABLE goods IN EXCLUSIVE MODE")
        assert await scaling_point.obstacle(writer.session, writer.layout.pgdata) == "a table is locked"
        await connection.execute("ROLLBACK")
        await seen(None)

        await connection.execute("SELECT pg_advisory_lock(7)")
        await seen("an advisory lock is held")
        await connection.execute("SELECT pg_advisory_unlock(7)")
        await seen(None)

        # In another database than the one that is asked, and across transactions.
        await connection.execute("CREATE TEMPORARY TABLE cart (n int)")
        await seen("temporary tables are in use")
        await connection.execute("INSERT INTO cart VALUES (1)")
        await connection.execute("DROP TABLE cart")
        await seen(None)
        await connection.execute("CREATE TEMPORARY TABLE cart (n int)")
        await seen("temporary tables are in use")
    await seen(None)  # They end with their session.

    async with user(writer) as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO goods VALUES (1)")
        await connection.execute("PREPARE TRANSACTION 'two'")
        await seen("a prepared transaction is open")
        await connection.execute("COMMIT PREPARED 'two'")
        await seen(None)


async def test_temporary_tables_in_a_tablespace(cluster: Cluster) -> None:
    writer = cluster.first()
    writer.configure(Runtime(sync=(0, ())), standby=False)
    await writer.start()
    async with user(writer, "postgres") as connection:
        await connection.execute("SET allow_in_place_tablespaces = on")
        await connection.execute("CREATE TABLESPACE fast LOCATION ''")
        await connection.execute("CREATE TEMPORARY TABLE cart (n int) TABLESPACE fast")
        assert await scaling_point.obstacle(writer.session, writer.layout.pgdata) == "temporary tables are in use"
    for _ in range(100):
        if await scaling_point.obstacle(writer.session, writer.layout.pgdata) is None:
            break
        await asyncio.sleep(0.05)
    assert await scaling_point.obstacle(writer.session, writer.layout.pgdata) is None
