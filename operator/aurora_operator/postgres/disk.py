"""How full a volume is."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a volume that takes no more."""


class Usage(NamedTuple):
    """Bytes of a volume. `free` is what an unprivileged process may still write."""

    size: int
    used: int
    free: int


def usage(path: Path) -> Usage:
    """Size of the file system that holds `path`, in bytes. Raises OSError."""
    found = os.statvfs(path)
    return Usage(
        size=found.f_blocks * found.f_frsize,
        used=(found.f_blocks - found.f_bfree) * found.f_frsize,
        free=found.f_bavail * found.f_frsize,
    )
