"""When a copy counts as idle, asked of a real server; and that a change of capacity needs no restart."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import psycopg
from tests.integration.copies import SIZES, Cluster

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.power.idle_meter import IdleMeter, sessions
from aurora_operator.api.agent.settings import AutoPause
from aurora_operator.postgres.config import configure, parameters
from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.config.parameters import GIB
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.sql.session import Session


async def connect(cluster: Cluster, copy: Any, application: str, dbname: str = "app") -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        host=str(copy.layout.run), user="postgres", dbname=dbname, application_name=application, autocommit=True
    )


async def test_who_counts(cluster: Cluster) -> None:
    writer = cluster.first()
    writer.configure(Runtime(sync=(0, ())), standby=False, user={"wal_level": "logical"})
    await writer.start()
    await writer.session.rows("CREATE DATABASE app")
    pause = AutoPause(ignore_applications=("exporter",))
    copy: Any = SimpleNamespace(
        layout=writer.layout,
        session=writer.session,
        server=writer.server,
        settings=SimpleNamespace(auto_pause=pause),
        role="writer",
        idle_since=None,
        pause_refused=None,
    )
    meter = IdleMeter(cast(Instance, copy))
    exporter = await connect(cluster, writer, "exporter")
    assert await sessions(cast(Instance, copy)) == 0
    user = await connect(cluster, writer, "shop")
    assert await sessions(cast(Instance, copy)) == 1
    await user.close()
    await exporter.close()

    # A session between two looks is seen by its traces, where all count.
    copy.settings.auto_pause = AutoPause()
    await meter._look()
    since = copy.idle_since
    assert since is not None
    await meter._look()
    assert copy.idle_since == since
    brief = await connect(cluster, writer, "brief")
    await brief.close()
    for _ in range(100):
        await meter._look()
        if copy.idle_since > since:
            break
    assert copy.idle_since > since
    assert copy.pause_refused is None

    await writer.session.rows("SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')")
    await meter._look()
    assert "cdc" in str(copy.pause_refused)
    copy.role = "none"
    await meter._look()
    assert copy.idle_since is None
    await meter._session.close()


async def test_another_capacity_needs_no_restart(cluster: Cluster) -> None:
    writer = cluster.first()
    sizes = replace(SIZES, major=writer.major, memory=GIB, least_memory=GIB, smallest_memory=32 * GIB, cpu_millis=1000)
    people = {"postgres", "root", writer.tools.user or "postgres"}

    def size(memory: int, cpu: int) -> None:
        choices = parameters.merge(parameters.compute(replace(sizes, memory=memory, cpu_millis=cpu)), {})
        configure.write_base(
            writer.layout, choices, cluster_name="demo", os_users=sorted(people), listen=writer.address
        )

    size(GIB, 1000)
    await writer.start()
    fixed = await writer.session.row("SELECT current_setting('shared_buffers'), current_setting('max_connections')")
    before = await writer.session.row("SELECT current_setting('effective_cache_size')")
    size(32 * GIB, 8000)
    writer.server.reload()
    async with Session(writer.layout.run, timeout=5) as fresh:
        for _ in range(200):
            after = await fresh.row("SELECT current_setting('effective_cache_size')")
            if after != before:
                break
        assert after == ("24GB",)
        assert await fresh.row("SELECT current_setting('max_parallel_workers')") == ("8",)
        assert await queries.pending_restart(fresh) == ()
        now = await fresh.row("SELECT current_setting('shared_buffers'), current_setting('max_connections')")
        assert now == fixed == ("256MB", str(parameters.max_connections(32 * GIB)))
