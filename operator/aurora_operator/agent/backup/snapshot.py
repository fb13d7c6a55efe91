"""A snapshot that the operator asks this copy for: a backup into a repository of its own, for good."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

from aurora_operator.agent.member.instance import Instance
from aurora_operator.api.agent.messages import SnapshotRequest, SnapshotRun
from aurora_operator.api.agent.settings import BackupSettings
from aurora_operator.api.base.base import to_second
from aurora_operator.postgres import disk
from aurora_operator.postgres.backup.snapshot import keep
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.pgbackrest.repository import Peer

log = logging.getLogger(__name__)


def refusal(wanted: BackupSettings, request: SnapshotRequest) -> str | None:
    """Why there can be no snapshot in the repository that is asked for."""
    ours, theirs = wanted.repository, request.repository
    moved = theirs.destination.model_copy(update={"path": ours.destination.path})
    if theirs.model_copy(update={"destination": moved}) != ours:
        return "a snapshot goes into the cluster's own destination, with its stanza and encryption"
    if not (theirs.destination.path or "").startswith(f"{ours.destination.path}/"):
        return "a snapshot goes below the path of the cluster's own backups"
    return None


async def take(
    copy: Instance, main: PgBackRest, request: SnapshotRequest, peer: Callable[[], Awaitable[Peer | None]]
) -> None:
    """Take it, and leave what came of it in the status. `peer` finds the leader, where that is another copy."""
    begun = SnapshotRun(
        token=request.token, path=request.repository.destination.path or "", started_at=to_second(datetime.now(UTC))
    )
    copy.snapshot_run = begun
    started, size = time.monotonic(), disk.usage(copy.layout.data).used
    repository = PgBackRest(copy.tools, replace(main.access, repository=request.repository, called="snapshot"))

    def progress(part: float) -> None:
        copy.progress("backup", None, started, int(part * size), size)

    # Also when it is cut off: who looks then must not find it under way.
    ended = begun.model_copy(update={"error": "it was broken off"})
    try:
        kept = await keep(
            main, repository, copy.layout.data / "aurora" / "snapshot", peer=await peer(), on_progress=progress
        )
        ended = begun.model_copy(
            update={
                "label": kept.label,
                "lsn": kept.lsn,
                "timeline": kept.timeline,
                "taken_at": to_second(kept.time),
                "size_bytes": kept.size,
                "stored_bytes": kept.stored,
            }
        )
        log.info("took the snapshot %s in %.1f s", begun.path, time.monotonic() - started)
    except (PostgresError, OSError) as failure:
        ended = begun.model_copy(update={"error": str(failure)})
        log.error("the snapshot %s failed: %s", begun.path, failure)
    finally:
        copy.task = None
        copy.snapshot_run = ended.model_copy(update={"finished_at": to_second(datetime.now(UTC))})
