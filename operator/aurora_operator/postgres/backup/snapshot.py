"""A snapshot in a repository of its own: one full backup, and the WAL that makes it consistent.

It needs nothing of the cluster's own repository, so neither retention nor a stanza that is removed can touch it. It is
an ordinary repository of pgBackRest's: what restores backups restores it. `snapshot.json` is put there at last, and
says that all is there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES, format_lsn, segment_name
from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.files import make_directory, remove_tree
from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.pgbackrest.info import BackupInfo
from aurora_operator.postgres.pgbackrest.repository import Peer
from aurora_operator.postgres.wal import tail
from aurora_operator.postgres.wal.timeline import history_name

log = logging.getLogger(__name__)

MARK: Final = "snapshot.json"
ARCHIVED_SECONDS: Final = 600.0
"""How long to wait until the writer has archived the backup's last segment."""
_POLL: Final = 0.5
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """A complete snapshot. Sizes in bytes: of the data, and of what is stored."""

    label: str
    timeline: int
    lsn: int
    """Where the backup ended: everything committed before is in it."""
    time: datetime
    """When it ended."""
    size: int
    stored: int


def pack(kept: Kept) -> bytes:
    """What `MARK` holds."""
    document = {
        "version": _VERSION,
        "label": kept.label,
        "timeline": kept.timeline,
        "lsn": kept.lsn,
        "time": kept.time.astimezone(UTC).isoformat(),
        "size": kept.size,
        "stored": kept.stored,
    }
    return json.dumps(document).encode()


def unpack(content: bytes) -> Kept:
    """What `pack` made. Raises RepositoryError."""
    try:
        found = json.loads(content)
        return Kept(
            label=str(found["label"]),
            timeline=int(found["timeline"]),
            lsn=int(found["lsn"]),
            time=datetime.fromisoformat(found["time"]),
            size=int(found["size"]),
            stored=int(found["stored"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryError("other", f"{MARK} is not understood: {error!r}") from error


def needed_wal(backup: BackupInfo) -> tuple[str, ...]:
    """What the archive must hold so that the backup can be made consistent: its timeline's history, and segments."""
    first = backup.start_lsn // SEGMENT_BYTES
    last = (backup.stop_lsn - 1) // SEGMENT_BYTES
    segments = tuple(segment_name(backup.timeline, number * SEGMENT_BYTES) for number in range(first, last + 1))
    return segments if backup.timeline == 1 else (history_name(backup.timeline), *segments)


async def find(repository: PgBackRest) -> Kept | None:
    """The snapshot, if it is complete. Raises RepositoryError."""
    if not any(entry.name == MARK for entry in await repository.list("", below=False)):
        return None
    return unpack(await repository.get(MARK))


async def keep(
    main: PgBackRest,
    repository: PgBackRest,
    work: Path,
    *,
    peer: Peer | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Kept:
    """Take a snapshot into `repository`, which nothing else uses; one that is complete there is told, not taken again.

    `main` is the cluster's own repository, that the WAL comes from; `work` a folder to pass it on through; `peer` the
    leader, where this copy is a reader. Raises RepositoryError, OSError.
    """
    await asyncio.to_thread(main.configure)
    await asyncio.to_thread(repository.configure, peer)
    there = await find(repository)
    if there is not None:
        return there
    await repository.create_stanza(online=False)
    await repository.backup("full", on_progress=on_progress, expire=False, archive_check=False)
    backups = (await repository.info()).backups
    if not backups:
        raise RepositoryError("other", "the backup was taken, and is not there")
    backup = backups[-1]
    await asyncio.to_thread(remove_tree, work)
    make_directory(work)
    try:
        for name in needed_wal(backup):
            await _pass_on(main, repository, name, work / name)
    finally:
        await asyncio.to_thread(remove_tree, work)
    if backup.timeline != 1:
        stanza = main.access.repository.stanza
        history = f"{tail.folder(stanza)}/{history_name(backup.timeline)}"
        await repository.put(history, await main.get(history))
    kept = Kept(backup.label, backup.timeline, backup.stop_lsn, backup.stop, backup.size, backup.stored)
    await repository.put(MARK, pack(kept))
    log.info("snapshot %s is complete, to %s", kept.label, format_lsn(kept.lsn))
    return kept


async def _pass_on(main: PgBackRest, repository: PgBackRest, name: str, path: Path) -> None:
    started = time.monotonic()
    while not await main.archive_get(name, path):
        if time.monotonic() - started > ARCHIVED_SECONDS:
            raise RepositoryError("other", f"{name}, which the backup needs, does not come into the archive")
        await asyncio.sleep(_POLL)
    await repository.archive_push(path)
    await asyncio.to_thread(path.unlink)
