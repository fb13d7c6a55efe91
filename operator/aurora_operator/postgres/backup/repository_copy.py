"""A snapshot's repository, copied to another destination: file by file, as it is stored, encrypted or not.

pgBackRest itself copies nothing between repositories; but it can read and write a file of any kind of destination.
What says that the snapshot is complete goes last, and only when all else is there in the right size.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Final

from aurora_operator.postgres.backup.snapshot import MARK, Kept, find
from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.pgbackrest.commands import PgBackRest, explain
from aurora_operator.postgres.pgbackrest.streams import FILE_SECONDS, started

AT_ONCE: Final = 4
Progress = Callable[[int, int], None]
"""Called with bytes done and in all."""


async def copy(source: PgBackRest, target: PgBackRest, *, on_progress: Progress = lambda done, total: None) -> Kept:
    """Copy a complete snapshot; what is there already, in its size, is not copied again. `source` is only read.

    Raises RepositoryError, OSError.
    """
    for repository in (source, target):
        await asyncio.to_thread(repository.configure)
    kept = await find(source)
    if kept is None:
        raise RepositoryError("other", f"there is no complete snapshot in {source.access.repository.destination.path}")
    sizes = await _sizes(source)
    there = await _sizes(target)
    missing = [name for name, size in sizes.items() if there.get(name) != size]
    total = sum(sizes.values())
    done = total - sum(sizes[name] for name in missing)
    on_progress(done, total)
    free = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        nonlocal done
        async with free:
            await _copy_file(source, target, name)
            done += sizes[name]
            on_progress(done, total)

    try:
        async with asyncio.TaskGroup() as group:
            for name in missing:
                group.create_task(one(name))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    # A file whose reading broke off has been stored as far as it was read.
    _compare(sizes, await _sizes(target))
    await _copy_file(source, target, MARK)
    if await find(target) != kept:
        raise RepositoryError("other", "the copy is not what was copied")
    if kept.label not in [backup.label for backup in (await target.info()).backups]:
        raise RepositoryError("other", f"pgBackRest does not find backup {kept.label} in the copy")
    return kept


async def remove(repository: PgBackRest) -> None:
    """Remove all below a repository's path; nothing to do where nothing is there. Raises RepositoryError, OSError."""
    await asyncio.to_thread(repository.configure)
    await repository.remove_all()


async def _sizes(repository: PgBackRest) -> dict[str, int]:
    """Of all files but `MARK`."""
    return {entry.name: entry.size for entry in await repository.list("") if entry.name != MARK}


def _compare(sizes: Mapping[str, int], there: Mapping[str, int]) -> None:
    wrong = sorted(name for name, size in sizes.items() if there.get(name) != size)
    if wrong:
        raise RepositoryError("other", f"{len(wrong)} files of the copy are not as they should be, such as {wrong[0]}")


async def _copy_file(source: PgBackRest, target: PgBackRest, name: str) -> None:
    """Through a pipe: files are as large as a table's segment."""
    async with contextlib.AsyncExitStack() as running, asyncio.timeout(FILE_SECONDS):
        reading, writing = os.pipe()
        try:
            get = await running.enter_async_context(started(source, "repo-get", "--raw", name, stdout=writing))
            put = await running.enter_async_context(started(target, "repo-put", "--raw", name, stdin=reading))
        finally:
            os.close(reading)
            os.close(writing)
        said = await asyncio.gather(get.stderr.read(), put.stderr.read())
        codes = (await get.wait(), await put.wait())
    for code, text in zip(codes, said, strict=True):
        if code != 0:
            raise explain(text.decode(errors="replace"), code)
