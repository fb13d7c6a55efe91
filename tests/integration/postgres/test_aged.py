"""Volumes with many leaderships behind them: real servers, the files as they were before anything removed them."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.integration.copies import Cluster, Copy, Measured, give

from aurora_operator.postgres.config.conf import Runtime, slot_name
from aurora_operator.postgres.replication.rewind import rewind
from aurora_operator.postgres.sql import queries, roles
from aurora_operator.postgres.wal import history_files, pg_wal
from aurora_operator.postgres.wal.timeline import History, Switch, history_name, render_history

LEADERSHIPS = 300
STRIDE = 32


async def first_of(cluster: Cluster) -> Copy:
    first = cluster.first()
    await first.start()
    await roles.ensure_roles(first.session, master="app", password="word", database="app")
    await first.session.rows("CREATE TABLE public.t (id bigint PRIMARY KEY)")
    return first


async def reader_of(cluster: Cluster, source: Copy) -> Copy:
    reader = cluster.blank()
    await queries.create_slot(source.session, slot_name(reader.name))
    await reader.clone_from(source, verify=False)
    reader.configure(Runtime(source=source.source, slot=slot_name(reader.name)))
    await reader.start()
    return reader


async def insert(copy: Copy, number: int) -> int:
    await copy.session.rows("INSERT INTO public.t VALUES (%s)", [number])
    return await queries.flush(copy.session)


async def ids(copy: Copy) -> list[int]:
    return [i for (i,) in await copy.session.rows("SELECT id FROM public.t ORDER BY id")]


async def lead_again(copy: Copy, epoch: int) -> None:
    """A leadership in place: PostgreSQL stops and is promoted onto the next number."""
    await copy.session.close()
    await copy.server.stop("fast", 10)
    await pg_wal.clean_future_histories(copy.tools, copy.layout.pgdata)
    copy.configure(Runtime(sync=(0, ())))
    await copy.start()
    assert (await copy.standby.promote(epoch)).timeline == epoch


def make_old(copy: Copy, history: History) -> None:
    """All the files that leaders used to leave behind."""
    for number in range(2, history.timeline):
        path = copy.layout.wal / history_name(number)
        if not path.exists():
            path.write_text(render_history(history.ancestor(number)) if history.includes(number) else "")
    give(copy.tools, copy.layout.wal)


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
        seen.append(len(pg_wal.read_history_numbers(first.layout.pgdata)))
        epoch += STRIDE
    assert max(seen) <= STRIDE * (history_files.KEPT_ANCESTORS + 1), seen
    assert seen[-1] == seen[-2] == max(seen), "as many after each"

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


async def tidy_all(copy: Copy, timeline: int) -> int:
    removed = 0
    while True:
        control = await queries.checkpoint_timeline(copy.session)
        some = await asyncio.to_thread(history_files.tidy, copy.layout.pgdata, timeline, control)
        removed += some
        if some < history_files.AT_ONCE:
            return removed


async def age_by_promotion(copy: Copy, base: int) -> History:
    """A leadership more, whose history tells of all that could have been before `base`."""
    now = pg_wal.read_history(copy.layout.pgdata, base)
    assert now is not None
    past = list(range(2, base, STRIDE))
    end = now.switches[0].lsn
    # Where timeline 1 ended, all the others began and ended: between them there is no WAL.
    old = (now.switches[0], *(Switch(n, end, now.switches[0].reason) for n in past))
    aged = History(base, old)
    await copy.session.close()
    await copy.server.stop("fast", 10)
    (copy.layout.wal / history_name(base)).write_text(render_history(aged))
    make_old(copy, aged)
    copy.configure(Runtime(sync=(0, ())))
    await copy.start()
    await copy.standby.promote(base + STRIDE)
    history = pg_wal.read_history(copy.layout.pgdata, base + STRIDE)
    assert history is not None and history.switches[:-1] == aged.switches
    make_old(copy, history)
    return history


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
