"""For how long nobody has used this copy: what a cluster pauses by."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.sql.session import APPLICATION, Session

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 1.0


async def sessions(copy: Instance, session: Session | None = None) -> int:
    """Sessions of clients that count. Raises PostgresError."""
    pause = copy.settings.auto_pause
    users = list(pause.ignore_users) if pause is not None else []
    applications = list(pause.ignore_applications) if pause is not None else []
    row = await (session or copy.session).row(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        " AND (usename <> 'postgres' OR application_name <> %s)"
        " AND usename <> ALL(%s::text[]) AND application_name <> ALL(%s::text[])",
        (APPLICATION, users, applications),
    )
    return int(row[0])


async def _begun(session: Session) -> int:
    """Sessions that ever began, in databases that are not ours: some are too short to be seen."""
    row = await session.row(
        "SELECT coalesce(sum(sessions), 0)::bigint FROM pg_stat_database WHERE datname NOT IN ('postgres', 'template1')"
    )
    return int(row[0])


async def _refused(session: Session) -> str | None:
    """What somebody outside relies on: a paused cluster would let him down."""
    slots = await session.rows("SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY 1")
    if slots:
        return f"the logical replication slot {slots[0][0]} would fall behind: drop it, or have the cluster not pause"
    outside = await session.rows(
        "SELECT application_name FROM pg_stat_replication WHERE application_name NOT LIKE '%/%' ORDER BY 1"
    )
    return f"{outside[0][0] or 'somebody outside'} receives its WAL" if outside else None


class IdleMeter:
    """Keeps `copy.idle_since`, where the cluster may pause."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy
        self._session = Session(copy.layout.run)
        self._begun: int | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(PERIOD_SECONDS)
                await self._look()
        finally:
            await self._session.close()

    async def _look(self) -> None:
        copy = self._copy
        pause = copy.settings.auto_pause
        if pause is None or copy.role == "none" or copy.server.state() != "ready":
            copy.idle_since = copy.pause_refused = self._begun = None
            return
        try:
            used = await sessions(copy, self._session) > 0
            begun = await _begun(self._session)
            copy.pause_refused = await _refused(self._session)
        except PostgresError as error:
            log.debug("counting sessions: %s", error)
            copy.idle_since = None
            return
        if not (pause.ignore_users or pause.ignore_applications):
            # Where some do not count, those that were missed cannot be told from those.
            used = used or (self._begun is not None and begun != self._begun)
        self._begun = begun
        if used or copy.idle_since is None:
            copy.idle_since = time.monotonic()
