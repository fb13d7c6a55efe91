"""The writer's part of continuous backup: what it takes over, the archive command, and the tail of the WAL."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.postgres.config import configure
from aurora_operator.postgres.errors import DataError, RepositoryError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.pgbackrest.commands import PgBackRest, explain
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.sql.session import Session
from aurora_operator.postgres.wal import archiving, pg_wal, tail
from aurora_operator.postgres.wal.tail import Piece
from aurora_operator.postgres.wal.timeline import History, history_name, parse_history_name, render_history

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 60.0
"""How often it is stored that nothing was written, for a restore that knows the destination alone."""
_PIECES_AT_ONCE: Final = 16
_HISTORIES_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """How archiving stands."""

    archive_mode: bool
    waiting: int
    """Segments that are full and not in the archive yet."""
    last_segment: str | None
    last_time: datetime | None
    failing_since: datetime | None
    error: RepositoryError | None
    """Why the archive command fails, while it does."""


@dataclass
class Archiver:
    """For one leadership: `begin` once, until it succeeds; then `store` every few seconds."""

    server: Server
    session: Session
    layout: Layout
    pgbackrest: PgBackRest
    epoch: int
    begun: bool = False
    gap: str | None = None
    """A segment that no copy had any more when this leadership began: only a new backup helps."""
    stored: Piece | None = None
    complete_at: datetime | None = None
    """All WAL that was flushed at this time is in the repository."""
    _folders: set[str] = field(default_factory=set)
    _old: list[int] = field(default_factory=list)
    """Timelines whose histories nobody will ask the tail for: those of later ones tell them."""

    @property
    def _stanza(self) -> str:
        return self.pgbackrest.access.repository.stanza

    def keep(self) -> None:
        """At once after the promotion, without the destination: have PostgreSQL keep what may not be archived yet.

        Raises DataError, OSError.
        """
        history = pg_wal.read_history(self.layout.pgdata, self.epoch)
        if history is None:
            raise DataError(f"there is no history of timeline {self.epoch}")
        archiving.mark(
            self.layout.pgdata, archiving.hand_over(history, archiving.names_present(self.layout.pgdata), (), None)
        )

    async def begin(self) -> None:
        """Make the repository ready, store the tail, and only then let the archive begin: whoever finds this timeline
        there finds where it starts, too. Raises RepositoryError, DataError, Unavailable, OSError."""
        history = await asyncio.to_thread(pg_wal.read_history, self.layout.pgdata, self.epoch)
        if history is None:
            raise DataError(f"there is no history of timeline {self.epoch}")
        self.pgbackrest.configure()
        await self.pgbackrest.create_stanza()
        info = await self.pgbackrest.info()
        present = archiving.names_present(self.layout.pgdata)
        self.gap = archiving.hand_over(history, present, (), info.archive_max).gap if info.backups else None
        if self.gap is not None:
            log.error("segment %s is neither archived nor here: what follows needs a new backup", self.gap)
        await self._read_folders(history)
        await self.store(datetime.now(UTC))
        folder = tail.folder(self._stanza)
        # After the first piece: a timeline that is known can be followed from its start.
        text = await asyncio.to_thread(render_history, history)
        await self.pgbackrest.put(f"{folder}/{history_name(self.epoch)}", text.encode())
        if configure.write_archive(self.layout, self.pgbackrest.words("archive-push")):
            self.server.reload()
        self.begun = True

    async def _read_folders(self, history: History) -> None:
        histories: list[int] = []
        for entry in await self.pgbackrest.list(tail.folder(self._stanza)):
            parsed = tail.parse_name(entry.name)
            timeline = parse_history_name(entry.name)
            if parsed is not None:
                self._folders.add(parsed[0])
            elif timeline is not None:
                histories.append(timeline)
        self._old = tail.told_again(history, histories)

    async def store(self, now: datetime) -> None:
        """Store what WAL there is beyond full segments. `now` is a time before the call. Raises as `begin`."""
        (lsn,) = await self.session.row("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
        flushed = int(lsn)
        for _ in range(_PIECES_AT_ONCE):
            piece = tail.next_piece(self.stored, self.epoch, flushed, now)
            if piece is None:
                break
            await self._put(piece)
        else:
            return
        if self.stored is not None and now - self.stored.time >= timedelta(seconds=IDLE_SECONDS):
            await self._put(replace(self.stored, time=now))
        if await asyncio.to_thread(archiving.waiting, self.layout.pgdata) == 0:
            self.complete_at = now

    async def _put(self, piece: Piece) -> None:
        path = self.layout.wal / piece.segment
        content = await asyncio.to_thread(_read, path, piece)
        self._folders.add(piece.segment)
        await self.pgbackrest.put(tail.piece_path(self._stanza, piece), content)
        self.stored = piece

    async def tidy(self, state: ArchiveState) -> None:
        """Remove pieces of segments that are in the archive, and some of the old histories. Raises RepositoryError."""
        if state.waiting or not self.begun or self.stored is None:
            return
        for segment in sorted(self._folders - {self.stored.segment}):
            await self.pgbackrest.remove(tail.segment_folder(self._stanza, segment))
            self._folders.discard(segment)
        for timeline in self._old[:_HISTORIES_AT_ONCE]:
            await self.pgbackrest.remove_file(f"{tail.folder(self._stanza)}/{history_name(timeline)}")
            self._old.remove(timeline)

    async def state(self) -> ArchiveState:
        """How archiving stands. Raises Unavailable, QueryError."""
        row = await self.session.row(
            "SELECT current_setting('archive_mode') <> 'off', last_archived_wal, last_archived_time, "
            "CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN last_failed_time END "
            "FROM pg_stat_archiver"
        )
        mode, segment, archived, failed = row
        waiting = await asyncio.to_thread(archiving.waiting, self.layout.pgdata)
        error = await asyncio.to_thread(read_spool, self.pgbackrest.access.spool, self._stanza) if waiting else None
        failing = failed if waiting and failed is not None else None
        if error is not None and failing is None:
            failing = datetime.now(UTC)
        return ArchiveState(bool(mode), waiting, segment, archived, failing, error)


def _read(path: Path, piece: Piece) -> bytes:
    with path.open("rb") as file:
        file.seek(piece.start % SEGMENT_BYTES)
        content = file.read(piece.end - piece.start)
    return tail.pack(piece, content)


def read_spool(spool: Path, stanza: str) -> RepositoryError | None:
    """Why pgBackRest could not archive, from what it leaves for itself: a code, and a sentence. None: no complaint."""
    folder = spool / "archive" / stanza / "out"
    try:
        complaints = sorted(folder.glob("*.error"))
        lines = complaints[0].read_text(errors="replace").splitlines() if complaints else []
    except OSError:
        return None
    if not lines:
        return None
    code = int(lines[0]) if lines[0].isdigit() else 1
    return explain(f"ERROR: [{code:03d}]: " + "\n".join(lines[1:]), code)
