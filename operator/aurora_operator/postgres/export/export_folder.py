"""pg_dump's folder, read and written by the parts of an export."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterable
from pathlib import Path
from typing import Final

from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.export.export_format import File, Span
from aurora_operator.postgres.files import like_parent

_CHUNK: Final = 1 << 20


def files(folder: Path) -> tuple[File, ...]:
    """What is in it. Raises OSError."""
    return tuple(File(path.name, path.stat().st_size) for path in sorted(folder.iterdir()))


async def read(folder: Path, part: Iterable[Span]) -> AsyncIterator[bytes]:
    """A part, in pieces. Raises DataError when a file is shorter than it was, OSError."""
    for span in part:
        if span.file is None:
            yield span.filling
            continue
        with (folder / span.file).open("rb") as file:
            file.seek(span.offset)
            left = span.length
            while left:
                chunk = await asyncio.to_thread(file.read, min(left, _CHUNK))
                if not chunk:
                    raise DataError(f"{span.file} has become shorter")
                left -= len(chunk)
                yield chunk


class Writer:
    """Takes a part in pieces of any size, and writes what is a file's where it belongs. To be closed. What is too much
    or too little is for its checksum to find."""

    def __init__(self, folder: Path, part: Iterable[Span]) -> None:
        self._taking = _taking(folder, part)
        next(self._taking)

    def write(self, piece: bytes) -> None:
        """The next piece. Raises OSError."""
        if piece:
            self._taking.send(piece)

    def close(self) -> None:
        """No more is to come."""
        self._taking.close()


def _taking(folder: Path, part: Iterable[Span]) -> Generator[None, bytes]:
    piece = memoryview((yield))
    for span in part:
        fd = None if span.file is None else _open(folder / span.file)
        try:
            at = 0
            while at < span.length:
                if not piece:
                    piece = memoryview((yield))
                some = piece[: span.length - at]
                taken = len(some) if fd is None else os.pwrite(fd, some, span.offset + at)
                at, piece = at + taken, piece[taken:]
        finally:
            if fd is not None:
                os.close(fd)
    while True:
        yield


def _open(path: Path) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    like_parent(path)
    return fd
