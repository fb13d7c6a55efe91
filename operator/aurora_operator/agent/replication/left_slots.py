"""Logical slots on an instance that was the writer: they are found, told, and dropped after an hour.

Their consumers go to the writer, which does not have them. Left here they keep WAL, and hold back VACUUM on the writer
by what this standby reports (`hot_standby_feedback`). Dropped is only what this copy cannot be asked for any more: it
is no writer, nobody is connected, the slot has not moved since the present writer began, and for an hour it was not
used. A slot on the writer is never dropped.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.api.base.volume import LeftSlot
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.sql import logical_slots, queries
from aurora_operator.postgres.wal import pg_wal

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 3600.0
"""A cluster that switches back within it has its slots again."""


class LeftSlots:
    """Runs for the whole life of an instance's agent."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.look()
            except (PostgresError, OSError) as error:
                log.info("looking for logical slots that were left behind: %s", error)

    async def look(self) -> None:
        """Once. Raises PostgresError, OSError."""
        copy, position = self._copy, self._copy.driver.state.position
        if copy.role != "reader" or position is None or copy.server.state() != "ready":
            copy.left_slots = ()
            return
        history = await asyncio.to_thread(pg_wal.read_history, copy.layout.pgdata, position.epoch)
        if history is None:
            return
        found = []
        for slot in await logical_slots.left_behind(copy.watching, history.start):
            if slot.idle_seconds >= GRACE_SECONDS and await queries.drop_slot(copy.watching, slot.name):
                log.warning(
                    "dropped the logical replication slot %s of database %s: nobody has used it since this copy was "
                    "the writer, and it kept %d MiB of WAL",
                    slot.name,
                    slot.database,
                    slot.retained_bytes >> 20,
                )
                continue
            found.append(LeftSlot(name=slot.name, database=slot.database, retained_bytes=slot.retained_bytes))
        copy.left_slots = tuple(found)
