"""Exports of a database in a real S3 server, and imports of them."""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import io
import os
import shutil
import signal
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.application import PASSWORD, USER, begin, run, server_of
from tests.integration.backup.database import Database
from tests.integration.certificates import HOST
from tests.integration.copies import Copy, give
from tests.integration.stores.store import BUCKET, PASSPHRASE, write

from aurora_operator.agent import transfer as process
from aurora_operator.agent.transfer import Transfer
from aurora_operator.api.base import names
from aurora_operator.api.spec.repository import Destination, VolumeDestination
from aurora_operator.postgres.errors import DataError, RepositoryError, Unavailable
from aurora_operator.postgres.export import exports
from aurora_operator.postgres.export.export_format import About
from aurora_operator.postgres.export.server import Server
from aurora_operator.postgres.pgbackrest.cipher import decrypt
from aurora_operator.postgres.pgbackrest.commands import PgBackRest

SMALL_PARTS = 10_000
FOLDER = Path("aurora/test/exports/monday")


@pytest.fixture
async def source(database: Database) -> Copy:
    return await begin(database.cluster)


@pytest.fixture
async def filled(source: Copy) -> Copy:
    """With what does not compress, with a table that has nothing in it, and with large objects."""
    await run(source, "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS t FROM generate_series(1, 4000) g")
    await run(source, "CREATE TABLE nothing (id int)")
    await run(source, "SELECT lo_from_bytea(0, convert_to(md5(g::text), 'UTF8')) FROM generate_series(1, 20) g")
    return source


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "publish", functools.partial(exports.publish, part_bytes=SMALL_PARTS))


def transfer(copy: Copy, database: str = "app", said: list[str] | None = None) -> Transfer:
    return Transfer(copy.tools, server_of(copy), database, 2, (said if said is not None else []).append)


def scratch(copy: Copy, name: str) -> Path:
    folder = copy.layout.run.parent / f"scratch-{name}"
    folder.mkdir()
    give(copy.tools, folder)
    return folder


async def export(database: Database, copy: Copy, name: str = "monday", *, said: list[str] | None = None) -> None:
    repository = database.repository(copy.layout)
    await transfer(copy, said=said).export_to(repository, name, "demo", scratch(copy, f"out-{name}"))


async def test_what_went_out_comes_in_again(database: Database, filled: Copy, small_parts: None) -> None:
    out: list[str] = []
    back: list[str] = []
    await export(database, filled, said=out)
    assert any(line.startswith("2 of 2 tables") for line in out)
    assert out[-1].startswith("uploaded 0 of 1 MiB")
    stored = {path.name: path for path in (database.store.root / "data" / BUCKET / FOLDER).rglob("*") if path.is_file()}
    parts = sorted(path for name, path in stored.items() if name.startswith("part-"))
    assert len(parts) > 4
    (entry,) = await exports.entries(database.repository(filled.layout))
    assert entry.complete and (entry.name, entry.cluster, entry.database) == ("monday", "demo", "app")
    # Without us: parts, decrypted, are a tar file of what pg_dump made.
    with tarfile.open(fileobj=io.BytesIO(b"".join(decrypt(path.read_bytes(), PASSPHRASE) for path in parts))) as tar:
        inside = tar.getnames()
        assert sum(member.size for member in tar.getmembers()) == entry.size
    assert "toc.dat" in inside and sum(name.startswith("blob_") for name in inside) == 20

    # Another cluster, of the same destination.
    database.stanza = "other-87654321"
    await transfer(filled, "again", back).import_from(
        database.repository(filled.layout), "monday", scratch(filled, "in")
    )
    assert any(line.startswith("downloaded 0 of 1 MiB") for line in back) and back[-1].startswith("2 of 2 tables")
    for query in (
        "SELECT count(*), md5(string_agg(t.*::text, ',' ORDER BY id)) FROM t",
        "SELECT count(*), md5(string_agg(lo_get(oid)::text, ',' ORDER BY oid)) FROM pg_largeobject_metadata",
        "SELECT count(*) FROM nothing",
    ):
        assert await run(filled, query, "again") == await run(filled, query)


async def test_nothing_is_overwritten(database: Database, filled: Copy) -> None:
    await export(database, filled)
    before = _digests(database)
    with pytest.raises(DataError, match="export monday exists: an export never overwrites another one"):
        await transfer(filled).export_to(
            database.repository(filled.layout), "monday", "demo", scratch(filled, "once-more")
        )
    with pytest.raises(DataError, match="holds 2 tables: an import begins with an empty one"):
        await transfer(filled).import_from(database.repository(filled.layout), "monday", scratch(filled, "in"))
    assert _digests(database) == before


async def test_of_two_at_once_at_most_one_has_the_name(database: Database, filled: Copy) -> None:
    first = database.repository(filled.layout)
    repositories = [replace(first, access=replace(first.access, called=called)) for called in ("one", "other")]
    for repository in repositories:
        # One after the other: root makes the folder they share, and gives it to the server's user afterwards.
        repository.configure()
    results = await asyncio.gather(
        *(
            transfer(filled).export_to(repository, "monday", "demo", scratch(filled, f"both-{n}"))
            for n, repository in enumerate(repositories)
        ),
        return_exceptions=True,
    )
    won = [result for result in results if result is None]
    assert len(won) <= 1 and all(isinstance(result, DataError) for result in results if result is not None), results
    found = await exports.entries(repositories[0])
    assert [entry.complete for entry in found] == [True] * len(won)


async def test_one_that_is_called_off_leaves_nothing(
    database: Database, filled: Copy, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kubernetes calls a Job off: by a signal to its process."""
    secret = scratch(filled, "app")
    for name, text in (("username", USER), ("password", PASSWORD)):
        (secret / name).write_text(text)
    shutil.copy(filled.layout.tls / "ca.crt", secret)
    give(filled.tools, secret)
    stored: list[str] = []

    def say(text: str) -> None:
        stored.extend(name for name in database.store.files() if "begun-" in name)
        if "tables in" in text:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(names, "APP_MOUNT", str(secret))
    monkeypatch.setattr(process, "Tools", lambda: filled.tools)
    monkeypatch.setattr(process, "Server", functools.partial(Server, address=filled.address))
    monkeypatch.setattr(process, "_repository", lambda tools: database.repository(filled.layout))
    monkeypatch.setattr(process, "_say", say)
    words = {"verb": "export", "cluster": "demo", "database": "app", "name": "monday", "host": [HOST], "jobs": 2}
    options = argparse.Namespace(**words, path=scratch(filled, "out"), other_locale=False)
    try:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(process._run(options))
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    assert stored and [name for name in database.store.files() if "exports" in name] == []


async def test_a_failed_dump_leaves_nothing(database: Database, source: Copy) -> None:
    work = transfer(source)
    work.server = replace(work.server, password="not this one")
    with pytest.raises(Unavailable, match="password authentication failed"):
        await work.export_to(database.repository(source.layout), "monday", "demo", scratch(source, "out"))
    assert [name for name in database.store.files() if "exports" in name] == []


async def test_one_that_was_cut_off_is_not_imported_and_can_be_removed(
    database: Database, filled: Copy, small_parts: None
) -> None:
    repository = database.repository(filled.layout)
    impatient = replace(repository.access, more={"io-timeout": "1"})
    repository = replace(repository, access=impatient)

    def cut(done: int, total: int) -> None:
        if done > total / 2:
            database.store.stop()

    repository.configure()
    dump = scratch(filled, "out") / "dump"
    await transfer(filled).export_folder(dump)
    with pytest.raises(RepositoryError) as lost:
        async with exports.claimed(repository, "monday"):
            about = About("demo", "app", "17.6")
            await exports.publish(repository, "monday", dump, about, datetime.now(UTC), on_progress=cut)
    assert lost.value.cause == "unreachable"
    database.store.start()
    (entry,) = await exports.entries(repository)
    assert not entry.complete and entry.problem == "it is being made, or was cut off"
    with pytest.raises(DataError, match="export monday is not complete"):
        await transfer(filled, "again").import_from(repository, "monday", scratch(filled, "in"))
    with pytest.raises(DataError, match="choose another name, or remove it first"):
        await transfer(filled).export_to(repository, "monday", "demo", scratch(filled, "again"))
    await exports.remove(repository, "monday")
    assert [name for name in database.store.files() if "exports" in name] == []
    with pytest.raises(DataError, match="there is no export monday"):
        await exports.remove(repository, "monday")


async def test_what_is_damaged_or_missing_is_not_imported(database: Database, filled: Copy, small_parts: None) -> None:
    await export(database, filled)
    repository = database.repository(filled.layout)
    part = database.store.root / "data" / BUCKET / FOLDER / "data" / "part-000002"
    content = bytearray(part.read_bytes())
    content[5000] ^= 1
    part.write_bytes(bytes(content))
    with pytest.raises(RepositoryError, match="part-000002 of export monday is damaged") as damaged:
        await transfer(filled, "again").import_from(repository, "monday", scratch(filled, "damaged"))
    assert damaged.value.cause == "damaged"
    part.unlink()
    with pytest.raises(DataError, match="not complete: 1 parts are missing, such as part-000002"):
        await transfer(filled, "again").import_from(repository, "monday", scratch(filled, "missing"))
    assert await run(filled, "SELECT 1 FROM pg_database WHERE datname = 'again'") == []
    (entry,) = await exports.entries(repository)
    assert not entry.complete and entry.problem == "1 parts are missing, such as part-000002"


async def test_another_passphrase_is_told_as_such(database: Database, filled: Copy) -> None:
    await export(database, filled)
    repository = database.repository(filled.layout)
    write(repository.access.mount, {"encryption/passphrase": "not this one"})
    give(filled.tools, repository.access.mount)
    with pytest.raises(RepositoryError, match="cannot be decrypted with this passphrase") as wrong:
        await transfer(filled, "again").import_from(repository, "monday", scratch(filled, "in"))
    assert wrong.value.cause == "passphrase"
    plain = replace(repository, access=replace(repository.access, repository=_plain(repository)))
    with pytest.raises(DataError, match=r"is encrypted, and spec\.backup\.encryption is not set"):
        await transfer(filled, "again").import_from(plain, "monday", scratch(filled, "plain"))


def _plain(repository: PgBackRest) -> Any:
    return repository.access.repository.model_copy(update={"encryption": None})


@pytest.mark.parametrize("kind", ["s3", "volume"])
async def test_without_encryption(database: Database, filled: Copy, kind: str) -> None:
    repository = database.repository(filled.layout)
    described = _plain(repository)
    if kind == "volume":
        volume = repository.access.mount / "volume"
        volume.mkdir()
        give(filled.tools, volume)
        destination = Destination(volume=VolumeDestination(claim_name="backups"), path="/aurora/test")
        described = described.model_copy(update={"destination": destination})
    plain = replace(repository, access=replace(repository.access, repository=described))
    await transfer(filled).export_to(plain, "monday", "demo", scratch(filled, "out"))
    await transfer(filled, "again").import_from(plain, "monday", scratch(filled, "in"))
    assert await run(filled, "SELECT count(*) FROM t", "again") == [(4000,)]
    await exports.remove(plain, "monday")
    assert await exports.entries(plain) == []


def _digests(database: Database) -> dict[str, str]:
    root = database.store.root / "data" / BUCKET / FOLDER
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}
