"""A log copy's parts on a volume of its own, without its agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.copies import Cluster, Copy

from aurora_operator.consensus.types import Position
from aurora_operator.postgres.config.conf import Runtime, Source, parse_follower, slot_name
from aurora_operator.postgres.files import make_directory
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.sql import queries, roles
from aurora_operator.postgres.wal import received
from aurora_operator.postgres.wal.receive_wal import Receiver
from aurora_operator.postgres.wal.wal_end import WalEnd


@dataclass
class LogCopy:
    layout: Layout
    name: str
    receiver: Receiver
    ends: WalEnd
    source: Source

    @property
    def folder(self) -> Path:
        return self.layout.received

    @property
    def slot(self) -> str:
        return slot_name(self.name)

    async def receive(self, source: Copy) -> None:
        await self.receiver.start(self.folder, source.source, self.slot, 1)

    async def position(self) -> Position:
        return await received.position(self.folder, self.ends)

    async def stopped(self) -> Position:
        await self.receiver.stop()
        received.fsync_newest(self.folder)
        return await self.position()

    async def flushed(self, source: Copy) -> int:
        rows = (await queries.replication(source.session)).replicas
        return next((r.flush_lsn for r in rows if parse_follower(r.application_name)[0] == self.name), 0)

    async def active(self, source: Copy) -> bool:
        return any(s.active for s in await queries.slots(source.session) if s.name == self.slot)


async def until(ask: Callable[[], Awaitable[Any]], wanted: Any, timeout: float = 15) -> None:  # noqa: ASYNC109
    """Wait until the answer is `wanted`, or as high as that."""
    deadline = time.monotonic() + timeout
    while True:
        last = await ask()
        if last == wanted or (not isinstance(wanted, bool | str) and last >= wanted):
            return
        assert time.monotonic() < deadline, f"{last}, not {wanted}"
        await asyncio.sleep(0.01)


async def leader(cluster: Cluster) -> Copy:
    first = cluster.first()
    await first.start()
    await roles.ensure_roles(first.session, master="app", password="secret", database="app")
    await first.session.rows("CREATE TABLE public.t (id bigint)")
    return first


async def reader(cluster: Cluster, source: Copy) -> Copy:
    made = cluster.blank()
    await queries.create_slot(source.session, slot_name(made.name))
    await made.clone_from(source, verify=False)
    made.configure(Runtime(source=source.source, slot=slot_name(made.name)))
    await made.start()
    return made


async def log_copy(cluster: Cluster, source: Copy) -> LogCopy:
    """It receives from the beginning of the slot that is made for it."""
    blank = cluster.blank()
    make_directory(blank.layout.received)
    said: list[str] = []
    receiver = Receiver(blank.tools, blank.layout, copy=blank.name, on_line=said.append, inherit_fds=blank.lock.fds)
    log = LogCopy(blank.layout, blank.name, receiver, WalEnd(blank.tools, blank.layout.run / "walend"), blank.source)
    cluster.on_close(receiver.stop)
    await queries.create_slot(source.session, log.slot)
    await log.receive(source)
    return log
