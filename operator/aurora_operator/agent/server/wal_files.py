"""`GET /v1/wal` and `GET /v1/wal/{file}`: this copy's WAL, for other copies' agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name
from aurora_operator.postgres.files import entries, steadily
from aurora_operator.postgres.wal.pg_wal import is_written
from aurora_operator.postgres.wal.timeline import parse_history_name

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class WalFile:
    """A file as it is listed."""

    name: str
    size: int


def offered(name: str) -> bool:
    """Whether a file of this name may be asked for: a segment, whole or `.partial`, or a timeline's history. Pure."""
    return parse_segment_name(name) is not None or parse_history_name(name) is not None


def listing(folder: Path) -> list[WalFile]:
    """What there is, by name. Raises OSError."""

    def look() -> list[WalFile]:
        found = []
        for entry in entries(folder):
            if offered(entry.name) and entry.is_file(follow_symlinks=False) and _holds_wal(Path(entry.path)):
                found.append(WalFile(entry.name, entry.stat().st_size))
        return sorted(found, key=lambda file: file.name)

    return steadily(look)


def _holds_wal(path: Path) -> bool:
    """PostgreSQL keeps old files under names to come: these are none."""
    segment = parse_segment_name(path.name)
    return segment is None or (path.stat().st_size == SEGMENT_BYTES and is_written(path, segment[1]))


def open_file(folder: Path, name: str) -> BinaryIO | None:
    """The file, open; None for one that is not there or not offered. Raises OSError."""
    if not offered(name):
        return None
    path = folder / name
    try:
        return path.open("rb") if not path.is_symlink() and _holds_wal(path) else None
    except FileNotFoundError:
        return None


async def stream(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    """Its first `size` bytes, piece by piece; closes it. Raises OSError."""
    try:
        while size > 0 and (chunk := await asyncio.to_thread(file.read, min(CHUNK, size))):
            size -= len(chunk)
            yield chunk
    finally:
        file.close()
