"""Let page cache go, so that a memory limit can be lowered: the kubelet refuses one below what is used, cache included.

https://man7.org/linux/man-pages/man2/posix_fadvise.2.html: pages that are dirty or mapped stay.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

BATCH: Final = 16
"""Files between two looks at how much is used."""


def drop(pgdata: Path, used: Callable[[], int], until: int) -> int:
    """Drop cached pages of files in `pgdata`, only as much as is needed until `used()` is at most `until` bytes.

    WAL goes first, which hardly anybody reads again; then the files that were not written for longest. Returns what
    is used then. Raises OSError if `used` does.
    """
    for number, path in enumerate(_files(pgdata)):
        if number % BATCH == 0 and used() <= until:
            break
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
    return used()


def _files(pgdata: Path) -> Iterator[Path]:
    for folder in ("pg_wal", "base"):
        found = []
        for parent, _, names in os.walk(pgdata / folder):
            for name in names:
                path = Path(parent) / name
                with contextlib.suppress(OSError):
                    found.append((path.stat().st_mtime, path))
        yield from (path for _, path in sorted(found))
