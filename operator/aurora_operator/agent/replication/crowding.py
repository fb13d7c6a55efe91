"""Leaving a segment of WAL that many timelines share: each has a file of 16 MiB of its own for it.

PostgreSQL keeps the files of the newest segments, whatever timelines they are of (`wal_keep_size`), and removes them
when WAL has gone on. Where little is written, or leaderships are short, it hardly goes on, and files come with each
leadership. So a leader begins another segment when too many share the one that it began in: then no segment has more
than a few files. What is left of the segment, zeros, goes to all copies; therefore not at once, unless it must be.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import pg_wal

log = logging.getLogger(__name__)

SOME: Final = 2
"""Other timelines in the segment; with so many, a leadership that lasts leaves it."""
MANY: Final = 8
"""With so many, every leadership leaves it as it opens."""
LASTS_SECONDS: Final = 2.0


class Crowding:
    """Of one leadership."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy
        self._others: int | None = None
        self._done = False

    async def look(self, age: float) -> None:
        """While this copy leads; `age` of the leadership in seconds. Raises PostgresError, OSError."""
        copy = self._copy
        if self._done or copy.brake != "off":  # a volume that is full has no room for what it would save
            return
        if self._others is None:
            others = await asyncio.to_thread(pg_wal.timelines_in_segment, copy.layout.pgdata, copy.position_lsn)
            self._others = others - 1
        if self._others >= (SOME if age >= LASTS_SECONDS else MANY):
            await queries.flush_wal(copy.session)
            log.info("began another segment of WAL: %d earlier timelines have files of the last one", self._others)
            self._done = True
        self._done = self._done or age >= LASTS_SECONDS
