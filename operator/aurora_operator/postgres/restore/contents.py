"""Reading what a repository has to restore."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.restore.recovery import Contents
from aurora_operator.postgres.wal import tail
from aurora_operator.postgres.wal.tail import Piece
from aurora_operator.postgres.wal.timeline import History, history_name, parse_history, parse_history_name

log = logging.getLogger(__name__)


async def read_tail(pgbackrest: PgBackRest) -> tuple[dict[int, History], list[tuple[Piece, bytes]]]:
    """The newest history that can be read, and the pieces of the newest timeline's newest WAL. Raises RepositoryError.

    There may be thousands, of which each tells all before it.
    """
    folder = tail.folder(pgbackrest.access.repository.stanza)
    entries = await pgbackrest.list(folder)
    histories: dict[int, History] = {}
    numbers = (parse_history_name(entry.name) for entry in entries)
    for timeline in sorted((t for t in numbers if t is not None), reverse=True):
        text = (await pgbackrest.get(f"{folder}/{history_name(timeline)}")).decode(errors="replace")
        with contextlib.suppress(ValueError):
            histories[timeline] = await asyncio.to_thread(parse_history, timeline, text)
            break
    found = [(name, parsed) for name, parsed in ((e.name, tail.parse_name(e.name)) for e in entries) if parsed]
    newest = max((int(segment[:8], 16) for _, (segment, _) in found), default=0)
    pieces = []
    for name, (segment, _) in found:
        if int(segment[:8], 16) == newest:
            try:
                pieces.append(tail.unpack(await pgbackrest.get(f"{folder}/{name}")))
            except ValueError as error:
                log.warning("%s: %s", name, error)
    return histories, pieces


async def read_contents(pgbackrest: PgBackRest) -> tuple[Contents, Mapping[str, tuple[Piece, bytes]]]:
    """What can be restored, and the segments of the tail. Raises RepositoryError."""
    stanza = await pgbackrest.info()
    histories, pieces = await read_tail(pgbackrest)
    segments = tail.assemble(pieces)
    last = max((piece for piece, _ in segments.values()), key=lambda piece: piece.end, default=None)
    return Contents(stanza, histories, last), segments
