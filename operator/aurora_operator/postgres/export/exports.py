"""Exports of databases in the destination of backups: PATH/exports/NAME/, beside what pgBackRest keeps there.

`begun-…` says that somebody makes it, `data/` holds its parts; `manifest.json` comes last, and makes it complete.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from aurora_operator.api.agent.exports import NAME, NAME_RULE, ExportEntry
from aurora_operator.api.base.base import to_second
from aurora_operator.postgres.errors import DataError, PostgresError, RepositoryError
from aurora_operator.postgres.export import export_folder
from aurora_operator.postgres.export.export_format import (
    PART_BYTES,
    About,
    Manifest,
    Part,
    Span,
    cut,
    length,
    missing,
    pack,
    part_name,
    tar_size,
    unpack,
)
from aurora_operator.postgres.files import make_directory
from aurora_operator.postgres.pgbackrest import streams
from aurora_operator.postgres.pgbackrest.commands import Entry, PgBackRest

log = logging.getLogger(__name__)

FOLDER: Final = "exports"
MANIFEST: Final = "manifest.json"
DATA: Final = "data"
AT_ONCE: Final = 4
_BEGUN: Final = "begun-"
_REMOVAL_SECONDS: Final = 3600.0

Progress = Callable[[int, int], None]
"""Called with bytes done and in all."""
T = TypeVar("T")


@contextlib.asynccontextmanager
async def claimed(repository: PgBackRest, name: str) -> AsyncIterator[None]:
    """A name for an export that nobody else has, made meanwhile by `publish`. All that is stored under it is removed if
    that fails. Raises DataError if there is something already, RepositoryError.

    Of two who begin at once, each sees what the other one has put: one of them gives way, or both.
    """
    folder, mark = _folder(name), f"{_BEGUN}{secrets.token_hex(4)}"
    _refuse(name, await repository.list(folder))
    try:
        await repository.put(f"{folder}/{mark}", f"{to_second(datetime.now(UTC))}\n".encode())
        there = await repository.list(folder)
        _refuse(name, [entry for entry in there if entry.name != mark])
        if not there:
            raise RepositoryError("other", f"what is put into {folder} does not stay there")
    except BaseException:
        await _undo(repository, name, [f"{folder}/{mark}"])
        raise
    try:
        yield
    except BaseException:
        await _undo(repository, name, [f"{folder}/{MANIFEST}", f"{folder}/{DATA}", f"{folder}/{mark}"])
        raise


async def publish(
    repository: PgBackRest,
    name: str,
    source: Path,
    about: About,
    time: datetime,
    *,
    on_progress: Progress,
    part_bytes: int = PART_BYTES,
) -> Manifest:
    """Store pg_dump's folder `source` under a name that is `claimed`. Raises RepositoryError, DataError, OSError."""
    files = await asyncio.to_thread(export_folder.files, source)
    done, total = 0, tar_size(files)
    parts: dict[int, Part] = {}

    async def one(numbered: tuple[int, tuple[Span, ...]]) -> None:
        nonlocal done
        number, part = numbered
        digest = hashlib.sha256()

        async def content() -> AsyncIterator[bytes]:
            nonlocal done
            async for chunk in export_folder.read(source, part):
                digest.update(chunk)
                yield chunk
                done += len(chunk)
                on_progress(done, total)

        await streams.put(repository, _path(name, part_name(number)), content())
        parts[number] = Part(part_name(number), length(part), digest.hexdigest())

    await _spread(enumerate(cut(files, part_bytes)), one)
    moment = time.astimezone(UTC).replace(microsecond=0)
    manifest = Manifest(name, moment, about, files, tuple(parts[n] for n in sorted(parts)), part_bytes)
    gone = await _missing(repository, manifest)
    if gone:
        raise RepositoryError("other", f"{len(gone)} parts are not stored as they should be, such as {gone[0]}")
    await repository.put(f"{_folder(name)}/{MANIFEST}", pack(manifest))
    if await find(repository, name) != manifest:
        raise RepositoryError("other", "the manifest is not what was stored")
    return manifest


async def find(repository: PgBackRest, name: str) -> Manifest:
    """A complete export. Raises DataError where there is none, RepositoryError."""
    there = {entry.name for entry in await repository.list(_folder(name), below=False)}
    if not there:
        raise DataError(f"there is no export {name}")
    if MANIFEST not in there:
        raise DataError(f"export {name} is not complete: it is being made, or was cut off")
    return unpack(await repository.get(f"{_folder(name)}/{MANIFEST}"))


async def fetch(repository: PgBackRest, manifest: Manifest, target: Path, *, on_progress: Progress) -> None:
    """Fill the new folder `target` as pg_dump did. Raises RepositoryError (`damaged` for a wrong checksum), DataError
    (parts are missing), OSError."""
    gone = await _missing(repository, manifest)
    if gone:
        raise DataError(f"export {manifest.name} is not complete: {len(gone)} parts are missing, such as {gone[0]}")
    await asyncio.to_thread(make_directory, target)
    done, total = 0, tar_size(manifest.files)

    async def one(wanted: tuple[Part, tuple[Span, ...]]) -> None:
        nonlocal done
        part, layout = wanted
        digest, writer = hashlib.sha256(), export_folder.Writer(target, layout)
        try:
            async with contextlib.aclosing(streams.get(repository, _path(manifest.name, part.name))) as content:
                async for chunk in content:
                    digest.update(chunk)
                    await asyncio.to_thread(writer.write, chunk)
                    done += len(chunk)
                    on_progress(done, total)
        except RepositoryError as error:
            if error.cause != "passphrase":
                raise
            # Whoever has read the manifest has the right one.
            raise RepositoryError("damaged", f"{part.name} of export {manifest.name} is damaged") from error
        finally:
            writer.close()
        if digest.hexdigest() != part.sha256:
            raise RepositoryError("damaged", f"{part.name} of export {manifest.name} is damaged: its checksum is wrong")

    await _spread(zip(manifest.parts, cut(manifest.files, manifest.part_bytes), strict=True), one)
    for file in manifest.files:
        if not file.size:
            (target / file.name).touch()


async def entries(repository: PgBackRest, only: str | None = None) -> list[ExportEntry]:
    """All exports, or one, by name; those that are not complete too. Raises DataError for a wrong name,
    RepositoryError."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in await repository.list(FOLDER if only is None else _folder(only)):
        path = entry.name if only is None else f"{only}/{entry.name}"
        name, _, rest = path.partition("/")
        found[name].append(Entry(rest, entry.size, entry.time))
    return [await _entry(repository, name, files) for name, files in sorted(found.items()) if NAME.fullmatch(name)]


async def remove(repository: PgBackRest, name: str) -> None:
    """Remove an export, complete or not. Raises DataError where there is none, RepositoryError."""
    if not await repository.list(_folder(name)):
        raise DataError(f"there is no export {name}")
    # First what makes it complete: nobody takes half of it for the whole.
    await repository.remove_file(f"{_folder(name)}/{MANIFEST}")
    await repository.remove(_folder(name), timeout=_REMOVAL_SECONDS)


async def _entry(repository: PgBackRest, name: str, files: list[Entry]) -> ExportEntry:
    time = datetime.fromtimestamp(min(file.time for file in files), UTC)
    if not any(file.name == MANIFEST for file in files):
        return ExportEntry(name=name, complete=False, time=time, problem="it is being made, or was cut off")
    try:
        manifest = unpack(await repository.get(f"{_folder(name)}/{MANIFEST}"))
    except PostgresError as error:
        return ExportEntry(name=name, complete=False, time=time, problem=str(error))
    gone = missing(manifest, _stored(files, f"{DATA}/"), encrypted=_encrypted(repository))
    return ExportEntry(
        name=name,
        complete=not gone,
        time=manifest.time,
        cluster=manifest.about.cluster,
        database=manifest.about.database,
        engine_version=manifest.about.engine_version,
        size=manifest.size,
        problem=f"{len(gone)} parts are missing, such as {gone[0]}" if gone else None,
    )


def _refuse(name: str, there: Iterable[Entry]) -> None:
    found = [entry.name for entry in there]
    if MANIFEST in found:
        raise DataError(f"export {name} exists: an export never overwrites another one; choose another name")
    if found:
        raise DataError(f"export {name} is being made, or was cut off: choose another name, or remove it first")


async def _undo(repository: PgBackRest, name: str, paths: Iterable[str]) -> None:
    try:
        for path in paths:
            if path.endswith(f"/{DATA}"):
                await repository.remove(path, timeout=_REMOVAL_SECONDS)
            else:
                await repository.remove_file(path)
    except RepositoryError as error:
        log.warning("what was stored of export %s could not be removed: %s", name, error)


async def _missing(repository: PgBackRest, manifest: Manifest) -> list[str]:
    there = _stored(await repository.list(f"{_folder(manifest.name)}/{DATA}"))
    return missing(manifest, there, encrypted=_encrypted(repository))


def _stored(files: Iterable[Entry], prefix: str = "") -> dict[str, int]:
    return {file.name.removeprefix(prefix): file.size for file in files if file.name.startswith(prefix)}


def _encrypted(repository: PgBackRest) -> bool:
    return repository.access.repository.encryption is not None


def _folder(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise DataError(f"{name!r} is no name of an export: {NAME_RULE}")
    return f"{FOLDER}/{name}"


def _path(name: str, part: str) -> str:
    return f"{_folder(name)}/{DATA}/{part}"


async def _spread(items: Iterator[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Some at once, each begun when there is room for it."""

    async def worker() -> None:
        for item in items:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
