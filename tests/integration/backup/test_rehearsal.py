"""Rehearsals of a restore on real servers: what passes, what is found, and that the repository stays as it is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.backup.database import Database, archived, insert, now
from tests.integration.copies import Copy, Measured
from tests.integration.objects import ObjectStore
from tests.integration.stores.store import BUCKET

from aurora_operator.api.agent.rehearsal import RehearsalReport, Step
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.restore.rehearsing import Rehearsal, rehearsal_choices
from aurora_operator.postgres.server import processes


def rehearsal(
    database: Database, query: str | None = None, on_step: Callable[[Step, Layout], None] | None = None
) -> Rehearsal:
    copy = database.cluster.blank()
    restore = database.restorer(copy)
    ours, major = restore.choices, copy.major
    restore.choices = lambda minimums: rehearsal_choices(ours(minimums), major)
    hook = on_step or (lambda step, layout: None)
    return Rehearsal(restore, "app", query, on_step=lambda step: hook(step, copy.layout))


def contents(store: ObjectStore) -> dict[str, str]:
    root = store.root / "data" / BUCKET
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in store.files()}


async def backed_up(database: Database) -> Copy:
    """Rows in the backup, in an archived segment, and in the tail."""
    leader = await database.leader()
    archiver = await database.archiving(leader)
    await leader.session.rows("CREATE DATABASE other")
    await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    await insert(leader, 2)
    await archived(archiver)
    await archiver.store(now())
    return leader


async def test_passes_and_touches_nothing(database: Database, measured: Measured) -> None:
    leader = await backed_up(database)
    await leader.session.rows("CREATE SUBSCRIPTION s CONNECTION 'host=nowhere.test' PUBLICATION p WITH (connect=false)")
    before = contents(database.store)
    steps: list[Step] = []
    query = (
        "SELECT current_setting('max_logical_replication_workers') = '0' AND current_setting('is_superuser') = 'off'"
        " AND current_setting('transaction_read_only') = 'on' AND current_setting('archive_mode') = 'off'"
        " AND current_setting('listen_addresses') = '' AND NOT pg_is_in_recovery() AND current_user <> 'app'"
        " AND '100%' LIKE '1%' AND to_regclass('public.t') IS NULL;"
    )
    made = rehearsal(database, query, lambda step, _: steps.append(step))
    report = await made.run()
    assert (report.step, report.error) == ("done", None), report
    assert steps == ["restore", "checksums", "amcheck", "query", "done"]
    assert report.backup and report.lsn and report.last_commit and report.timeline and report.timeline > 34
    assert report.restore_seconds is not None and report.checksums
    measured("restore_s", report.restore_seconds)
    assert contents(database.store) == before
    assert not processes.of_data_directory(made.restore.layout.pgdata)


QUERIES = {
    "SELECT false": "returned false",
    "SELECT NULL::boolean": "returned NULL",
    "SELECT 1": "a value of type int",
    "SELECT true FROM generate_series(1, 2)": "returned several",
    "SELECT true WHERE false": "returned none",
    "SELECT nonsense": 'column "nonsense" does not exist',
    "SELECT true; SELECT true": "cannot insert multiple commands",
    "DROP TABLE t": "read-only transaction",
}


async def test_a_query_must_return_true(database: Database) -> None:
    """Each rehearsal is of the same backup, in a database of its own."""
    await backed_up(database)
    reports = await asyncio.gather(*(rehearsal(database, query).run() for query in QUERIES))
    for (query, words), report in zip(QUERIES.items(), reports, strict=True):
        assert report.step == "query" and report.error is not None and words in report.error, (query, report)


@pytest.mark.parametrize("where", ["first", "last"])
async def test_a_damaged_file_in_the_repository_is_found(database: Database, where: str) -> None:
    await backed_up(database)
    root = database.store.root / "data" / BUCKET
    names = [name for name in database.store.files() if "/backup/" in name and "/bundle/" in name]
    damaged = root / max(names, key=lambda name: (root / name).stat().st_size)
    _damage(damaged, damaged.stat().st_size // 2 if where == "first" else damaged.stat().st_size - 20)
    report = await rehearsal(database).run()
    assert report.step == "restore" and report.error is not None
    assert report.cause == "damaged" and "damaged" in report.error


async def test_a_damaged_page_is_found(database: Database) -> None:
    leader = await backed_up(database)
    (path,) = await leader.session.row("SELECT pg_relation_filepath('public.t')")

    def on_step(step: Step, layout: Layout) -> None:
        if step == "checksums":
            _damage(layout.pgdata / path, 8000)

    report = await rehearsal(database, on_step=on_step).run()
    assert report.step == "checksums" and report.error is not None
    assert "checksum verification failed" in report.error and str(path) in report.error


async def test_an_index_that_lies_is_found(database: Database) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    function = "CREATE OR REPLACE FUNCTION public.f(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 {}'"
    for statement in (
        function.format("+ 1"),
        "INSERT INTO public.t (id) SELECT generate_series(1, 10)",
        "CREATE INDEX lying ON public.t (public.f(id))",
        function.format("* 2"),
    ):
        await leader.session.rows(statement)
    await archiver.pgbackrest.backup("full")
    await archiver.store(now())
    report = await rehearsal(database).run()
    assert report.step == "amcheck" and report.error is not None and "lying" in report.error


async def test_without_the_store_it_says_so(database: Database) -> None:
    database.lose_patience()
    await backed_up(database)
    made = rehearsal(database)
    database.store.stop()
    report = await made.run()
    assert (report.step, report.cause) == ("restore", "unreachable")


def test_a_long_answer_fits() -> None:
    report = RehearsalReport(step="amcheck", error="\N{PILE OF POO}x" * 3000, backup="20261125-020000F")
    message = report.to_message()
    assert len(message.encode()) <= 4096
    kept = RehearsalReport.model_validate_json(message)
    assert kept.backup == report.backup and kept.error is not None and kept.error.endswith("…")


def _damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        was = file.read(8)
        file.seek(at)
        file.write(bytes(byte ^ 0x55 for byte in was))
