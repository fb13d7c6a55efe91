"""A logical slot on a former writer: found there, dropped there after its time, and never touched on a writer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.integration.copies import Cluster, Copy

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.replication import left_slots
from aurora_operator.agent.replication.left_slots import LeftSlots
from aurora_operator.consensus.types import Position
from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.sql import logical_slots, queries, roles

LOGICAL = {"wal_level": "logical"}
MAKE = "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')"


def _agent(copy: Copy, epoch: int, role: str = "reader") -> Any:
    """What of an agent the part under test sees."""
    return SimpleNamespace(
        driver=SimpleNamespace(state=SimpleNamespace(position=Position(epoch, 1))),
        layout=copy.layout,
        server=copy.server,
        watching=copy.session,
        role=role,
        left_slots=(),
    )


async def _names(copy: Copy) -> set[str]:
    return {name for (name,) in await copy.session.rows("SELECT slot_name FROM pg_replication_slots")}


async def test_a_slot_of_the_former_writer_is_found_and_dropped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cluster.first()
    first.configure(Runtime(sync=(0, ())), standby=False, user=LOGICAL)
    await first.start()
    await roles.ensure_roles(first.session, master="app", password="only-for-this-test", database="app")
    await first.session.rows(MAKE, ["events"])
    second = cluster.blank()
    await second.clone_from(first, verify=False)
    second.configure(Runtime(source=first.source), user=LOGICAL)
    await second.start()
    await second.streams(1, await queries.flush(first.session))
    # The writer moves: an orderly switchover.
    await first.session.close()
    await first.server.stop("fast", 10)
    await second.standby.apply(Runtime(sync=(0, ())))
    promoted = await second.standby.promote(34)
    await second.session.rows(MAKE, ["live"])
    first.configure(Runtime(source=second.source, epoch=34), user=LOGICAL)
    await first.start()
    await first.streams(34, await queries.flush(second.session))

    left = await logical_slots.left_behind(first.session, promoted.start)
    assert [(s.name, s.database) for s in left] == [("events", "postgres")]
    assert not await logical_slots.left_behind(second.session, promoted.start), "the writer's own is nobody's business"

    # Somebody decodes on this reader, and is away just now.
    making = asyncio.create_task(first.session.rows(MAKE, ["decoded_here"]))
    while not making.done():
        await second.session.rows("SELECT pg_log_standby_snapshot()")
        await asyncio.sleep(0.1)
    await making

    agent = _agent(first, 34)
    slots = LeftSlots(cast(Instance, agent))
    await slots.look()
    assert [s.name for s in agent.left_slots] == ["events"], "it is told, and stays for an hour"
    assert await _names(first) >= {"events", "decoded_here"}
    monkeypatch.setattr(left_slots, "GRACE_SECONDS", 0.0)
    await slots.look()
    assert agent.left_slots == () and "events" not in await _names(first) and "decoded_here" in await _names(first)
    writer = _agent(second, 34, role="writer")
    await LeftSlots(cast(Instance, writer)).look()
    assert "live" in await _names(second)
