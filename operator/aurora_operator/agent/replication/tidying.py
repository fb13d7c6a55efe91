"""Keeping pg_wal free of history files that nobody needs any more, while PostgreSQL runs."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import history_files

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 30.0
MORE_SECONDS: Final = 1.0
"""Until the next time, where there were more than are removed in one go."""


class Tidying:
    """Runs for the whole life of an instance's agent."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy

    async def run(self) -> None:
        """Until cancelled."""
        pause = MORE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = PERIOD_SECONDS
            try:
                removed = await self.tidy()
            except (PostgresError, OSError) as error:
                log.info("looking for old timeline history files: %s", error)
                continue
            if removed == history_files.AT_ONCE:
                pause = MORE_SECONDS

    async def tidy(self) -> int:
        """Once; returns how many files are gone. Raises PostgresError, OSError."""
        copy = self._copy
        position = copy.driver.state.position
        if position is None or copy.server.state() != "ready":
            return 0
        control = await queries.checkpoint_timeline(copy.watching)
        removed = await asyncio.to_thread(history_files.tidy, copy.layout.pgdata, position.epoch, control)
        if removed:
            log.info("removed %d timeline history files that nobody needs any more", removed)
        return removed
