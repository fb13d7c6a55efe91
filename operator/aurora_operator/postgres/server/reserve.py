"""Space held back on a volume, to be let go when it fills, so that PostgreSQL can finish what it is doing."""

from __future__ import annotations

import os
from pathlib import Path


class Reserve:
    """A file that does nothing but take room. Its blocks are allocated, not merely promised."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def held(self) -> int:
        """Bytes that are held back now."""
        try:
            return self._path.stat().st_blocks * 512
        except OSError:
            return 0

    def hold(self, size: int) -> bool:
        """Hold `size` bytes back; returns whether that much could be had. Nothing is held when not."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
                os.ftruncate(fd, size)
            finally:
                os.close(fd)
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Let it go. Works on a full file system, too."""
        self._path.unlink(missing_ok=True)
