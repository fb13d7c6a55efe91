"""One life of a copy at a time on a volume.

Two pods on one node can mount the same volume when the first was deleted by force, and PostgreSQL's own guard
(postmaster.pid, shared memory) does not see across containers. A lock on a file of the volume does. The server
inherits it, so that it is held until the last process of that life is gone.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from aurora_operator.postgres.errors import VolumeInUse
from aurora_operator.postgres.files import make_directory


class VolumeLock:
    """Held from `acquire` until this process and all servers that it started have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    @property
    def fds(self) -> tuple[int, ...]:
        """What a server inherits."""
        return () if self._fd is None else (self._fd,)

    def acquire(self) -> None:
        """Take the lock at once. Raises VolumeInUse; try again then, other containers may take a moment to end."""
        make_directory(self._path.parent)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise VolumeInUse(f"another container still uses the volume of {self._path.parent}") from error
        self._fd = fd

    def release(self) -> None:
        """Let go; a server that inherited the lock still holds it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
