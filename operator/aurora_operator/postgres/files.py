"""Writing files so that a crash leaves the old or the new one, and never half of either."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

_ATTEMPTS: Final = 20
_PAUSE: Final = 0.1
T = TypeVar("T")


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


def write_durably(path: Path, content: str | bytes, mode: int = 0o600, *, sync: bool = True) -> bool:
    """Replace a file's content atomically and durably. Returns False, without writing, if it is that already.

    `sync` False leaves out the durability, for what is written anew before it is needed after a crash.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
            return False
    except FileNotFoundError:
        pass
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        if sync:
            os.fsync(fd)
    like_parent(temporary)
    temporary.rename(path)
    if sync:
        fsync_directory(path.parent)
    return True


def make_spare(path: Path, size: int) -> None:
    """Make a file whose blocks can be written when the file system is full. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Written, not only allocated: a block that was never written may need another one to say that it is.
        os.write(fd, b" " * size)
        os.fsync(fd)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)


def replace_with_spare(path: Path, spare: Path, content: str) -> None:
    """`write_durably` with the blocks of a spare file, which is gone afterwards. Raises OSError."""
    data = content.encode()
    with spare.open("r+b") as file:
        if len(data) > os.fstat(file.fileno()).st_size:
            raise OSError(errno.ENOSPC, "the spare file is too small", str(spare))
        file.write(data)
        file.truncate(len(data))
        file.flush()
        os.fsync(file.fileno())
    spare.rename(path)
    fsync_directory(path.parent)


def remove_durably(path: Path) -> bool:
    """Remove a file if it is there, durably. Returns whether it was."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    fsync_directory(path.parent)
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
