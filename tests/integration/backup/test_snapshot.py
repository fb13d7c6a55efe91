"""Snapshots in a repository of their own, and copies of them elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.integration.backup.database import PLACE, Database, archived, beside, fill_segment, ids, insert, now
from tests.integration.copies import Copy, Measured

from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.backup import repository_copy
from aurora_operator.postgres.backup.snapshot import MARK, Kept, find, keep
from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.errors import RepositoryError


async def test_a_reader_takes_it_and_it_needs_nothing_of_the_cluster_s_own(
    database: Database, measured: Measured
) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    reader = await database.reader(leader)
    await insert(leader, 1)
    lsn = await insert(leader, 2)
    await reader.streams(34, lsn)
    peer = await database.serve(leader, archiver)
    repository = beside(database, reader)
    started = now()
    kept = await keep(
        database.repository(reader.layout), repository, reader.layout.data / "aurora" / "snapshot", peer=peer
    )
    measured("snapshot_by_a_reader_s", (now() - started).total_seconds())
    assert kept.lsn >= lsn and kept.timeline == 34 and 0 < kept.stored < kept.size
    # Again: what is complete is told, not taken anew.
    files = database.store.files()
    assert await keep(database.repository(reader.layout), repository, reader.layout.data / "x", peer=peer) == kept
    assert [f for f in database.store.files() if PLACE in f] == [f for f in files if PLACE in f]
    assert not [f for f in files if PLACE in f and "backup.manifest" in f and "copy" not in f][1:]

    await insert(leader, 3)
    await fill_segment(leader)
    await archived(archiver)
    # All that the cluster itself has stored is gone.
    for folder in ("archive", "backup", "tail"):
        await archiver.pgbackrest.remove(folder)
    copy, restored = await restore(database, PLACE, kept.label)
    assert await ids(copy) == [1, 2]
    assert restored > 34


async def restore(database: Database, place: str, label: str | None = None) -> tuple[Copy, int]:
    """From the snapshot's path alone."""
    copy = database.cluster.blank()
    work = database.restorer(copy)
    access = work.pgbackrest.access
    destination = access.repository.destination
    inner = access.repository.model_copy(
        update={"destination": destination.model_copy(update={"path": f"{destination.path}/{place}"})}
    )
    work.pgbackrest = replace(work.pgbackrest, access=replace(access, repository=inner))
    restored = await work.run(RestoreTarget(), label=label)
    copy.configure(Runtime(sync=(0, ())), standby=False)
    await copy.start()
    return copy, restored.timeline


async def test_one_that_was_cut_off_is_begun_anew(database: Database) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    await insert(leader, 1)
    work = leader.layout.data / "aurora" / "snapshot"
    seen = asyncio.Event()

    async def take() -> Kept:
        repository = beside(database, leader)
        return await keep(archiver.pgbackrest, repository, work, on_progress=lambda part: seen.set())

    first = asyncio.create_task(take())
    async with asyncio.timeout(20):
        await seen.wait()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await find(beside(database, leader)) is None
    await insert(leader, 2)
    kept = await take()
    copy, _ = await restore(database, PLACE, kept.label)
    assert await ids(copy) == [1, 2]


async def test_a_copy_is_as_good_and_goes_alone(database: Database, measured: Measured) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    await insert(leader, 1)
    first, second = beside(database, leader), beside(database, leader, "elsewhere/snapshots/tuesday-1")
    second = replace(second, access=replace(second.access, called="copy"))
    with pytest.raises(RepositoryError, match="no complete snapshot"):
        await repository_copy.copy(first, second)
    kept = await keep(archiver.pgbackrest, first, leader.layout.data / "aurora" / "snapshot")
    told: list[tuple[int, int]] = []
    started = now()
    assert await repository_copy.copy(first, second, on_progress=lambda done, total: told.append((done, total))) == kept
    measured("copy_of_a_snapshot_s", (now() - started).total_seconds())
    assert told[0][0] == 0 and told[-1][0] == told[-1][1] > 0
    # What broke off goes on where it was, and a file that is not whole is copied again.
    (whole,) = [e.name for e in await second.list("") if e.name.endswith("backup.manifest")]
    await second.remove(MARK)
    await second.put(whole, b"x")
    told.clear()
    assert await repository_copy.copy(first, second, on_progress=lambda done, total: told.append((done, total))) == kept
    assert len(told) == 2

    others = [f for f in database.store.files() if PLACE not in f]
    await repository_copy.remove(first)
    assert database.store.files() == others
    await repository_copy.remove(first)  # nothing there, nothing to do
    copy, _ = await restore(database, "elsewhere/snapshots/tuesday-1", kept.label)
    assert await ids(copy) == [1]
