"""A disk under a folder: what a power cut could leave there at any moment, by what was synchronised before."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Files = dict[str, bytes]


class Killed(BaseException):
    """The process ends here; what the kernel was told stays, as long as there is power."""


class Disk:
    """Watches the calls that matter. One `fsync` of a file makes its content durable, one of the folder its names."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._held: list[int] = []
        """Open files, so that no inode is used again."""
        self._names: dict[str, int] = {}
        self._contents: dict[int, bytes] = {}
        self.steps = 0
        self.kill_at: int | None = None
        """Before which step the process is killed."""
        for name in ("open", "fsync", "rename", "unlink"):
            patch.setattr(os, name, self._watching(getattr(os, name), name))
        self._settle()

    def _watching(self, call: Any, name: str) -> Any:
        def watched(first: Any, *more: Any, **options: Any) -> Any:
            path = Path(f"/proc/self/fd/{first}").readlink() if name == "fsync" else Path(first)
            if self._folder != path and self._folder not in path.parents:
                return call(first, *more, **options)
            if name == "open" and not more[0] & os.O_CREAT:
                return call(first, *more, **options)
            if self.steps == self.kill_at:
                raise Killed
            self.steps += 1
            if name in ("rename", "unlink"):
                for gone in (path, *(Path(p) for p in more)):
                    if gone.exists():
                        self._held.append(call_open(gone, os.O_RDONLY))
            if name == "fsync":
                return self._synchronised(path)
            return call(first, *more, **options)

        call_open = os.open
        return watched

    def _synchronised(self, path: Path) -> None:
        if stat.S_ISDIR(path.stat().st_mode):
            self._names = {p.name: p.stat().st_ino for p in self._folder.iterdir()}
        else:
            self._contents[path.stat().st_ino] = path.read_bytes()

    def _settle(self) -> None:
        """All that is there has been there for long."""
        for path in self._folder.iterdir():
            self._synchronised(path)
        self._synchronised(self._folder)

    def after_a_power_cut(self) -> Iterator[Files]:
        """Each state of the folder that the disk could show now: any part of what was not synchronised is there."""
        now = {p.name: p.stat().st_ino for p in self._folder.iterdir()}
        present = {p.stat().st_ino: p.read_bytes() for p in self._folder.iterdir()}
        names = sorted(self._names.keys() | now.keys())
        for inodes in itertools.product(*({self._names.get(name), now.get(name)} for name in names)):
            there = [(name, inode) for name, inode in zip(names, inodes, strict=True) if inode is not None]
            for contents in itertools.product(*(self._may_be(inode, present) for _, inode in there)):
                yield {name: content for (name, _), content in zip(there, contents, strict=True)}

    def _may_be(self, inode: int, present: dict[int, bytes]) -> set[bytes]:
        durable = self._contents.get(inode, b"")
        newest = present.get(inode, durable)
        if newest == durable:
            return {durable}
        return {durable, newest, newest[: len(newest) // 2], bytes(len(newest))}

    def close(self) -> None:
        for fd in self._held:
            os.close(fd)


def lay_out(files: Files, folder: Path) -> None:
    """Make these files, and no others."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
