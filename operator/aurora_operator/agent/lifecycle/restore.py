"""The first data of a cluster that begins with backups."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from aurora_operator.agent.backup.repository import repository_of
from aurora_operator.agent.member.configuration import Configuration
from aurora_operator.agent.member.instance import Instance
from aurora_operator.api.agent.origin import RestoreOrigin
from aurora_operator.api.base import names
from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.api.spec.repository import Repository
from aurora_operator.postgres.files import make_directory
from aurora_operator.postgres.restore.recovery import resolve_stanza
from aurora_operator.postgres.restore.restoring import Restore, restoring

log = logging.getLogger(__name__)


async def restore(copy: Instance, configuration: Configuration, origin: RestoreOrigin) -> None:
    """Fill the empty volume; complete when this returns. Raises PostgresError, OSError.

    Whoever calls says what is under way, and how it ended last time; here only the progress is shown.
    """
    repository = await _resolved(copy, origin.repository)
    started = time.monotonic()

    def progress(step: str, done: int, total: int) -> None:
        copy.progress(step, origin.source, started, done, total)

    work = Restore(
        tools=copy.tools,
        layout=copy.layout,
        pgbackrest=repository_of(
            copy.tools,
            restoring(copy.layout),
            repository,
            names.RESTORE_MOUNT,
            cpu_millis=copy.environment.cpu_millis,
        ),
        choices=configuration.choices,
        on_progress=progress,
        sink=_pass_on,
        inherit_fds=copy.server.inherited,
    )
    try:
        done = await work.run(origin.target, label=origin.set)
    finally:
        copy.task = None
    log.info(
        "restored backup %s of %s to %s on timeline %d, last commit at %s, in %.1f s",
        done.label, origin.source, format_lsn(done.lsn), done.timeline, done.last_commit, time.monotonic() - started,
    )  # fmt: skip


async def _resolved(copy: Instance, repository: Repository) -> Repository:
    """With the stanza's own name, where it was named by its cluster's."""
    work = restoring(copy.layout)
    make_directory(work.data)
    asked = repository_of(copy.tools, work, repository, names.RESTORE_MOUNT, cpu_millis=1000)
    await asyncio.to_thread(asked.configure)
    stanza = resolve_stanza(repository.stanza, await asked.stanzas())
    return repository.model_copy(update={"stanza": stanza})


def _pass_on(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
