"""What the retention removes: all that no restore to the last days needs, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.integration import pgbackrest
from tests.integration.backup.database import DatabaseAt, archived, fill_segment, ids, insert, now, text
from tests.integration.copies import Cluster
from tests.integration.stores.volume import Volume

from aurora_operator.api.base.lsn import segment_name
from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.errors import NotRestorable
from aurora_operator.postgres.pgbackrest.commands import PgBackRest

DAYS = timedelta(days=7)
SECOND = timedelta(seconds=1)


@pytest.fixture
def stored(cluster: Cluster, root: Path, program: str) -> Iterator[tuple[DatabaseAt[Volume], Volume]]:
    volume = Volume(root / "volume")
    volume.root.mkdir()
    for path in ("aurora/test/backup/other-11111111/backup.info", "aurora/test/archive/other-11111111/archive.info"):
        (volume.root / path).parent.mkdir(parents=True)
        (volume.root / path).write_text("another cluster's")
    if cluster.tools.user is not None:
        for item in (volume.root, *volume.root.rglob("*")):
            shutil.chown(item, cluster.tools.user, cluster.tools.user)
    yield DatabaseAt(cluster, volume, program), volume


async def expire(database: DatabaseAt[Volume], own: PgBackRest, as_of: datetime) -> None:
    """As after a backup at that time."""
    ahead = {pgbackrest.AHEAD: f"+{round((as_of - now()).total_seconds())}"}
    access = replace(own.access, program=pgbackrest.find_with_clock())
    await PgBackRest(replace(database.cluster.tools, env=ahead), access).expire()


def segments(files: set[str]) -> set[str]:
    """Names of the WAL segments in the archive."""
    names = {Path(file).name[:24] for file in files if "/archive/demo-" in file}
    return {name for name in names if all(c in "0123456789ABCDEF" for c in name) and len(name) == 24}


async def test_the_retention_removes_what_no_restore_needs_and_nothing_else(
    stored: tuple[DatabaseAt[Volume], Volume],
) -> None:
    database, volume = stored
    leader = await database.leader()
    archiver = await database.archiving(leader)
    own = archiver.pgbackrest
    moments = []
    for number, kind in enumerate(("full", "incr", "full", "incr", "full"), 1):
        await insert(leader, number)
        await own.backup("full" if kind == "full" else "incr")
        await insert(leader, 10 + number)
        await asyncio.sleep(1.1)  # the end of a backup, and a target, are known in whole seconds
        moments.append(now())
        await fill_segment(leader)
    await archived(archiver)
    await archiver.store(now())
    backups = (await own.info()).backups
    assert [b.kind for b in backups] == ["full", "incr", "full", "incr", "full"]
    second, last = backups[2], backups[4]
    before = volume.files()

    # A second before the second full backup has been there for so long: times before it can be asked for.
    await expire(database, own, second.stop + DAYS - 2 * SECOND)
    assert (await own.info()).backups == backups
    kept = volume.files()
    first_needed = segment_name(34, backups[0].start_lsn)
    assert segments(before) - segments(kept) == {name for name in segments(before) if name < first_needed}
    assert all("/archive/" in file for file in before - kept)
    before = kept

    await expire(database, own, second.stop + DAYS + 2 * SECOND)
    assert (await own.info()).backups == backups[2:]
    after = volume.files()
    first_needed = segment_name(34, second.start_lsn)
    assert segments(before) - segments(after) == {name for name in segments(before) if name < first_needed}
    assert min(segments(after)) == first_needed and segments(before) > segments(after)
    gone = {file for file in before - after if "/archive/" not in file}
    assert gone and all(any(b.label in file for b in backups[:2]) for file in gone)
    assert not any(b.label in file for b in backups[:2] for file in after if "/backup.history/" not in file)
    # Every time since can still be restored, none before.
    copy, _ = await database.restore(RestoreTarget(time=text(moments[2])))
    assert await ids(copy) == [1, 2, 3, 11, 12, 13]
    await copy.close()
    with pytest.raises(NotRestorable, match="possible is"):
        await database.restorer(database.cluster.blank()).run(RestoreTarget(time=text(moments[1])))

    # The newest full backup stays, however old it is.
    for later in (DAYS, 100 * DAYS):
        await expire(database, own, last.stop + later + 2 * SECOND)
        assert (await own.info()).backups == (last,)
    assert min(segments(volume.files())) == segment_name(34, last.start_lsn)
    copy, _ = await database.restore()
    assert await ids(copy) == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]
    await copy.close()
    assert {file for file in before if "other-" in file} <= volume.files()
