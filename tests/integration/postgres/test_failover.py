"""Epoch = timeline, on real servers: stop receiving, promote onto a chosen number, follow across the gap."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from tests.integration.copies import Cluster, Copy, Measured
from tests.integration.rows import first_of, ids, insert, reader_of

from aurora_operator.postgres.config.conf import Runtime, slot_name
from aurora_operator.postgres.errors import DataError, ServerError
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import history_files, pg_wal
from aurora_operator.postgres.wal.timeline import how_to_follow

PASSWORD = "pass'word\\ %s {x}"


async def test_promotes_onto_the_epoch_and_is_followed_through_the_gap(cluster: Cluster, measured: Measured) -> None:
    first = await first_of(cluster, PASSWORD)
    second, third = await reader_of(cluster, first), await reader_of(cluster, first)
    lsn = await insert(first, 1)
    await second.streams(1, lsn)
    await third.streams(1, lsn)
    end, followers, _ = await queries.replication(first.session)
    assert {r.application_name for r in followers} == {second.name, third.name} and end >= lsn

    start = time.monotonic()
    position = await second.standby.stop_receiving()
    measured("stop_receiving_s", time.monotonic() - start)
    assert position.timeline == 1 and position.lsn >= lsn
    unseen = await insert(first, 2)  # the old leader can still write, but this copy acknowledges nothing
    await asyncio.sleep(0.3)
    assert (await second.standby.stop_receiving()) == position
    assert unseen > position.lsn
    await third.standby.stop_receiving()

    # The third copy is ahead: the candidate catches up from it, as any standby serves others.
    await first.server.stop("immediate", 3)
    furthest = (await third.standby.wait_idle(5)).lsn
    await second.standby.receive_until(Runtime(source=third.source), furthest, 5)
    await second.standby.stop_receiving()

    start = time.monotonic()
    await second.standby.apply(Runtime(sync=(1, (third.name,))))
    promoted = await second.standby.promote(34)
    measured("promote_s", time.monotonic() - start)
    assert promoted.timeline == 34
    assert promoted.switch >= lsn
    history = pg_wal.read_history(second.layout.pgdata, 34)
    assert history is not None and history.timelines == (1, 34)

    idle = await third.standby.wait_idle(5)
    local = pg_wal.read_histories(third.layout.pgdata)
    assert how_to_follow(history, idle.timeline, idle.lsn, local) == "stream"
    start = time.monotonic()
    await third.standby.apply(Runtime(source=second.source))
    await third.streams(34, promoted.start)
    measured("follow_s", time.monotonic() - start)
    assert pg_wal.local_timeline(third.layout.pgdata, promoted.start) == 34
    assert await ids(third) == await ids(second)

    # And again from there, by the copy that followed: 34 -> 66.
    lsn = await insert(second, 3)
    await third.streams(34, lsn)
    await third.standby.stop_receiving()
    await second.server.stop("immediate", 3)
    again = await third.standby.promote(66)
    history = pg_wal.read_history(third.layout.pgdata, 66)
    assert again.timeline == 66 and history is not None and history.timelines == (1, 34, 66)


async def test_placeholders_of_a_promotion_that_never_was_do_not_hinder(cluster: Cluster) -> None:
    first = await first_of(cluster, PASSWORD)
    second, third = await reader_of(cluster, first), await reader_of(cluster, first)
    lsn = await insert(first, 1)
    await second.streams(1, lsn)
    await third.streams(1, lsn)
    # In this order: whatever the first writes meanwhile, the one to be promoted has no less of it.
    await third.standby.stop_receiving()
    await second.standby.stop_receiving()
    await first.server.stop("immediate", 3)

    pg_wal.write_placeholders(third.layout.pgdata, 1, 35)
    await asyncio.sleep(0.5)  # several rescans
    assert "new target timeline" not in third.said
    promoted = await second.standby.promote(34)
    await third.standby.apply(Runtime(source=second.source))
    # It holds a placeholder where the leader has the real history, which is never fetched over it.
    history = pg_wal.read_history(third.layout.pgdata, 34)
    assert history is not None and history.placeholder
    real = pg_wal.read_history(second.layout.pgdata, 34)
    assert real is not None
    idle = pg_wal.local_timeline(third.layout.pgdata, lsn)
    assert how_to_follow(real, idle, lsn, pg_wal.read_histories(third.layout.pgdata)) == "restart"
    with pytest.raises(AssertionError):
        await third.streams(34, promoted.start, timeout=1)
    await third.restart_clean()
    await third.streams(34, promoted.start)


async def test_a_follower_that_has_the_placeholders_need_not_fetch_them(cluster: Cluster) -> None:
    first = await first_of(cluster, PASSWORD)
    second, third = await reader_of(cluster, first), await reader_of(cluster, first)
    lsn = await insert(first, 1)
    await second.streams(1, lsn)
    await third.streams(1, lsn)
    await third.standby.stop_receiving()
    await second.standby.stop_receiving()
    await first.server.stop("immediate", 3)
    await queries.create_slot(second.session, slot_name(third.name), reserve=False)
    promoted = await second.standby.promote(34)
    history = pg_wal.read_history(second.layout.pgdata, 34)
    assert history is not None
    assert history_files.prepare_to_follow(third.layout.pgdata, 1, history) == list(range(2, 34))
    assert history_files.prepare_to_follow(third.layout.pgdata, 1, history) == []
    await third.standby.apply(Runtime(source=second.source, slot=slot_name(third.name)))
    await third.streams(34, promoted.start)
    assert third.said.count("fetching timeline history file") == 1
    # A slot that kept nothing keeps WAL once it is used.
    (slot,) = await queries.slots(second.session)
    assert slot.active
    # And on, from there.
    await third.standby.stop_receiving()
    await second.server.stop("immediate", 3)
    assert (await third.standby.promote(66)).timeline == 66


async def test_a_real_history_ahead_of_the_wal_is_noticed_before_promoting(cluster: Cluster) -> None:
    first = await first_of(cluster, PASSWORD)
    second, third = await reader_of(cluster, first), await reader_of(cluster, first)
    lsn = await insert(first, 1)
    await second.streams(1, lsn)
    await third.streams(1, lsn)
    await third.standby.stop_receiving()
    lsn = await insert(first, 2)
    await second.streams(1, lsn)
    await second.standby.stop_receiving()
    await first.server.stop("immediate", 3)
    await second.standby.promote(5)
    # The third copy gets the new leader's history, and none of its WAL.
    (third.layout.wal / "00000005.history").write_bytes((second.layout.wal / "00000005.history").read_bytes())
    for number in (2, 3, 4):
        (third.layout.wal / f"0000000{number}.history").write_text("#\n")
    await asyncio.sleep(0.4)
    assert "new target timeline is 5" in third.said
    with pytest.raises(DataError, match="restart"):
        await third.standby.promote(9)
    await third.restart_clean()
    await third.standby.stop_receiving()
    promoted = await third.standby.promote(9)
    history = pg_wal.read_history(third.layout.pgdata, 9)
    assert promoted.timeline == 9 and history is not None and history.timelines == (1, 9)


async def test_a_killed_writer_comes_back_as_a_standby_with_a_position(cluster: Cluster, measured: Measured) -> None:
    first = await first_of(cluster, PASSWORD)
    lsn = await insert(first, 1)
    assert first.server.pid is not None
    os.kill(first.server.pid, signal.SIGKILL)
    assert await first.server.wait() == -signal.SIGKILL
    await first.session.close()
    first.configure(Runtime())
    start = time.monotonic()
    await first.start()
    position = await first.standby.wait_idle(5)
    measured("restart_as_standby_s", time.monotonic() - start)
    assert position.timeline == 1 and position.lsn >= lsn
    assert await ids(first) == [1]
    first.configure(Runtime(sync=(0, ())))
    first.server.reload()
    assert (await first.standby.promote(2)).timeline == 2
    assert await insert(first, 2) > lsn


async def test_two_copies_of_a_volume_never_run(cluster: Cluster) -> None:
    first = await first_of(cluster, PASSWORD)
    with pytest.raises(ServerError):
        await first.server.start()
    other = Copy.__new__(Copy)
    other.__dict__.update({**first.__dict__, "log": []})
    with pytest.raises(Exception, match="still uses the volume"):
        other.__post_init__()


async def test_commits_wait_for_the_rule_and_nobody_leads_by_mistake(cluster: Cluster) -> None:
    first = await first_of(cluster, PASSWORD)
    second = await reader_of(cluster, first)
    await second.streams(1, await insert(first, 1))
    await first.standby.set_sync(1, (second.name,))
    statement = "BEGIN; SET LOCAL synchronous_commit = on; INSERT INTO public.t VALUES (2); COMMIT"
    await first.session.rows(statement)
    await second.standby.stop_receiving()
    with pytest.raises(Exception, match="did not answer"):
        await first.session.rows(statement.replace("2)", "3)"), timeout=0.5)
    # A standby that was never told a rule acknowledges nothing if it is promoted.
    await first.server.stop("immediate", 3)
    await second.standby.promote(2)
    with pytest.raises(Exception, match="did not answer"):
        await second.session.rows(statement.replace("2)", "4)"), timeout=0.5)
    await second.standby.set_sync(0, ())
    await second.session.rows(statement.replace("2)", "5)"), timeout=2)


async def test_configuration_in_force(cluster: Cluster) -> None:
    first = await first_of(cluster, PASSWORD)
    assert await queries.file_errors(first.session) == {}
    assert await queries.pending_restart(first.session) == ()
    wanted = await queries.settings_in_force(
        first.session, ["jit", "shared_buffers", "restart_after_crash", "max_wal_size"]
    )
    assert wanted == {"jit": "off", "shared_buffers": "128MB", "restart_after_crash": "off", "max_wal_size": "192MB"}
    # A parameter that needs a restart is known as such, and one that does not is in force at once.
    first.configure(Runtime(sync=(0, ())), standby=False, user={"max_connections": "70", "work_mem": "5MB"})
    first.server.reload()
    await queries.reload_seen(first.session, "work_mem", "5MB")
    assert await queries.pending_restart(first.session) == ("max_connections",)
    assert await queries.file_errors(first.session) == {}
