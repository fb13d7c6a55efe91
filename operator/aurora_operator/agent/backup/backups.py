"""Continuous backup on this copy: archiving while it is the writer, and backups that the operator asks for."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime

from aurora_operator.agent.backup import snapshot
from aurora_operator.agent.backup.repository import repository_of
from aurora_operator.agent.member.instance import Instance
from aurora_operator.api.agent.messages import BackupEntry, BackupReport, BackupRequest, BackupRun, SnapshotRequest
from aurora_operator.api.agent.settings import BackupSettings
from aurora_operator.api.base import names
from aurora_operator.api.base.base import to_second
from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name
from aurora_operator.consensus.types import CopyId, name_of
from aurora_operator.postgres import disk
from aurora_operator.postgres.backup.archiver import Archiver, ArchiveState
from aurora_operator.postgres.errors import PostgresError, RepositoryError
from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.pgbackrest.info import BackupInfo, Stanza
from aurora_operator.postgres.pgbackrest.repository import Peer
from aurora_operator.postgres.pgbackrest.server import BackupServer
from aurora_operator.postgres.replication.rewind import checkpoint_source
from aurora_operator.postgres.restore.recovery import on_line
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.sql.session import APPLICATION
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.timeline import History

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
UNASKED_SECONDS = 2.0
LOOK_SECONDS = 20.0
"""How often the repository is asked what it holds; after a backup, at once."""
FRESH_SECONDS = 30.0
"""How often the Secrets are read again."""
SHOWN = 20


class Backups:
    """What `spec.backup` asks of this copy."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy
        self._settings: BackupSettings | None = None
        self._archiver: Archiver | None = None
        self._server: BackupServer | None = None
        self._state: ArchiveState | None = None
        self._info: Stanza | None = None
        self._history = History(1)
        self._looked = self._read = float("-inf")
        self._error: RepositoryError | None = None
        self._failing_since: datetime | None = None
        self._work: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled. Nothing that fails here touches the database."""
        try:
            while True:
                started = time.monotonic()
                await self._once()
                self._copy.backup_report = self._report()
                wanted = self._copy.settings.backup
                pause = IDLE_SECONDS if wanted is not None else UNASKED_SECONDS
                if wanted is not None and self._archiver is not None:
                    pause = wanted.recovery_point_seconds
                await asyncio.sleep(max(pause - (time.monotonic() - started), 0.1))
        finally:
            if self._work is not None:
                self._work.cancel()
                await asyncio.gather(self._work, return_exceptions=True)
            await self._rest()

    async def _once(self) -> None:
        copy = self._copy
        wanted, leadership = copy.settings.backup, copy.driver.state.leadership
        try:
            if wanted is None or leadership is None or copy.role != "writer":
                await self._rest()
                return
            await self._lead(wanted, leadership.epoch)
            self._well()
        except RepositoryError as error:
            self._ill(error)
        except (PostgresError, OSError, ValueError) as error:
            log.warning("backup: %s", error)

    def _well(self) -> None:
        error = self._state.error if self._state is not None else None
        if error is not None:
            self._ill(error)
        elif self._error is not None:
            log.info("backups go on: the destination works again")
            self._error = self._failing_since = None

    def _ill(self, error: RepositoryError) -> None:
        if self._error is None or self._error.cause != error.cause:
            log.error("backup: %s", error)
        if self._error is None:
            self._failing_since = datetime.now(UTC)
        self._error = error

    async def _rest(self) -> None:
        if self._archiver is not None:
            self._archiver = self._state = self._info = None
            self._error = self._failing_since = None
        if self._server is not None:
            await self._server.stop()
            self._server = None

    def _pgbackrest(self, wanted: BackupSettings) -> PgBackRest:
        copy = self._copy
        return repository_of(
            copy.tools,
            copy.layout,
            wanted.repository,
            names.BACKUP_MOUNT,
            cpu_millis=copy.environment.cpu_millis,
            retention_days=wanted.retention_days,
        )

    async def _lead(self, wanted: BackupSettings, epoch: int) -> None:
        copy = self._copy
        archiver = self._archiver
        if archiver is None or archiver.epoch != epoch or self._settings != wanted:
            await self._rest()
            archiver = Archiver(copy.server, copy.session, copy.layout, self._pgbackrest(wanted), epoch)
            await asyncio.to_thread(archiver.keep)
            self._archiver, self._settings = archiver, wanted
            self._looked = float("-inf")
            history = await asyncio.to_thread(pg_wal.read_history, copy.layout.pgdata, epoch)
            self._history = history or History(epoch)
        if not archiver.begun:
            await archiver.begin()
            log.info("archiving to %s as %s", wanted.repository.destination.path, wanted.repository.stanza)
            self._read = time.monotonic()
        elif time.monotonic() - self._read > FRESH_SECONDS:
            await asyncio.to_thread(archiver.pgbackrest.configure)
            self._read = time.monotonic()
        self._state = await archiver.state()
        await archiver.store(datetime.now(UTC))
        await archiver.tidy(self._state)
        if self._server is None or not self._server.alive:
            self._server = BackupServer(archiver.pgbackrest)
            await self._server.start()
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._info = await archiver.pgbackrest.info()
            self._looked = time.monotonic()

    def look_again(self) -> None:
        """Somebody has taken a backup."""
        self._looked = float("-inf")

    # --- backups ---

    def refusal(self) -> str | None:
        """Why this copy cannot take a backup now."""
        copy = self._copy
        if copy.settings.backup is None:
            return "no destination for backups is set"
        if self._work is not None and not self._work.done():
            return "a backup is under way here"
        if copy.phase not in ("Leading", "Following"):
            return f"this copy is {copy.phase}"
        return None

    def take(self, request: BackupRequest) -> None:
        """Begin a backup. Ask `refusal` before."""
        wanted = self._copy.settings.backup
        assert wanted is not None  # noqa: S101  asked by `refusal`
        self._copy.backup_run = BackupRun(
            kind=request.kind, token=request.token, started_at=to_second(datetime.now(UTC))
        )
        self._work = asyncio.create_task(self._take(wanted, request), name="backup")

    async def _take(self, wanted: BackupSettings, request: BackupRequest) -> None:
        copy = self._copy
        begun = copy.backup_run.started_at if copy.backup_run is not None else ""
        started, size = time.monotonic(), disk.usage(copy.layout.data).used
        error: str | None = None

        def progress(part: float) -> None:
            copy.progress("backup", None, started, int(part * size), size)

        try:
            pgbackrest = self._pgbackrest(wanted)
            await asyncio.to_thread(pgbackrest.configure, await self._peer())
            await pgbackrest.backup(request.kind, on_progress=progress)
            log.info("took a backup (%s) in %.1f s", request.kind, time.monotonic() - started)
        except (PostgresError, OSError) as failure:
            error = str(failure)
            log.error("a backup (%s) failed: %s", request.kind, failure)
        finally:
            copy.task = None
            copy.backup_run = BackupRun(
                kind=request.kind,
                token=request.token,
                started_at=begun,
                finished_at=to_second(datetime.now(UTC)),
                error=error,
            )
            self.look_again()

    def snapshot_refusal(self, request: SnapshotRequest) -> str | None:
        """Why this copy cannot take a snapshot now."""
        wanted = self._copy.settings.backup
        return self.refusal() or (snapshot.refusal(wanted, request) if wanted is not None else None)

    def take_snapshot(self, request: SnapshotRequest) -> None:
        """Begin a snapshot. Ask `snapshot_refusal` before."""
        wanted = self._copy.settings.backup
        assert wanted is not None  # noqa: S101  asked by `snapshot_refusal`
        main = self._pgbackrest(wanted)

        async def peer() -> Peer | None:
            found = await self._peer()
            # The leader's own configuration: it knows no other.
            return None if found is None else replace(found, config=main.access.config)

        work = snapshot.take(self._copy, main, request, peer)
        self._work = asyncio.create_task(work, name="snapshot")

    async def _peer(self) -> Peer | None:
        """The leader, ready for a backup; None where that is this copy."""
        copy = self._copy
        leader = copy.leader_id()
        await self._checkpoint(leader)
        if leader is None or leader == copy.id:
            return None
        member = copy.settings.member(name_of(leader))
        if member is None:
            raise RepositoryError("other", f"the host of the writer {name_of(leader)} is not known")
        return Peer(member.host)

    async def _checkpoint(self, leader: CopyId | None) -> None:
        """pgBackRest refuses a writer whose pg_control does not tell of its timeline yet: see `checkpoint_source`."""
        copy, epoch = self._copy, self._copy.leader_epoch()
        if leader is None or leader == copy.id:
            (timeline,) = await copy.session.row("SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()")
            if int(timeline) < epoch:
                await queries.checkpoint(copy.session)
            return
        source = copy.source(leader)
        if source is None:
            raise RepositoryError("other", f"the address of the writer {name_of(leader)} is not known")
        await checkpoint_source(source, copy.layout, copy=APPLICATION, epoch=epoch)

    # --- what is told ---

    def _report(self) -> BackupReport | None:
        """How backups stand; None unless this copy is the writer and they are asked for."""
        archiver, state, wanted = self._archiver, self._state, self._settings
        if archiver is None or wanted is None:
            return None
        usable = self._usable()
        latest = archiver.complete_at if usable and archiver.begun else None
        return BackupReport(
            stanza=wanted.repository.stanza,
            path=wanted.repository.destination.path or "",
            archiving=archiver.begun and state is not None and state.archive_mode,
            waits_for_restart=state is not None and not state.archive_mode,
            waiting_segments=state.waiting if state is not None else 0,
            last_segment=state.last_segment if state is not None else None,
            failing_since=None if self._failing_since is None else to_second(self._failing_since),
            cause=self._error.cause if self._error is not None else None,
            error=str(self._error) if self._error is not None else None,
            needs_backup=archiver.gap is not None and not usable,
            earliest_restorable_at=to_second(usable[0].stop) if usable else None,
            latest_restorable_at=to_second(max(latest, usable[0].stop)) if latest is not None else None,
            backups=tuple(_entry(b) for b in self._info.backups[-SHOWN:]) if self._info is not None else (),
            known=self._info is not None,
        )

    def _usable(self) -> list[BackupInfo]:
        """Backups from which all WAL up to now is there."""
        if self._info is None or self._archiver is None:
            return []
        gap = parse_segment_name(self._archiver.gap) if self._archiver.gap is not None else None
        after = gap[1] + SEGMENT_BYTES if gap is not None else 0
        found = [b for b in self._info.backups if not b.error and on_line(b, self._history)]
        return [b for b in found if b.start_lsn >= after]


def _entry(backup: BackupInfo) -> BackupEntry:
    return BackupEntry(
        label=backup.label,
        kind=backup.kind,
        started_at=to_second(backup.start),
        finished_at=to_second(backup.stop),
        size_bytes=backup.size,
        stored_bytes=backup.stored,
        damaged=backup.error,
    )
