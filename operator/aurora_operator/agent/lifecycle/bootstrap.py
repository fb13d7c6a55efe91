"""How a cluster gets its first data: initdb, or those of another cluster; and the membership that begins with them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aurora_operator.agent.lifecycle.restore import restore
from aurora_operator.agent.member.configuration import Configuration
from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.member.kubeapi import Conflict
from aurora_operator.agent.replication.leader_history import resolve
from aurora_operator.api.agent.messages import Phase
from aurora_operator.api.agent.origin import CloneOrigin, Origin
from aurora_operator.api.agent.record import Record
from aurora_operator.api.base import names
from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.types import NO_CONFIG, name_of
from aurora_operator.postgres.config import conf
from aurora_operator.postgres.errors import DataError, PostgresError, RepositoryError, ServerError
from aurora_operator.postgres.replication.base_backup import base_backup
from aurora_operator.postgres.server.initdb import initdb
from aurora_operator.postgres.sql import queries

log = logging.getLogger(__name__)

RESTORE_RETRY_SECONDS = 10.0

LOOK_SECONDS = 0.1
IDLE_LOOKS = 20
"""Looks in a row that find nothing left to replay, until that is believed."""


class Bootstrap:
    """Done once in a cluster's life, by its bootstrap instance."""

    def __init__(self, copy: Instance, configuration: Configuration, pause: Callable[[float], Awaitable[None]]) -> None:
        self._copy = copy
        self._configuration = configuration
        self._pause = pause
        self.failure: str | None = None
        """Why the first data could not be brought, the last time that it was tried: no new attempt hides it."""

    async def _may_initialise(self) -> bool:
        """Take the one right to run initdb, by compare-and-swap of the record."""
        copy = self._copy
        record, version = await copy.kube.read_record()
        mine = record.owner is not None and name_of(record.owner) == copy.environment.instance
        if record.state == "empty" or (record.state == "initialising" and mine):
            with contextlib.suppress(Conflict):
                await copy.kube.write_record(Record(state="initialising", owner=copy.id), version)
                return True
        copy.say("Waiting", "the cluster has data elsewhere; waiting for a leader to clone from")
        await self._pause(0.5)
        return False

    async def acquire(self) -> None:
        """On an empty volume: bring the cluster's first data, if nobody has. Raises PostgresError, OSError."""
        if not await self._may_initialise():
            return
        if self._copy.settings.origin is None:
            await self._initialise()
        else:
            await self._take_origin(self._copy.settings.origin)

    async def _initialise(self) -> None:
        copy = self._copy
        if errors := await self._configuration.check(copy.settings.parameters):
            copy.parameters_error = "; ".join(errors.values())
            raise DataError(f"not initialising with parameters that PostgreSQL refuses: {copy.parameters_error}")
        copy.parameters_error = None
        copy.say("Initialising")
        # First: a data directory without it would never be led by anybody.
        await self._become_only_voter()
        await initdb(copy.tools, copy.layout)

    async def _become_only_voter(self) -> None:
        copy = self._copy
        copy.driver.post(ev.Initialise())
        while copy.id not in copy.driver.state.durable.config.voters:
            await asyncio.sleep(0.01)

    def begins(self) -> bool:
        """Whether this copy has data that another cluster's were, and is to begin a cluster with them."""
        copy = self._copy
        mine = copy.settings.origin is not None and copy.settings.bootstrap == copy.environment.instance
        return mine and copy.driver.state.durable.config == NO_CONFIG

    async def begin(self) -> bool:
        """Begin the cluster's membership with this copy alone, if the record says that nobody has."""
        copy = self._copy
        if copy.layout.rewinding.exists():
            raise DataError("the data were copied in the middle of a rewind, and are of two histories: start over")
        if not await self._may_initialise():
            return False
        copy.say("Initialising", f"from {copy.settings.origin.source}" if copy.settings.origin is not None else "")
        await self._become_only_voter()
        return True

    async def check(self) -> None:
        """Refuse to begin with less than was promised, or with what would disturb the source. Raises DataError.

        Replay may take its time."""
        copy = self._copy
        origin = copy.settings.origin
        if origin is None or copy.driver.state.durable.promised != 0:
            return
        idle = 0
        while (now := await queries.status(copy.session)).lsn < origin.lsn:
            copy.say("Recovering", f"replayed {format_lsn(now.lsn)} of {format_lsn(origin.lsn)}")
            if lacking := await copy.standby.lacking(now, copy.tools):
                raise ServerError(f"replay needs more than it was started with: {lacking}")
            idle = idle + 1 if now.waiting_for_wal else 0
            if idle > IDLE_LOOKS:
                raise DataError(
                    f"the data of {origin.source} end at {format_lsn(now.lsn)}, before {format_lsn(origin.lsn)}, "
                    "which they must reach: not beginning with them"
                )
            await asyncio.sleep(LOOK_SECONDS)
        shared = isinstance(origin, CloneOrigin) and origin.running
        running = await queries.enabled_subscriptions(copy.session) if shared else []
        if running:
            # Two subscribers would share one slot, and each miss what the other has taken from it.
            raise DataError(
                f"the subscriptions {', '.join(running)} are enabled, and {origin.source} goes on with them: "
                "disable them there, then delete this clone and make it again"
            )

    async def _take_origin(self, origin: Origin) -> None:
        """Bring the first data of a cluster that does not begin empty. Raises PostgresError, OSError.

        It may fail late, and again each time: the copy has failed until an attempt succeeds.
        """
        copy = self._copy
        try:
            if isinstance(origin, CloneOrigin):
                await self._clone(origin)
            else:
                self._say("Restoring", f"{origin.source}, to {origin.target.describe()}")
                await restore(copy, self._configuration, origin)
            self.failure = None
        except (PostgresError, OSError) as error:
            verb = "clone" if isinstance(origin, CloneOrigin) else "restore"
            self.failure = f"cannot {verb} {origin.source}: {error}"
            copy.say("Failed", self.failure)
            await self._pause(RESTORE_RETRY_SECONDS)
            if not isinstance(error, RepositoryError):
                # Something may be wrong with the volume.
                raise

    def _say(self, phase: Phase, doing: str) -> None:
        if self.failure is None:
            self._copy.say(phase, doing)

    async def _clone(self, origin: CloneOrigin) -> None:
        copy = self._copy
        if origin.host is None:
            raise DataError(f"the volume should hold the data of {origin.source}, and is empty")
        self._say("Cloning", f"from {origin.host}")
        address = await resolve(origin.host)
        source = conf.Source(origin.host, address, credentials=Path(names.ORIGIN_MOUNT))
        # No copy's id: to the source's leader this must not look like a copy of its own.
        await copy_over(copy, source, origin.source, name=f"clone {copy.settings.cluster}"[: conf.MAX_NAME])


async def copy_over(copy: Instance, source: conf.Source, what: str, *, name: str) -> None:
    """pg_basebackup with its progress in the status; `what` is the source for people, `name` what we are called
    there. Raises ToolError, OSError."""
    started = time.monotonic()

    def progress(done: int, total: int) -> None:
        copy.progress("basebackup", what, started, done, total)

    try:
        await base_backup(copy.tools, copy.layout, source, copy=name, on_progress=progress)
    finally:
        copy.task = None
    log.info("cloned %s in %.1f s", what, time.monotonic() - started)
