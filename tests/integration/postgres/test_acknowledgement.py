"""Whose word PostgreSQL takes for an acknowledgement, and what this project adds to it."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
from tests.integration.copies import Cluster, Copy

from aurora_operator.agent.replication.leader_history import leader_history
from aurora_operator.postgres.config.conf import Runtime, follower_name
from aurora_operator.postgres.sql import queries, roles
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.timeline import History

TAIL = 5_000
"""Rows of some 100 bytes that the old leader has alone: more WAL than the new one writes in a test."""


async def _diverged(cluster: Cluster) -> tuple[Copy, Copy, History, int]:
    """A leader of epoch 34, and a running standby that has a tail of epoch 1 which that leader never had."""
    first = cluster.first()
    await first.start()
    await roles.ensure_roles(first.session, master="app", password="only-for-this-test", database="app")
    await first.session.rows("CREATE TABLE public.t (id bigint PRIMARY KEY, filler text)")
    second = cluster.blank()
    await second.clone_from(first, verify=False)
    second.configure(Runtime(source=first.source))
    await second.start()
    await second.streams(1, await queries.flush(first.session))
    here = await second.standby.stop_receiving()
    await first.session.rows(
        "INSERT INTO public.t SELECT i, repeat('x', 80) FROM generate_series(%s::int, %s::int) i", [1_000, 1_000 + TAIL]
    )
    tail = await queries.flush(first.session)
    assert tail > here.lsn
    await first.session.close()
    await first.server.stop("immediate", 3)
    await second.standby.apply(Runtime(sync=(1, (follower_name(first.name, 34),))))
    promoted = await second.standby.promote(34)
    history = pg_wal.read_history(second.layout.pgdata, 34)
    assert history is not None
    first.configure(Runtime())
    await first.start()
    assert (await first.standby.wait_idle(10)).lsn >= tail > promoted.start
    return second, first, history, promoted.start


async def _commits(leader: Copy) -> bool:
    """Whether a commit is acknowledged to its client."""
    try:
        async with asyncio.timeout(2):
            await leader.session.rows(
                "BEGIN; SET LOCAL synchronous_commit = on; INSERT INTO public.t VALUES (1, ''); COMMIT"
            )
    except TimeoutError:
        return False
    return True


async def test_postgresql_takes_a_diverged_standby_for_an_acknowledgement(cluster: Cluster) -> None:
    """Why a copy's history is compared before it streams: this is PostgreSQL's own behaviour (walreceiver.c)."""
    leader, copy, _, _ = await _diverged(cluster)
    await copy.standby.apply(Runtime(source=leader.source, epoch=34))
    assert await _commits(leader)
    async with asyncio.timeout(5):
        while "forked off current database system timeline" not in copy.said:
            await asyncio.sleep(0.01)


async def test_a_copy_with_a_tail_of_its_own_does_not_fit(cluster: Cluster) -> None:
    _, copy, history, _ = await _diverged(cluster)
    assert not await copy.standby.fits(history)


async def test_a_copy_can_compare_when_clients_have_taken_all_connections(cluster: Cluster) -> None:
    leader, copy, history, _ = await _diverged(cluster)
    socket = str(leader.layout.run)
    async with contextlib.AsyncExitStack() as clients:
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            while True:
                await clients.enter_async_context(
                    await psycopg.AsyncConnection.connect(host=socket, user="postgres", dbname="postgres")
                )
        assert await leader_history(copy.layout, leader.source, 34) == history


async def test_who_follows_another_epoch_acknowledges_nothing(cluster: Cluster) -> None:
    leader, copy, _, _ = await _diverged(cluster)
    await copy.standby.apply(Runtime(source=leader.source, epoch=2))
    assert not await _commits(leader)
