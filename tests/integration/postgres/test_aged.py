"""Volumes with many leaderships behind them: real servers, the files as they were before anything removed them."""

from __future__ import annotations

import time

import pytest
from tests.integration.aging import STRIDE, age_by_promotion, lead_again, make_old, tidy_all
from tests.integration.copies import Cluster, Copy, Measured
from tests.integration.rows import first_of, ids, insert, reader_of

from aurora_operator.agent.replication import crowding
from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.postgres.config.conf import Runtime, slot_name
from aurora_operator.postgres.replication.rewind import rewind
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import history_files, pg_wal

LEADERSHIPS = 300
LEFT = 32
TAKEN = 640


async def test_leaderships_leave_nothing_behind(cluster: Cluster, measured: Measured) -> None:
    """Real ones, one after the other on one copy, with a reader that stays behind all the time."""
    first = await first_of(cluster)
    behind = await reader_of(cluster, first)
    await behind.streams(1, await insert(first, 0))
    await behind.standby.stop_receiving()
    epoch, seen = 2, []
    for number in range(1, 25):
        await lead_again(first, epoch)
        await insert(first, number)
        await first.session.rows("CHECKPOINT")
        await tidy_all(first, epoch)
        found = history_files.look(first.layout.pgdata)
        seen.append(len(found.histories.keys() - found.segments))
        epoch += STRIDE
    assert max(seen) <= STRIDE * history_files.KEPT_ANCESTORS, seen
    assert max(seen[-9:]) <= max(seen[-18:-9]), f"as many after each, where the reader's slot keeps no WAL: {seen}"

    # The reader is 24 leaderships behind, of which the writer has a few files left.
    history = pg_wal.read_history(first.layout.pgdata, epoch - STRIDE)
    assert history is not None and len(history.switches) == 24
    here = await behind.standby.fits(history)
    assert here is not None and here.timeline == 1
    start = time.monotonic()
    history_files.prepare_to_follow(behind.layout.pgdata, here.timeline, history)
    await behind.standby.apply(Runtime(source=first.source, slot=slot_name(behind.name)))
    await behind.streams(history.timeline, (await queries.flush(first.session)), timeout=30)
    measured("follow_over_24_leaderships_s", time.monotonic() - start)
    assert await ids(behind) == list(range(25))
    # It goes well itself, once its own checkpoint is there, and can lead.
    await behind.session.rows("CHECKPOINT")
    control = await queries.checkpoint_timeline(behind.session)
    assert history_files.tidy(behind.layout.pgdata, history.timeline, control) > 0
    await behind.standby.stop_receiving()
    await first.server.stop("immediate", 3)
    await behind.standby.apply(Runtime(sync=(0, ())))
    assert (await behind.standby.promote(epoch)).timeline == epoch
    assert await insert(behind, 99) > 0


def wal_bytes(copy: Copy) -> int:
    return sum(path.stat().st_size for path in copy.layout.wal.iterdir() if path.is_file())


async def test_quick_leaderships_do_not_fill_the_volume(cluster: Cluster) -> None:
    """Each adds a file, and with hardly anything written none would go: one leaves a segment that too many share."""
    first = await first_of(cluster)
    epoch, sizes = 2, []
    for number in range(LEFT):
        await lead_again(first, epoch)
        lsn = await insert(first, number)
        others = pg_wal.timelines_in_segment(first.layout.pgdata, lsn) - 1
        if others >= crowding.SOME:
            await queries.flush_wal(first.session)
        await first.session.rows("CHECKPOINT")
        sizes.append(wal_bytes(first))
        epoch += STRIDE
    (keep,) = await first.session.row("SELECT pg_size_bytes(current_setting('wal_keep_size'))")
    assert await ids(first) == list(range(LEFT))
    bound = (crowding.SOME + 1) * (int(keep) + 2 * SEGMENT_BYTES)
    assert LEFT * SEGMENT_BYTES > bound >= max(sizes), (sizes, bound)


async def test_numbers_that_failed_elections_took_are_passed_over(cluster: Cluster, measured: Measured) -> None:
    """At whoever is promoted and at whoever follows, by names of a few files; they are gone again afterwards."""
    first = await first_of(cluster)
    second = await reader_of(cluster, first)
    await second.streams(1, await insert(first, 0))
    await second.standby.stop_receiving()
    epoch = 2 + STRIDE * TAKEN
    start = time.monotonic()
    await lead_again(first, epoch)
    measured("promote_over_20480_numbers_s", time.monotonic() - start)
    history = pg_wal.read_history(first.layout.pgdata, epoch)
    assert history is not None and len(history.switches) == 1
    start = time.monotonic()
    history_files.prepare_to_follow(second.layout.pgdata, 1, history)
    await second.standby.apply(Runtime(source=first.source, slot=slot_name(second.name)))
    await second.streams(epoch, await insert(first, 1), timeout=60)
    measured("follow_over_20480_numbers_s", time.monotonic() - start)
    for copy in (first, second):
        placeholders = [path.stat() for path in copy.layout.wal.glob("*.history") if not path.stat().st_size]
        assert len(placeholders) == epoch - 2
        assert len({found.st_ino for found in placeholders}) <= epoch // pg_wal.LINKS + 1
        await copy.session.rows("CHECKPOINT")
        await tidy_all(copy, epoch)
        assert len(pg_wal.read_history_numbers(copy.layout.pgdata)) <= history_files.KEPT_NUMBERS + 20
    assert await ids(second) == [0, 1]


async def test_an_aged_cluster_gets_well_and_goes_on(cluster: Cluster, measured: Measured) -> None:
    first = await first_of(cluster)
    second = await reader_of(cluster, first)
    third = await reader_of(cluster, first)
    base = 2 + STRIDE * LEADERSHIPS
    await lead_again(first, base)
    aged = await age_by_promotion(first, base)
    assert len(aged.switches) > 0

    # The readers follow over all numbers, and hold as many files as the writer used to leave.
    for reader in (second, third):
        await reader.standby.stop_receiving()
        here = await reader.standby.fits(aged)
        assert here is not None
        history_files.prepare_to_follow(reader.layout.pgdata, here.timeline, aged)
        await reader.standby.apply(Runtime(source=first.source, slot=slot_name(reader.name)))
        await reader.streams(aged.timeline, await queries.flush(first.session), timeout=60)
        make_old(reader, aged)
    copies = (first, second, third)
    assert all(len(pg_wal.read_history_numbers(c.layout.pgdata)) > STRIDE * LEADERSHIPS - 1 for c in copies)

    # While it works.
    lsn = await insert(first, 1)
    for copy in copies:
        await copy.session.rows("CHECKPOINT")
    start = time.monotonic()
    assert await tidy_all(first, aged.timeline) > STRIDE * (LEADERSHIPS - 40)
    measured("tidy_an_aged_volume_s", time.monotonic() - start)
    for reader in (second, third):
        await reader.streams(aged.timeline, lsn)
        await tidy_all(reader, aged.timeline)
    for copy in copies:
        assert len(pg_wal.read_history_numbers(copy.layout.pgdata)) <= history_files.KEPT_NUMBERS + 20
    await second.streams(aged.timeline, await insert(first, 2))
    await third.streams(aged.timeline, await insert(first, 3))

    # A promise, a promotion, and a follower.
    start = time.monotonic()
    position = await second.standby.stop_receiving()
    measured("promise_after_300_s", time.monotonic() - start)
    assert position.timeline == aged.timeline
    unseen = await insert(first, 4)
    await third.streams(aged.timeline, unseen)
    await first.server.stop("immediate", 3)
    await first.session.close()
    await second.standby.apply(Runtime(sync=(0, ())))
    start = time.monotonic()
    promoted = await second.standby.promote(aged.timeline + STRIDE)
    measured("promote_after_300_s", time.monotonic() - start)
    assert promoted.history.switches[:-1] == aged.switches

    # One is ahead: it is rewound, by histories that begin in the far past, and follows.
    assert await third.standby.fits(promoted.history) is None
    await third.session.close()
    await third.server.stop("fast", 10)
    kept = await rewind(third.tools, third.layout, second.source, promoted.history, copy=third.name)
    assert kept is not None
    third.configure(Runtime(source=second.source))
    await third.start()
    await third.streams(promoted.timeline, await insert(second, 5))
    assert await ids(third) == await ids(second) == [1, 2, 3, 5]


@pytest.mark.parametrize("crash", ["immediate", "fast"])
async def test_a_tidied_copy_starts_again_wherever_it_stopped(cluster: Cluster, crash: str) -> None:
    """Also where pg_control lags behind the WAL: what lies between must not be gone."""
    first = await first_of(cluster)
    reader = await reader_of(cluster, first)
    await reader.streams(1, await insert(first, 0))
    epoch = 34
    for number in range(1, 13):
        await reader.standby.stop_receiving()
        await lead_again(first, epoch)
        history = pg_wal.read_history(first.layout.pgdata, epoch)
        assert history is not None
        here = await reader.standby.fits(history)
        assert here is not None
        history_files.prepare_to_follow(reader.layout.pgdata, here.timeline, history)
        await reader.standby.apply(Runtime(source=first.source, slot=slot_name(reader.name)))
        lsn = await insert(first, number)
        await reader.streams(epoch, lsn)
        control = await queries.checkpoint_timeline(reader.session)
        if number == 6:
            await reader.session.rows("CHECKPOINT")
        history_files.tidy(reader.layout.pgdata, epoch, control)
        epoch += STRIDE
    epoch -= STRIDE
    await reader.session.close()
    await reader.server.stop("immediate" if crash == "immediate" else "fast", 5)
    await pg_wal.clean_future_histories(reader.tools, reader.layout.pgdata)
    reader.configure(Runtime())
    await reader.start()
    assert (await reader.standby.wait_idle(10)).timeline == epoch
    assert await ids(reader) == list(range(13))
