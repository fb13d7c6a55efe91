"""A copy's volume: what its file system shows, and what of it a power cut leaves."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")
STATE = Path("/data/aurora")
"""The agent's folder."""


class Killed(BaseException):
    """The process ends here; what the kernel was told stays, as long as there is power."""


class Chance(Protocol):
    """Chooses; of two that are there, say, or were."""

    def __call__(self, seq: tuple[T, ...], /) -> T:
        """One of these."""


class File:
    """One inode."""

    __slots__ = ("data", "durable", "mode")

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.data = self.durable = b""


class Volume:
    """`postgres.files.FileSystem`. Syncing a file makes its content durable, syncing the folder its names; until then
    either may be there after a power cut, as they were, as they are, or the content in part."""

    def __init__(self) -> None:
        self.names: dict[str, File] = {}
        self._kept: dict[str, File] = {}
        """Names that are on the disk."""
        self.kill_in: int | None = None
        """After how many more steps the process is killed."""
        self.hangs = False
        """No write comes back."""
        self.full = False
        self.failing = False
        """The disk refuses to make anything durable."""

    # --- what happens to it ----------------------------------------------------------------------------------------

    def _step(self) -> None:
        if self.kill_in is not None:
            self.kill_in -= 1
            if self.kill_in < 0:
                raise Killed

    def settle(self) -> None:
        """All that is there has been there for long."""
        self._kept = dict(self.names)
        for file in self.names.values():
            file.durable = file.data

    def cut_power(self, choose: Chance) -> None:
        """Leave what is durable, and of all else what is chosen."""
        left: dict[str, File] = {}
        for name in sorted(self.names.keys() | self._kept.keys()):
            before, now = self._kept.get(name), self.names.get(name)
            there = before if before is now else choose((before, now))
            if there is not None:
                left[name] = there
        for file in dict.fromkeys(left.values()):
            if file.data != file.durable:
                torn = file.data[: len(file.data) // 2]
                file.durable = choose((file.durable, file.data, torn, bytes(len(file.data))))
            file.data = file.durable
        self.names, self._kept = left, dict(left)

    # --- what the agent does with it -------------------------------------------------------------------------------

    def _sync(self, file: File, path: Path) -> None:
        self._step()
        if self.failing:
            raise OSError(errno.EIO, "Input/output error", str(path))
        file.durable = file.data

    def _file(self, path: Path) -> File:
        file = self.names.get(path.name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
        return file

    def read(self, path: Path) -> bytes:
        return self._file(path).data

    def mode(self, path: Path) -> int:
        return self._file(path).mode

    def exists(self, path: Path) -> bool:
        return path.name in self.names

    def create(self, path: Path, data: bytes, mode: int, *, sync: bool) -> None:
        self._step()
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        if path.name in self.names:
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        file = self.names[path.name] = File(mode)
        self._step()
        file.data = data
        if sync:
            self._sync(file, path)

    def overwrite(self, path: Path, data: bytes) -> None:
        file = self._file(path)
        if len(data) > len(file.data):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        self._step()
        file.data = data
        self._sync(file, path)

    def rename(self, source: Path, target: Path) -> None:
        file = self._file(source)
        self._step()
        self.names[target.name] = file
        del self.names[source.name]

    def remove(self, path: Path) -> None:
        self._file(path)
        self._step()
        del self.names[path.name]

    def make_folder(self, path: Path) -> None:
        """It is there."""

    def sync_folder(self, path: Path) -> None:
        self._step()
        if self.failing:
            raise OSError(errno.EIO, "Input/output error", str(path))
        if path == STATE:
            self._keep_names()

    def _keep_names(self) -> None:
        self._kept = dict(self.names)
