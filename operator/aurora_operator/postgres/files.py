"""Writing files so that a crash leaves the old or the new one, and never half of either."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

_ATTEMPTS: Final = 20
_PAUSE: Final = 0.1
T = TypeVar("T")


class FileSystem(Protocol):
    """What writing durably asks of a volume's file system. Each call raises OSError as the system's own would."""

    def read(self, path: Path) -> bytes:
        """A file's content. Raises FileNotFoundError."""

    def mode(self, path: Path) -> int:
        """A file's permissions."""

    def exists(self, path: Path) -> bool:
        """Whether there is such a file."""

    def create(self, path: Path, data: bytes, mode: int, *, sync: bool) -> None:
        """Write a file that is not there yet, with the owner of its directory; on disk too, where `sync`."""

    def overwrite(self, path: Path, data: bytes) -> None:
        """Write a file anew in the blocks that it has, and give back the others; on disk too.

        Raises OSError (ENOSPC) where it has too few.
        """

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name; who has that one already goes."""

    def remove(self, path: Path) -> None:
        """Remove a file. Raises FileNotFoundError."""

    def make_folder(self, path: Path) -> None:
        """Make a directory for us alone, and its parents, unless it is there."""

    def sync_folder(self, path: Path) -> None:
        """Make renames and removals in a directory durable."""


def fsync_directory(path: Path) -> None:
    """Make renames and removals in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing when there is none. Raises OSError."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        return []


def steadily(look: Callable[[], T]) -> T:
    """What `look` makes of a folder that another process changes: once more when a file went while it looked.

    A receiver renames each segment that it completes: who skipped a file that has gone would miss the renamed one.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            return look()


def like_parent(path: Path) -> None:
    """Give a file to the owner of its directory, when we may: root serves an unprivileged server in tests only."""
    if os.geteuid() == 0:
        parent = path.parent.stat()
        os.chown(path, parent.st_uid, parent.st_gid)


class LocalFiles:
    """The file systems of this machine; see `FileSystem`."""

    def read(self, path: Path) -> bytes:
        """See `FileSystem`."""
        return path.read_bytes()

    def mode(self, path: Path) -> int:
        """See `FileSystem`."""
        return path.stat().st_mode & 0o777

    def exists(self, path: Path) -> bool:
        """See `FileSystem`."""
        return path.exists()

    def create(self, path: Path, data: bytes, mode: int, *, sync: bool) -> None:
        """See `FileSystem`."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
            file.flush()
            if sync:
                os.fsync(fd)
        like_parent(path)

    def overwrite(self, path: Path, data: bytes) -> None:
        """See `FileSystem`."""
        with path.open("r+b") as file:
            if len(data) > os.fstat(file.fileno()).st_size:
                raise OSError(errno.ENOSPC, "the file is too small", str(path))
            file.write(data)
            file.truncate(len(data))
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """See `FileSystem`."""
        source.rename(target)

    def remove(self, path: Path) -> None:
        """See `FileSystem`."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """See `FileSystem`."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def sync_folder(self, path: Path) -> None:
        """See `FileSystem`."""
        fsync_directory(path)


LOCAL: Final[FileSystem] = LocalFiles()


def write_durably(
    path: Path, content: str | bytes, mode: int = 0o600, *, sync: bool = True, files: FileSystem = LOCAL
) -> bool:
    """Replace a file's content atomically and durably. Returns False, without writing, if it is that already.

    `sync` False leaves out the durability, for what is written anew before it is needed after a crash.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if files.read(path) == data and files.mode(path) == mode:
            return False
    except FileNotFoundError:
        pass
    temporary = path.with_name(path.name + ".tmp")
    with contextlib.suppress(FileNotFoundError):
        files.remove(temporary)
    files.create(temporary, data, mode, sync=sync)
    files.rename(temporary, path)
    if sync:
        files.sync_folder(path.parent)
    return True


def make_spare(path: Path, size: int, *, files: FileSystem = LOCAL) -> None:
    """Make a file whose blocks can be written when the file system is full. Raises OSError."""
    try:
        # Written, not only allocated: a block that was never written may need another one to say that it is.
        files.create(path, b" " * size, 0o600, sync=True)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            files.remove(path)
        raise


def replace_with_spare(path: Path, spare: Path, content: str, *, files: FileSystem = LOCAL) -> None:
    """`write_durably` with the blocks of a spare file, which is gone afterwards. Raises OSError."""
    files.overwrite(spare, content.encode())
    files.rename(spare, path)
    files.sync_folder(path.parent)


def remove_durably(path: Path, *, files: FileSystem = LOCAL) -> bool:
    """Remove a file if it is there, durably. Returns whether it was."""
    try:
        files.remove(path)
    except FileNotFoundError:
        return False
    files.sync_folder(path.parent)
    return True


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one file system and make it durable in both directories."""
    source.rename(target)
    fsync_directory(target.parent)
    if source.parent != target.parent:
        fsync_directory(source.parent)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Make a directory (and its parents) with the owner of the one above it."""
    if path.is_dir():
        return
    make_directory(path.parent, 0o755) if not path.parent.exists() else None
    path.mkdir(mode=mode, exist_ok=True)
    path.chmod(mode)
    like_parent(path)


def remove_tree(path: Path) -> None:
    """Remove a directory of ours and everything in it, if it is there. Symbolic links in it are not followed.

    Somebody may still come and go there: pgBackRest, which fetches WAL ahead, ends a moment after PostgreSQL.
    """
    for left in reversed(range(_ATTEMPTS)):
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            try:
                shutil.rmtree(path)
            except OSError as error:
                if not left or error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise
                time.sleep(_PAUSE)
                continue
        return
