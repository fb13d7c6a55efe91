"""Every kind of destination but S3, which the other tests use: what is stored there, and brought back from there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.integration.backup.database import DatabaseAt, archived, beside, fill_segment, ids, insert, now
from tests.integration.certificates import Authority
from tests.integration.copies import Cluster, Measured, give
from tests.integration.stores.azure import AzureStore
from tests.integration.stores.gcs import GcsStore
from tests.integration.stores.store import Store, serving
from tests.integration.stores.volume import Volume

from aurora_operator.postgres.backup.snapshot import keep
from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.wal import tail

SERVERS: dict[str, Callable[[Path, Authority], Store]] = {"gcs": GcsStore, "azure": AzureStore}


@pytest.fixture(params=["gcs", "azure", "volume"])
def place(request: pytest.FixtureRequest, tmp_path: Path, root: Path, authority: Authority, cluster: Cluster) -> Store:
    if request.param in SERVERS:
        return SERVERS[request.param](tmp_path / "store", authority)
    volume = Volume(root / "volume")
    volume.root.mkdir()
    give(cluster.tools, volume.root)
    return volume


@pytest.fixture
async def database(cluster: Cluster, place: Store, program: str) -> AsyncIterator[DatabaseAt[Store]]:
    made = DatabaseAt(cluster, place, program)
    with serving(place):
        yield made
        for server in made.servers:
            await server.stop()


@pytest.fixture
def read_only(place: Store, cluster: Cluster) -> Callable[[], None]:
    """Takes the right to write from a volume, as pods that restore mount it."""

    def take() -> None:
        if isinstance(place, Volume):
            for path in (place.root, *place.root.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)

    return take


async def test_stores_and_restores_to_the_latest(
    database: DatabaseAt[Store], read_only: Callable[[], None], measured: Measured, request: pytest.FixtureRequest
) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    own = archiver.pgbackrest
    await insert(leader, 1)
    await own.backup("full")
    await insert(leader, 2)
    await own.backup("incr")
    assert [b.kind for b in (await own.info()).backups] == ["full", "incr"]
    await fill_segment(leader)
    await insert(leader, 3)
    await archived(archiver)
    started = now()
    await archiver.store(started)
    measured(f"store_tail_{request.node.name}", (now() - started).total_seconds())
    pieces = await own.list(tail.folder(own.access.repository.stanza))
    assert {entry.name for entry in pieces if tail.parse_name(entry.name) is None} == {"00000022.history"}
    assert len(pieces) > 1
    assert all(entry.size > 0 and abs(entry.time - started.timestamp()) < 60 for entry in pieces)
    await insert(leader, 4)  # never stored
    await leader.server.stop("immediate", 3)
    read_only()

    copy, restored = await database.restore()
    assert await ids(copy) == [1, 2, 3]
    assert restored.timeline > 34


async def test_the_pieces_of_wal_go_when_their_segment_is_archived(database: DatabaseAt[Store]) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    own = archiver.pgbackrest
    folder = tail.folder(own.access.repository.stanza)

    async def segments() -> set[str]:
        found = (tail.parse_name(entry.name) for entry in await own.list(folder))
        return {name[0] for name in found if name is not None}

    await own.backup("full")
    await insert(leader, 1)
    await archiver.store(now())
    await archived(archiver)
    await archiver.tidy(await archiver.state())
    (first,) = await segments()
    # The same piece, grown: what is stored replaces what was.
    await insert(leader, 2)
    await archiver.store(now())
    assert await segments() == {first}
    await fill_segment(leader)
    await insert(leader, 3)
    await archived(archiver)
    while len(await segments()) == 1:
        await archiver.store(now())
    await archiver.tidy(await archiver.state())
    assert len(await segments()) == 1 and first not in await segments()
    copy, _ = await database.restore()
    assert await ids(copy) == [1, 2, 3]


async def test_a_snapshot_beside_and_its_removal(database: DatabaseAt[Store]) -> None:
    leader = await database.leader()
    archiver = await database.archiving(leader)
    own = archiver.pgbackrest
    await insert(leader, 1)
    repository = beside(database, leader)
    kept = await keep(own, repository, leader.layout.data / "aurora" / "snapshot")
    assert kept.stored > 0
    before = [entry.name for entry in await own.list("") if not entry.name.startswith("snapshots/")]
    assert await repository.list("")
    await repository.remove_all()
    assert not await repository.list("")
    assert [entry.name for entry in await own.list("")] == before


@pytest.mark.parametrize(
    ("how", "cause"), [({"secret_key": "bm90IHRoZSBhY2NvdW50J3M="}, "credentials"), ({"bucket": "nonesuch"}, "bucket")]
)
@pytest.mark.parametrize("place", list(SERVERS), indirect=True)
async def test_says_why_it_cannot_archive(database: DatabaseAt[Store], how: dict[str, str], cause: str) -> None:
    leader = await database.leader()
    archiver = database.archiver(leader, 34, **how)
    archiver.keep()
    with pytest.raises(RepositoryError) as refused:
        await archiver.begin()
    assert refused.value.cause == cause, str(refused.value)
    assert "PRIVATE" not in str(refused.value) and "bm90" not in str(refused.value)
