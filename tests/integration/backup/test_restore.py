"""Backup and restore on real servers: pgBackRest, PostgreSQL, and an S3 server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta

import pytest
from tests.integration.backup.database import Database, archived, fill_segment, ids, insert, now, text
from tests.integration.copies import Measured

from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.config.parameters import Choice
from aurora_operator.postgres.errors import NotRestorable, RepositoryError
from aurora_operator.postgres.restore.restoring import restoring
from aurora_operator.postgres.wal import pg_wal


async def test_restores_to_the_latest_with_wal_that_fills_no_segment(database: Database, measured: Measured) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    await insert(leader, 2)
    await fill_segment(leader)
    await insert(leader, 3)
    await archived(archiver)
    started = now()
    await archiver.store(started)
    measured("store_tail_s", (now() - started).total_seconds())
    assert archiver.complete_at == started
    await insert(leader, 4)  # never stored
    await leader.server.stop("immediate", 3)

    copy, restored = await database.restore()
    assert await ids(copy) == [1, 2, 3]
    assert restored.timeline > 34
    assert not restoring(copy.layout).data.exists()
    assert not any("hunter" in name for name in database.store.files())


async def test_what_is_set_for_everybody_breaks_no_backup(database: Database) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    for name, value in (
        ("transaction_timeout", "1ms"),
        ("statement_timeout", "1ms"),
        ("idle_session_timeout", "1ms"),
        ("role", "app"),
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
        ("standard_conforming_strings", "off"),
    ):
        await leader.session.rows(f"ALTER ROLE ALL SET {name} = '{value}'".encode())  # type: ignore[arg-type]
    await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    await fill_segment(leader)
    await archived(archiver)
    await archiver.store(now())
    await leader.session.close()
    await leader.server.stop("immediate", 3)
    copy, _ = await database.restore()
    assert await ids(copy) == [1]


async def test_restores_to_each_kind_of_target(database: Database) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    await archiver.pgbackrest.backup("incr")
    earliest, latest = (await archiver.pgbackrest.info()).backups
    assert (earliest.kind, latest.kind) == ("full", "incr")
    await asyncio.sleep(1.1)  # the label of a backup, and so its end, is in whole seconds
    lsn = await insert(leader, 2)
    (xid,) = await leader.session.row(
        "WITH i AS (INSERT INTO public.t (id) VALUES (3) RETURNING 1) SELECT pg_current_xact_id()::text FROM i"
    )
    await leader.session.rows("SELECT pg_create_restore_point('before-the-drop')")
    await insert(leader, 4)
    between = now()
    await insert(leader, 5)
    await fill_segment(leader)
    await leader.session.rows("DROP TABLE public.t")
    await archived(archiver)
    await asyncio.sleep(0.2)
    idle = now()
    await asyncio.sleep(0.2)
    await archiver.store(now())

    async def reaches(target: RestoreTarget, expected: list[int]) -> None:
        copy, _ = await database.restore(target)
        assert await ids(copy) == expected, target
        await copy.close()

    async def ends_without_the_table(target: RestoreTarget) -> None:
        copy, _ = await database.restore(target)
        assert await copy.session.row("SELECT to_regclass('public.t')") == (None,)
        await copy.close()

    async def is_refused(target: RestoreTarget, words: str) -> None:
        blank = database.cluster.blank()
        with pytest.raises(NotRestorable, match=words):
            await database.restorer(blank).run(target)
        assert not blank.layout.pgdata.exists()

    await asyncio.gather(
        reaches(RestoreTarget(time=text(between)), [1, 2, 3, 4]),
        reaches(RestoreTarget(lsn=format_lsn(lsn)), [1, 2]),
        reaches(RestoreTarget(xid=xid), [1, 2, 3]),
        reaches(RestoreTarget(xid=xid, inclusive=False), [1, 2]),
        reaches(RestoreTarget(name="before-the-drop"), [1, 2, 3]),
        # After the last commit, but covered: the time is met although no transaction proves it.
        ends_without_the_table(RestoreTarget(time=text(idle))),
    )
    refused = (
        (RestoreTarget(time=text(now() + timedelta(hours=1))), "possible is"),
        (RestoreTarget(time=text(earliest.stop - timedelta(minutes=1))), "possible is"),
        (RestoreTarget(lsn="FF/0"), "possible is"),
        (RestoreTarget(lsn="0/1000000"), "possible is"),
        (RestoreTarget(xid="4000000"), "is not in the WAL"),
        (RestoreTarget(name="never-made"), "is not in the WAL"),
    )
    await asyncio.gather(*(is_refused(target, words) for target, words in refused))


async def test_a_writer_that_dies_in_mid_segment_leaves_no_gap(database: Database) -> None:
    """Its full segments that were not archived, and what it wrote of the last: from the next writer's hands."""
    database.lose_patience()
    leader = await database.leader()
    archiver = await database.archiving(leader)
    reader = await database.reader(leader)
    await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    # From here on nothing that it fills reaches the archive.
    database.store.stop()
    for number in range(2, 6):
        before = await insert(leader, number)
        await fill_segment(leader)
    lsn = await insert(leader, 6)
    await reader.streams(34, lsn)
    await leader.server.stop("immediate", 3)
    await reader.standby.stop_receiving()
    database.store.start()

    await database.promote(reader, 67)
    await insert(reader, 7)
    second = database.archiver(reader, 67)
    second.keep()
    waiting = (await second.state()).waiting
    assert waiting >= 4
    await second.begin()
    assert second.gap is None
    await archived(second)
    assert not [name for name in database.store.files() if "partial" in name]
    await fill_segment(reader)
    await archived(second)
    await insert(reader, 8)
    await second.store(now())
    copy, restored = await database.restore()
    assert await ids(copy) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert restored.timeline > 67
    await copy.close()
    # To before the second writer: PostgreSQL calls that a child of the second's timeline, which is not yet there.
    early, restored = await database.restore(RestoreTarget(lsn=format_lsn(before)))
    assert await ids(early) == [1, 2, 3, 4, 5]
    history = pg_wal.read_history(early.layout.pgdata, restored.timeline)
    assert history is not None and history.contiguous() and history.switches[-1].parent == 34
    await early.close()
    await second.tidy(await second.state())
    assert {name.split("/")[-2][:8] for name in database.store.files() if "/tail/" in name and ".hist" not in name} == {
        f"{67:08X}"
    }


async def test_a_deposed_writer_cannot_spoil_the_archive(database: Database) -> None:
    """It goes on archiving on its own timeline beyond the point where the next writer left it."""
    leader = await database.leader()
    archiver = await database.archiving(leader)
    reader = await database.reader(leader)
    lsn = await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    lsn = await insert(leader, 2)
    await reader.streams(34, lsn)
    await reader.standby.stop_receiving()
    await insert(leader, 666)
    await fill_segment(leader)
    await insert(leader, 667)
    await fill_segment(leader)
    await archived(archiver)

    await database.promote(reader, 67)
    await insert(reader, 3)
    await database.archiving(reader, 67)
    await insert(leader, 668)
    await archiver.store(now())
    copy, _ = await database.restore()
    assert await ids(copy) == [1, 2, 3]


@pytest.mark.parametrize(
    ("how", "cause"),
    [({"secret_key": "wrong"}, "credentials"), ({"bucket": "nonesuch"}, "bucket")],
)
async def test_says_why_it_cannot_archive(database: Database, how: dict[str, str], cause: str) -> None:
    leader = await database.leader()
    archiver = database.archiver(leader, 34, **how)
    archiver.keep()
    with pytest.raises(RepositoryError) as refused:
        await archiver.begin()
    assert refused.value.cause == cause
    assert "wrong" not in str(refused.value)


async def test_waits_for_the_store_to_come_back(database: Database) -> None:
    database.lose_patience()
    leader = await database.leader()
    archiver = await database.archiving(leader)
    await archiver.pgbackrest.backup("full")
    database.store.stop()
    await insert(leader, 1)
    await fill_segment(leader)
    with pytest.raises(RepositoryError) as failed:
        await archiver.store(now())
    assert failed.value.cause == "unreachable"
    assert (await archiver.state()).waiting
    await insert(leader, 2)
    database.store.start()
    # PostgreSQL tries again each minute, and when there is more.
    await fill_segment(leader)
    state = await archived(archiver, 90)
    assert state.error is None and state.failing_since is None
    await archiver.store(now())
    copy, _ = await database.restore()
    assert await ids(copy) == [1, 2]


async def test_a_reader_takes_the_backup(database: Database, measured: Measured) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    reader = await database.reader(leader)
    await reader.streams(34, await insert(leader, 1))
    repository = database.repository(reader.layout)
    peer = await database.serve(leader, archiver)
    started = now()
    repository.configure(peer)
    await repository.backup("full")
    measured("backup_by_a_reader_s", (now() - started).total_seconds())
    await insert(leader, 2)
    await archiver.store(now())
    copy, _ = await database.restore()
    assert await ids(copy) == [1, 2]


async def test_goes_on_where_the_source_raised_its_limits(database: Database) -> None:
    """A backup of before, and WAL in which it had more of one thing, then of another too."""
    leader = await database.leader()
    archiver = await database.archiving(leader)
    await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    await asyncio.sleep(1.1)  # its end is in whole seconds
    before = now()
    await asyncio.sleep(0.1)
    await archived(archiver)
    limits: dict[str, str] = {}
    for epoch, more in ((67, {"max_connections": "150"}), (100, {"max_worker_processes": "40"})):
        limits |= more
        await database.restart(leader, limits)
        await database.promote(leader, epoch)
        archiver = await database.archiving(leader, epoch)
        await insert(leader, epoch)
    await archiver.store(now())

    async def comes_to(target: RestoreTarget | None, expected: list[int]) -> int:
        """How often it paused on its way."""
        copy, _ = await database.restore(target)
        assert await ids(copy) == expected
        return copy.said.count("If recovery is unpaused, the server will shut down")

    # Of a time, the next commit shows that it is met, which comes after the change.
    pauses = await asyncio.gather(comes_to(None, [1, 67, 100]), comes_to(RestoreTarget(time=text(before)), [1]))
    assert [*pauses] == [2, 1]


async def test_goes_on_where_postgresql_ends_for_want_of_a_limit(database: Database) -> None:
    """It does so until it takes sessions, and only pauses later."""
    leader = await database.leader()
    await database.restart(leader, {"max_connections": "150"})
    await database.promote(leader, 67)
    archiver = await database.archiving(leader, 67)
    await insert(leader, 1)
    await archiver.pgbackrest.backup("full")
    await archiver.store(now())
    copy = database.cluster.blank()
    restorer = database.restorer(copy)
    choices, asked = restorer.choices, []

    def too_few_at_first(minimums: Mapping[str, int]) -> Iterable[Choice]:
        asked.append(minimums)
        return choices({} if len(asked) == 1 else minimums)

    restorer.choices = too_few_at_first
    assert (await restorer.run(RestoreTarget())).timeline > 67
    assert len(asked) == 2 and "recovery aborted because of insufficient parameter settings" in copy.said
