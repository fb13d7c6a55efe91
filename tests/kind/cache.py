"""Where what the harness makes is kept: one folder per thing, named by a hash of everything it is made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kind.shell import say

Lock = contextlib.AbstractContextManager[None]

REPO = Path(__file__).resolve().parents[2]


def root() -> Path:
    """The cache's folder, made when missing (AURORA_KIND_CACHE overrides where it is)."""
    where = Path(os.environ.get("AURORA_KIND_CACHE") or Path.home() / ".cache" / "aurora-kind")
    where.mkdir(parents=True, exist_ok=True)
    return where


def digest(*parts: str | bytes | Path) -> str:
    """A short hash over texts and over the names and contents of files and folders."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for name, content in _files(part):
                total.update(f"{name}\0{len(content)}\0".encode() + content)
        else:
            data = part.encode() if isinstance(part, str) else part
            total.update(f"{len(data)}\0".encode() + data)
    return total.hexdigest()[:16]


def slot(name: str, key: str) -> Path:
    """The path of the thing called `name` made from inputs that hash to `key`; it may not exist yet."""
    return root() / name / key


@contextlib.contextmanager
def filling(target: Path) -> Iterator[Path]:
    """A path to make something at, which becomes `target` at once when the block ends well.

    An interrupted build thus never looks like a finished one. Older versions of the same thing go.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
    try:
        yield scratch / "it"
        remove(target)
        (scratch / "it").rename(target)
    finally:
        remove(scratch)
    for old in target.parent.iterdir():
        if old != target and not old.name.startswith("."):
            remove(old)


def remove(path: Path) -> None:
    """Delete a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(path: Path, why: str) -> Iterator[None]:
    """Hold an exclusive lock on a file, saying so when another process makes us wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process: {why}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def heavy() -> Lock:
    """One heavy compilation at a time on this machine, whichever checkout it comes from."""
    return lock(Path(tempfile.gettempdir()) / "heavy-build.lock", "one heavy build at a time")


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_file():
        yield f"{path.name}:{path.stat().st_mode & 0o111}", path.read_bytes()
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"{file.relative_to(path)}:{file.stat().st_mode & 0o111}", file.read_bytes()
