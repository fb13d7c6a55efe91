"""A candidate's way to what only a log copy has: its WAL over HTTPS, into this copy's recovery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time

from aurora_operator.agent.errors import AgentError
from aurora_operator.agent.peers import agent_client
from aurora_operator.api.base.lsn import parse_segment_name
from aurora_operator.consensus.types import Position
from aurora_operator.net.http_client import Client
from aurora_operator.postgres.config.conf import Runtime, Source
from aurora_operator.postgres.errors import PostgresError, Unavailable
from aurora_operator.postgres.files import fsync_directory, make_directory, remove_tree, write_durably
from aurora_operator.postgres.replication.standby import Standby
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.staging import NotThere, check_history, history_files, misleading, pieces
from aurora_operator.postgres.wal.timeline import History, history_name

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""Without progress for this long, it will not come."""
POLL_SECONDS = 0.01


class MustRestart(AgentError):
    """Recovery may aim at a timeline that is not the target's: PostgreSQL has to be started again first."""


class LogFetch:
    """One attempt. The standby follows nobody, and goes on doing so afterwards."""

    def __init__(self, standby: Standby, tls: ssl.SSLContext, source: Source, target: Position) -> None:
        self._standby = standby
        self._layout = standby.layout
        self._tls = tls
        self._source = source
        self._target = target

    async def run(self) -> Position:
        """Replay up to the target; returns where the standby is then.

        Raises NotThere, MustRestart, ClientError, PostgresError, OSError; what was replayed until then stays.
        """
        remove_tree(self._layout.fetched)
        make_directory(self._layout.fetched)
        try:
            async with agent_client.client(self._tls, self._source) as connection:
                await self._fetch(connection)
        finally:
            with contextlib.suppress(PostgresError):
                await self._standby.apply(Runtime())
            await asyncio.to_thread(remove_tree, self._layout.fetched)
        now = await queries.status(self._standby.session)
        timeline = await asyncio.to_thread(pg_wal.local_timeline, self._layout.pgdata, now.replay_lsn)
        return Position(timeline, now.replay_lsn)

    async def _fetch(self, connection: Client) -> None:
        target = self._target
        history = History(1) if target.epoch == 1 else await agent_client.fetch_history(connection, target.epoch)
        now = await queries.status(self._standby.session)
        pgdata = self._layout.pgdata
        timeline = await asyncio.to_thread(pg_wal.local_timeline, pgdata, now.replay_lsn)
        local = await asyncio.to_thread(pg_wal.read_histories, pgdata, timeline)
        check_history(history, timeline, now.replay_lsn)
        if misleading(history, timeline, now.replay_lsn, local):
            raise MustRestart
        files = await agent_client.list_wal(connection)
        # From what has been replayed: what was received after it may end in the middle of a record.
        wanted = pieces(files, history, Position(timeline, now.replay_lsn), target)
        for name, content in history_files(history, timeline, local).items():
            write_durably(self._layout.wal / name, content, sync=False)
        # Recovery would stop at the highest number without a gap, and refuse a placeholder.
        for number in local:
            if number > target.epoch:
                (self._layout.wal / history_name(number)).unlink(missing_ok=True)
        fsync_directory(self._layout.wal)
        await self._standby.apply(Runtime(fetched=True))
        for piece in wanted:
            place = self._layout.fetched / piece.name
            # A `.partial` one may have been completed since.
            for file in (piece.file, piece.name):
                if await agent_client.download(connection, file, piece.size, place):
                    break
            else:
                raise NotThere(f"{piece.file} is no longer there")
            await self._remove_replayed()
        await self._replayed(target.lsn)

    async def _remove_replayed(self) -> None:
        """What is replayed is in pg_wal, and needs no second place."""
        replayed = (await queries.status(self._standby.session)).replay_lsn
        for path in self._layout.fetched.iterdir():
            segment = parse_segment_name(path.name)
            if segment is not None and pg_wal.segment_end(segment[1]) <= replayed:
                path.unlink()

    async def _replayed(self, lsn: int) -> None:
        last, since = -1, time.monotonic()
        while (now := await queries.status(self._standby.session)).replay_lsn < lsn:
            if now.replay_lsn != last:
                last, since = now.replay_lsn, time.monotonic()
                await self._remove_replayed()
            if time.monotonic() - since > PATIENCE_SECONDS:
                raise Unavailable(f"replay stopped before what was fetched: {now}")
            await asyncio.sleep(POLL_SECONDS)
