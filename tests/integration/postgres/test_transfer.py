"""Logical export and import with real pg_dump and pg_restore, over TLS as the master user."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.application import PASSWORD, USER, begin, run, server_of
from tests.integration.certificates import HOST
from tests.integration.copies import Cluster, Copy, give
from tests.integration.stores.store import write

from aurora_operator.agent import transfer as process
from aurora_operator.agent.transfer import Transfer
from aurora_operator.api.base import names
from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.errors import DataError, ToolError, Unavailable
from aurora_operator.postgres.export.locales import Locale
from aurora_operator.postgres.export.server import Server, started
from aurora_operator.postgres.export.servers import Servers
from aurora_operator.postgres.export.transfer import _ensure_database, export_database, import_database
from aurora_operator.postgres.sql.session import Session


@pytest.fixture
async def source(cluster: Cluster) -> Copy:
    return await begin(cluster)


def _ignore(done: int, total: int, table: str) -> None:
    """Nobody looks."""


async def test_a_database_goes_out_and_comes_in_again(source: Copy, root: Path) -> None:
    for number in range(4):
        await run(source, f"CREATE TABLE t{number} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text)")
        await run(source, f"INSERT INTO t{number} (t) SELECT 'ä' || g FROM generate_series(1, 1000) g")
    await run(source, "CREATE VIEW v AS SELECT count(*) AS c FROM t1")
    server, out, back = server_of(source), list[tuple[int, int, str]](), list[tuple[int, int, str]]()
    folder = root / "export"
    await export_database(source.tools, server, "app", folder, jobs=2, on_progress=lambda *now: out.append(now))
    done = [tables for tables, _, _ in out]
    assert done == sorted(done) and done[-1] == 4 and {total for _, total, _ in out} == {4}
    assert not folder.with_name("export.partial").exists()
    await import_database(source.tools, server, "again", folder, jobs=2, on_progress=lambda *now: back.append(now))
    assert back[-1][:2] == (4, 4) and {total for _, total, _ in back} == {4}
    for number in range(4):
        query = f"SELECT md5(string_agg(t.*::text, ',' ORDER BY id)) FROM t{number} t"
        assert await run(source, query, "again") == await run(source, query)
    assert await run(source, "SELECT c FROM v", "again") == [(1000,)]
    # Sequences go on where they were.
    assert await run(source, "INSERT INTO t1 (t) VALUES ('x') RETURNING id", "again") == [(1001,)]


async def test_a_database_of_any_name_goes_out_and_comes_in_again(source: Copy, root: Path) -> None:
    name, server, folder = 'Shop=1 "ü"', server_of(source), root / "export"
    await run(source, 'CREATE DATABASE "Shop=1 ""ü"""')
    await run(source, "CREATE TABLE kept AS SELECT 1 AS id", name)
    await export_database(source.tools, server, name, folder, jobs=2, on_progress=_ignore)
    await run(source, 'DROP DATABASE "Shop=1 ""ü"""')
    await import_database(source.tools, server, name, folder, jobs=2, on_progress=_ignore)
    assert await run(source, "SELECT id FROM kept", name) == [(1,)]
    with pytest.raises(DataError, match="has up to 63 bytes"):
        await import_database(source.tools, server, "ü" * 32, folder, jobs=2, on_progress=_ignore)


async def test_text_is_compared_as_it_was(source: Copy, root: Path) -> None:
    """PostgreSQL's own C knows ASCII letters alone, its C.UTF-8 all of them."""
    server, folder = server_of(source), root / "export"
    await run(source, "CREATE DATABASE plain TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C' LOCALE 'C'")
    await run(source, "CREATE TABLE words AS SELECT 'aä' AS word", "plain")
    await export_database(source.tools, server, "plain", folder, jobs=2, on_progress=_ignore)
    await import_database(source.tools, server, "again", folder, jobs=2, on_progress=_ignore)
    upper = "SELECT upper(word) FROM words"
    assert await run(source, upper, "again") == await run(source, upper, "plain") == [("Aä",)]
    kept = "SELECT datlocprovider, datlocale, datcollate, encoding FROM pg_database WHERE datname = '{}'"
    assert await run(source, kept.format("again")) == await run(source, kept.format("plain"))
    # One that is there already, and empty, does otherwise.
    with pytest.raises(DataError, match=r"by UTF8, builtin C\.UTF-8, and the export by UTF8, builtin C: drop it"):
        await import_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)
    assert await run(source, "SELECT 1 FROM pg_class WHERE relname = 'words'") == []
    await import_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore, other_locale=True)
    assert await run(source, upper) == [("AÄ",)]


async def test_a_locale_that_the_server_does_not_have_is_said(source: Copy) -> None:
    server = server_of(source)
    elsewhere = Locale("UTF8", "libc", "xx_XX.UTF-8", "xx_XX.UTF-8")
    with pytest.raises(DataError, match=r"cannot make the database again with .* libc xx_XX.UTF-8: .*--other-locale"):
        await _ensure_database(server, "again", elsewhere, other_locale=False)
    assert await run(source, "SELECT 1 FROM pg_database WHERE datname = 'again'") == []


@contextlib.asynccontextmanager
async def superuser(copy: Copy, database: str = "app") -> AsyncIterator[Session]:
    session = Session(copy.layout.run, dbname=database, timeout=20)
    try:
        yield session
    finally:
        await session.close()


async def test_what_may_not_be_read_is_listed_before_anything_is_written(source: Copy, root: Path) -> None:
    server, folder = server_of(source), root / "export"
    await run(source, "CREATE TABLE fine AS SELECT 1 AS id")
    async with superuser(source) as session:
        for statement in (
            'CREATE ROLE "Other"',
            "CREATE TABLE public.hidden (id int)",
            "ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY",
            'ALTER TABLE public.hidden OWNER TO "Other"',
            "SELECT lo_create(4711)",
            'ALTER LARGE OBJECT 4711 OWNER TO "Other"',
            "REVOKE pg_read_all_data, pg_write_all_data FROM app",
            'CREATE SCHEMA "a b"',
            'CREATE TABLE "a b".closed (id serial)',
            "CREATE EXTENSION pg_stat_statements SCHEMA public",  # its own are none that pg_dump reads
        ):
            await session.rows(statement)
    with pytest.raises(DataError) as refused:
        await export_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)
    assert str(refused.value).splitlines() == [
        "app cannot read all of database app, so nothing is exported; as superuser (aurora psql):",
        '- large objects of Other may not be read, 1 in all, such as 4711: GRANT "Other" TO "app"',
        '- rows of table public.hidden are hidden by its row security: GRANT "Other" TO "app"',
        '- schema "a b" may not be used: GRANT USAGE ON SCHEMA "a b" TO "app"',
        '- sequence "a b".closed_id_seq may not be read: GRANT SELECT ON SEQUENCE "a b".closed_id_seq TO "app"',
        '- table "a b".closed may not be read: GRANT SELECT ON "a b".closed TO "app"',
        '- table public.hidden may not be read: GRANT SELECT ON public.hidden TO "app"',
    ]
    assert not folder.exists() and not folder.with_name("export.partial").exists()
    # What it says is what helps.
    async with superuser(source) as session:
        for line in str(refused.value).splitlines()[1:]:
            await session.rows(line.rpartition(": ")[2])
    await export_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)
    assert folder.is_dir()


async def test_what_cannot_be_created_is_listed_before_anything_is_written(source: Copy, root: Path) -> None:
    server, folder = server_of(source), root / "export"
    async with superuser(source) as session:
        for statement in (
            "CREATE ROLE gone",
            'CREATE ROLE "also gone"',
            "CREATE EXTENSION pg_visibility SCHEMA public",
            "CREATE EXTENSION hstore SCHEMA public",
        ):
            await session.rows(statement)
    for statement in (
        "CREATE TABLE kept AS SELECT 1 AS id, 'a=>1'::hstore AS h",
        "GRANT SELECT ON kept TO gone",
        "SELECT lo_from_bytea(4711, 'x')",
        'GRANT SELECT ON LARGE OBJECT 4711 TO "also gone"',
        "CREATE VIEW v AS SELECT * FROM pg_visibility_map('kept'::regclass, 0)",
    ):
        await run(source, statement)
    await export_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)
    async with superuser(source, "postgres") as session:
        for statement in ("DROP DATABASE app", "DROP ROLE gone", 'DROP ROLE "also gone"'):
            await session.rows(statement)
    with pytest.raises(DataError) as refused:
        await import_database(source.tools, server, "again", folder, jobs=2, on_progress=_ignore)
    assert str(refused.value).splitlines() == [
        "app cannot create all that the export holds, so nothing is imported:",
        "- only a superuser may create extension pg_visibility: make the database again yourself, then CREATE EXTENSION"
        ' "pg_visibility" in it as superuser (aurora psql)',
        '- there is no role gone, which grants, policies or mappings name: CREATE ROLE "gone"',
        '- there is no role also gone, which grants, policies or mappings name: CREATE ROLE "also gone"',
    ]
    async with superuser(source, "postgres") as session:
        assert await session.rows("SELECT FROM pg_database WHERE datname = 'again'") == []
        for statement in ("CREATE DATABASE again OWNER app", 'CREATE ROLE "gone"', 'CREATE ROLE "also gone"'):
            await session.rows(statement)
    async with superuser(source, "again") as session:
        await session.rows('CREATE EXTENSION "pg_visibility" SCHEMA public')
    await import_database(source.tools, server, "again", folder, jobs=2, on_progress=_ignore)
    assert await run(source, "SELECT id, h -> 'a' FROM kept", "again") == [(1, "1")]
    granted = "SELECT has_table_privilege('gone', 'kept', 'SELECT'), lomacl::text FROM pg_largeobject_metadata"
    ((reads, grants),) = await run(source, granted, "again")
    assert reads and 'also gone\\"=r/app' in grants


async def _fail(server: Server) -> None:
    raise ToolError("pg_dump", 1, "the server closed the connection unexpectedly")


async def test_another_server_takes_over_where_one_does_not_answer(
    source: Copy, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the Job's process does it, with a server that is not there and one that is."""
    await run(source, "CREATE TABLE kept AS SELECT 1 AS id")
    nobody, secret, folder = "127.234.240.254", root / "secret", root / "export"
    write(secret, {"username": USER, "password": PASSWORD, "ca.crt": (source.layout.tls / "ca.crt").read_text()})
    give(source.tools, secret)
    addresses = iter([nobody, source.address, source.address])
    monkeypatch.setattr(names, "APP_MOUNT", str(secret))
    monkeypatch.setattr(process, "Tools", lambda: source.tools)
    monkeypatch.setattr(process, "Server", lambda *words: replace(Server(*words), address=next(addresses)))
    words = {"cluster": "demo", "name": None, "path": folder, "jobs": 2, "other_locale": False}
    await process._run(argparse.Namespace(verb="export", database="app", host=[HOST, HOST], **words))
    await process._run(argparse.Namespace(verb="import", database="again", host=[HOST], **words))
    assert await run(source, "SELECT id FROM kept", "again") == [(1,)]


async def test_an_export_begins_anew_where_its_server_restarts(source: Copy, root: Path) -> None:
    await run(source, "CREATE TABLE kept AS SELECT 1 AS id")
    folder, said, lives = root / "export", list[str](), list[str]()

    async def work(server: Server) -> None:
        lives.append(await started(server, "app"))
        if len(lives) == 1:
            await source.restart_clean()
            raise ToolError("pg_dump", 1, "the server closed the connection unexpectedly")
        await export_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)

    await Servers([server_of(source)], "app", said.append, patience=30).persist(work)
    assert len(set(lives)) == 2 and folder.is_dir()
    assert "has gone, so it begins anew: pg_dump ended with 1" in said[0]
    # One that stays is believed.
    with pytest.raises(ToolError):
        await Servers([server_of(source)], "app", said.append, patience=30).persist(_fail)
    assert len(said) == 1


async def test_unlogged_tables_are_read_at_the_writer(source: Copy, cluster: Cluster, root: Path) -> None:
    await run(source, "CREATE UNLOGGED TABLE fast AS SELECT 1 AS id")
    reader = cluster.blank()
    await reader.clone_from(source, verify=False)
    reader.configure(Runtime(source=source.source))
    await reader.start()
    alone = Transfer(source.tools, server_of(reader), "app", 2, lambda _: None)
    with pytest.raises(DataError, match=r"- table public\.fast is unlogged, so its rows are at the writer only"):
        await alone.export_folder(root / "nothing")
    await replace(alone, others=(server_of(source),)).export_folder(root / "export")
    await import_database(source.tools, server_of(source), "again", root / "export", jobs=2, on_progress=_ignore)
    assert await run(source, "SELECT id FROM fast", "again") == [(1,)]


async def test_what_is_of_the_whole_database_is_said(source: Copy, root: Path) -> None:
    server, folder, said = server_of(source), root / "export", list[str]()
    for statement in (
        "ALTER DATABASE app SET work_mem = '10MB'",
        "ALTER ROLE app IN DATABASE app SET work_mem = '11MB'",
        "REVOKE CONNECT ON DATABASE app FROM PUBLIC",
    ):
        await run(source, statement)
    await export_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore, warn=said.append)
    assert said == []
    await import_database(source.tools, server, "again", folder, jobs=2, on_progress=_ignore, warn=said.append)
    assert sorted(line.partition(" whole database: ")[2] for line in said) == [
        "ALTER DATABASE app SET work_mem TO '10MB';",
        "ALTER ROLE app IN DATABASE app SET work_mem TO '11MB';",
        "GRANT TEMPORARY ON DATABASE app TO PUBLIC;",
        "REVOKE CONNECT,TEMPORARY ON DATABASE app FROM PUBLIC;",
    ]


async def test_nothing_is_overwritten(source: Copy, root: Path) -> None:
    await run(source, "CREATE TABLE kept AS SELECT 1 AS id")
    server, folder = server_of(source), root / "export"
    await export_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)
    with pytest.raises(DataError, match="never overwrites another one"):
        await export_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)
    with pytest.raises(DataError, match="holds 1 tables: an import begins with an empty one"):
        await import_database(source.tools, server, "app", folder, jobs=2, on_progress=_ignore)
    assert await run(source, "SELECT id FROM kept") == [(1,)]


async def test_what_fails_leaves_no_export(source: Copy, root: Path) -> None:
    server, folder = server_of(source), root / "export"
    with pytest.raises(Unavailable, match="password authentication failed") as caught:
        wrong = replace(server, password="not this one")
        await export_database(source.tools, wrong, "app", folder, jobs=2, on_progress=_ignore)
    assert "not this one" not in str(caught.value)
    with pytest.raises(ToolError):
        await import_database(source.tools, server, "app", root / "nothing", jobs=2, on_progress=_ignore)
    assert not folder.exists()
