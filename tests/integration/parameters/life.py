"""A short life of a cluster with a user's parameters: all that our own sessions do."""

from __future__ import annotations

import asyncio

import psycopg
from tests.integration.backup.database import Database, ids
from tests.integration.copies import Copy

from aurora_operator.agent.replication.leader_history import leader_history, wal_segments
from aurora_operator.postgres.config import pins
from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.replication.rewind import checkpoint_source
from aurora_operator.postgres.sql import access, queries, roles

SECONDS = 300.0
"""Generous: it took 25 to 35 on two cores that had ten times as much to do as they could."""


async def lives(database: Database, user: dict[str, str]) -> None:
    """Begin, replicate, commit, back up at both, fail over, restore, begin with that. Raises what goes wrong."""
    async with asyncio.timeout(SECONDS):
        first = await _begins(database, user)
        archiver = await database.archiving(first)
        second = await _follows(database, first, user)
        await first.session.rows("CREATE TABLE public.t (id bigint PRIMARY KEY)")
        await first.standby.apply(Runtime(sync=(1, (second.name,))))
        await _commits(first, 1)
        await archiver.pgbackrest.backup("full")
        repository = database.repository(second.layout)
        repository.configure(await database.serve(first, archiver))
        await repository.backup("incr")
        await _fails_over(first, second)
        archiver = await database.archiving(second, 66)
        await second.standby.apply(Runtime(sync=(0, ())))
        await _commits(second, 2)
        await second.session.rows("SELECT pg_switch_wal()")
        restored, _ = await database.restore()
        assert await ids(restored) == [1, 2]
        await database.restart(restored, user)
        await database.promote(restored, 1000)
        assert await ids(restored) == [1, 2]


async def _begins(database: Database, user: dict[str, str]) -> Copy:
    first = database.cluster.first()
    first.configure(Runtime(sync=(0, ())), standby=False, user=user)
    await first.start()
    await roles.ensure_roles(first.session, master="app", password="password", database="app")
    await database.restart(first, user)
    await database.promote(first, 34)
    return first


async def _follows(database: Database, first: Copy, user: dict[str, str]) -> Copy:
    second = await database.reader(first, user)
    await second.streams(34, await queries.flush(first.session), 30)
    return second


async def _commits(copy: Copy, number: int) -> None:
    """As a client whose own limits of time are not what is tried."""
    where = f"host={copy.layout.run} user=postgres dbname=postgres"
    limits = f"{pins.limits()} -c default_transaction_read_only=off -c client_encoding=UTF8"
    async with asyncio.timeout(20), await psycopg.AsyncConnection.connect(where, options=limits) as client:
        await client.execute("INSERT INTO public.t VALUES (%s)", [number])


async def _fails_over(first: Copy, second: Copy) -> None:
    """With new sessions."""
    for copy in (first, second):
        await copy.session.close()
    await second.streams(34, await queries.flush(first.session), 30)
    assert (await leader_history(second.layout, first.source, 34)).timeline == 34
    assert await wal_segments(second.layout, first.source)
    await checkpoint_source(first.source, second.layout, copy=second.name, epoch=34)
    await second.standby.stop_receiving()
    await first.session.close()
    await first.server.stop("immediate", 5)
    await second.standby.apply(Runtime(sync=(0, ())))
    assert (await second.standby.promote(66)).timeline == 66
    await roles.ensure_roles(second.session, master="app", password="password", database="app")
    assert await access.missing_access(second.session) == ()
