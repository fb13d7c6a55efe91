"""How full a volume is, and whether it takes what is written to it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Final, NamedTuple

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a volume that takes no more."""
TRIAL_BYTES: Final = 64 << 10


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


def trial(folder: Path, size: int = TRIAL_BYTES) -> OSError | None:
    """Write `size` bytes to a file there, durably, and read them again; the error in which that ends, or None.

    May block for as long as the volume does: call it in a thread.
    """
    path = folder / f".trial-{os.getpid()}-{threading.get_ident()}"
    content = os.urandom(4096) * (size // 4096)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            written = 0
            while written < size:
                written += os.write(fd, content[written:])
            os.fsync(fd)
            if os.pread(fd, size, 0) != content:
                return OSError(errno.EIO, "what was written is not what is read")
        finally:
            os.close(fd)
            path.unlink(missing_ok=True)
    except OSError as error:
        return error
    return None
