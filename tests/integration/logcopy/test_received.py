"""What pg_receivewal has put on a volume, and how far it is taken to go."""

from __future__ import annotations

import asyncio
import time

from tests.integration.copies import Cluster, Copy, Measured
from tests.integration.logcopy.receiving import LogCopy, leader, log_copy, reader, until

from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name
from aurora_operator.consensus.types import Position
from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import pg_wal, received
from aurora_operator.postgres.wal.timeline import History


async def _checked(position: Position, epoch: int, lsn: int, source: Copy) -> Position:
    """It has what was asked for, and no more than the server has flushed, which writes by itself, too."""
    assert position.epoch == epoch and lsn <= position.lsn <= (await queries.write_lsn(source.session))[1]
    return position


async def _catch_up(log: LogCopy, first: Copy) -> None:
    """Let the log copy get all that the server has flushed, and stop it."""
    lsn = await queries.flush(first.session)
    await until(lambda: log.flushed(first), lsn)
    await _checked(await log.stopped(), 1, lsn, first)


async def test_the_position_is_the_end_of_the_last_whole_record(cluster: Cluster, measured: Measured) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    await _catch_up(log, first)
    # On from there, through the middle of a segment and over several ends of segments.
    await log.receive(first)
    await first.session.rows("INSERT INTO public.t SELECT generate_series(1000, 400000)", timeout=60)
    lsn = await queries.flush(first.session)
    await until(lambda: log.flushed(first), lsn)
    await log.receiver.stop()
    started = time.monotonic()
    position = await log.position()
    measured("log_copy_position_cold", time.monotonic() - started)
    lsn = (await _checked(position, 1, lsn, first)).lsn
    assert len(received.segments(log.folder)) >= 3
    # What is torn does not count: the last record is cut, then whole ones before it.
    newest = received.segments(log.folder)[-1]
    with newest.path.open("r+b") as file:
        file.seek(lsn % SEGMENT_BYTES - 30)
        file.write(b"\0" * 30)
    log.ends.forget()
    torn = await log.position()
    assert lsn - 200 < torn.lsn < lsn
    # A segment that has its size and nothing else yet takes nothing away, whether the end before it is known or not.
    empty = log.folder / (segment_name(1, newest.end) + ".partial")
    empty.write_bytes(bytes(SEGMENT_BYTES))
    assert await log.position() == torn
    log.ends.forget()
    assert await log.position() == torn
    empty.unlink()
    # The receiver begins with this segment again, and repairs it.
    await log.receive(first)
    await until(lambda: log.flushed(first), lsn)
    await _checked(await log.stopped(), 1, lsn, first)


async def test_a_record_over_segments_and_a_switch(cluster: Cluster) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    await first.session.rows("SELECT pg_switch_wal()")
    await until(lambda: log.flushed(first), (await queries.write_lsn(first.session))[1])
    assert (await log.stopped()).lsn % SEGMENT_BYTES < 8192  # others write meanwhile
    end = received.segments(log.folder)[0].end
    for segment in received.segments(log.folder)[1:]:
        segment.path.unlink()
    log.ends.forget()
    assert await log.position() == Position(1, end)
    await log.receive(first)
    # One record of two segments and more: its end is the only one in the last segment.
    await first.session.rows("SELECT pg_logical_emit_message(false, 'x', repeat('x', 40000000), true)", timeout=60)
    lsn = (await queries.write_lsn(first.session))[1]
    await until(lambda: log.flushed(first), lsn)
    whole = await _checked(await log.stopped(), 1, lsn, first)
    everything = received.segments(log.folder)
    # Without its end, the record is none: what counts is before it.
    everything[-1].path.rename(log.layout.data / "away")
    log.ends.forget()
    assert (await log.position()).lsn < everything[-1].first - SEGMENT_BYTES
    # A copy that begins in the middle of it has its end, and says so.
    for segment in everything[:-1]:
        segment.path.unlink()
    (log.layout.data / "away").rename(everything[-1].path)
    log.ends.forget()
    assert await log.position() == whole


async def test_follows_onto_the_next_timeline_and_is_rid_of_a_diverged_tail(cluster: Cluster) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    second = await reader(cluster, first)
    lsn = await queries.flush(first.session)
    await second.streams(1, lsn)
    await until(lambda: log.flushed(first), lsn)
    # A tail that only the log copy gets, longer than a segment.
    before = await second.standby.stop_receiving()
    await first.session.rows("INSERT INTO public.t SELECT generate_series(1000, 300000)", timeout=60)
    lsn = await queries.flush(first.session)
    await until(lambda: log.flushed(first), lsn)
    tail = await _checked(await log.stopped(), 1, lsn, first)
    assert tail.lsn > before.lsn + SEGMENT_BYTES
    await first.server.stop("immediate", 3)

    promoted = await second.standby.promote(34)
    history = pg_wal.read_history(second.layout.pgdata, 34)
    assert history is not None
    await second.session.rows("INSERT INTO public.t VALUES (-1)")
    keep = log.layout.kept / "34-test"
    aside = received.conform(log.folder, history, keep)
    log.ends.forget()
    assert await log.position() == Position(1, promoted.switch)
    assert aside and sorted(p.name for p in keep.iterdir()) == aside
    assert received.conform(log.folder, history, log.layout.kept / "nothing") == []
    await queries.create_slot(second.session, log.slot)
    await log.receive(second)
    lsn = await queries.flush(second.session)
    await until(lambda: log.flushed(second), lsn)
    await _checked(await log.stopped(), 34, lsn, second)
    assert received.history_of(log.folder, 34) == history
    # Only the parent's bytes of the new timeline: the position is still on the parent.
    (partial,) = [s for s in received.segments(log.folder) if s.timeline == 34]
    received._cut(log.folder, partial, promoted.switch)
    log.ends.forget()
    assert await log.position() == Position(1, promoted.switch)
    # All instances have passed it: everything before goes, except the newest.
    assert received.prune(log.folder, partial.end + 10 * SEGMENT_BYTES, 0) >= 2
    assert [s.timeline for s in received.segments(log.folder)] == [34]
    assert 34 in received.history_numbers(log.folder)


async def test_nothing_of_a_strange_timeline_stays(cluster: Cluster) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    await _catch_up(log, first)
    (segment,) = received.segments(log.folder)
    assert received.foreign([segment], History(1)) == ([], [])
    assert await log.position() > Position(0, 0)
    strange = log.folder / ("00000003" + segment.path.name[8:])
    segment.path.rename(strange)
    (log.folder / "00000003.history").write_text("1\t0/1000000\tno recovery target specified\n")
    assert received.conform(log.folder, History(1), log.layout.kept / "1-x") == ["00000003.history", strange.name]
    log.ends.forget()
    assert await log.position() == Position(0, 0)


async def test_the_source_has_removed_it(cluster: Cluster) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    await _catch_up(log, first)
    await until(lambda: log.active(first), False)
    await queries.drop_slot(first.session, log.slot)
    first.configure(Runtime(sync=(0, ())), standby=False, user={"wal_keep_size": "0", "max_wal_size": "32MB"})
    first.server.reload()
    for _ in range(8):
        await first.session.rows("SELECT pg_logical_emit_message(true, 'x', 'x')")
        await first.session.rows("SELECT pg_switch_wal()")
        await queries.checkpoint(first.session)
    await queries.create_slot(first.session, log.slot)
    await log.receive(first)
    await asyncio.wait_for(log.receiver.wait(), 10)
    from aurora_operator.postgres.wal.receive_wal import trouble

    assert trouble(log.receiver.last_words) == "gone", log.receiver.last_words
