"""A candidate gets from a log copy, over its agent's API, what nobody else has any more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from tests.integration.copies import Cluster, Copy, Measured
from tests.integration.logcopy.receiving import LogCopy, leader, log_copy, reader, until

from aurora_operator.agent.peers import agent_client
from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.agent.replication.log_fetch import LogFetch, MustRestart
from aurora_operator.agent.server.http import Service, api
from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.consensus.types import Position
from aurora_operator.net.http_server import serve
from aurora_operator.postgres.config.conf import Runtime, Source, follower_name
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import pg_wal, received
from aurora_operator.postgres.wal.staging import NotThere


class _Shelf:
    """As much of an agent as serves WAL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def wal_folder(self) -> Path:
        return self._folder


@contextlib.asynccontextmanager
async def serving(log: LogCopy, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Source]:
    """The log copy's API, where the candidate looks for it."""
    with socket.socket() as free:
        free.bind((log.source.address, 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(agent_client, "API_PORT", port)
    app = api(cast(Service, _Shelf(log.folder)))
    server = asyncio.create_task(serve(app, port, Certificates(log.layout).server, host=log.source.address))
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(log.source.address, port)
                writer.close()
                break
            await asyncio.sleep(0.01)
        yield log.source
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


def fetch(candidate: Copy, source: Source, target: Position) -> LogFetch:
    return LogFetch(candidate.standby, Certificates(candidate.layout).client, source, target)


async def _ids(copy: Copy) -> int:
    return int((await copy.session.row("SELECT count(*) FROM public.t"))[0])


async def _acknowledged(first: Copy, log: LogCopy, statement: str) -> None:
    """A commit that only the log copy has acknowledged."""
    await first.session.rows(f"BEGIN; SET LOCAL synchronous_commit = on; {statement}; COMMIT", timeout=60)


@pytest.mark.parametrize("rows", [1, 400_000])
async def test_a_commit_that_only_the_log_copy_acknowledged_survives(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, measured: Measured, rows: int
) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    second, third = await reader(cluster, first), await reader(cluster, first)
    await first.standby.set_sync(1, (follower_name(log.name, 1),))
    await second.streams(1, await queries.flush(first.session))
    await second.standby.stop_receiving()
    await third.standby.stop_receiving()
    await _acknowledged(first, log, f"INSERT INTO public.t SELECT generate_series(1, {rows})")
    assert first.server.pid is not None
    os.kill(first.server.pid, signal.SIGKILL)
    await first.server.wait()

    target = await log.stopped()
    async with serving(log, monkeypatch) as source:
        started = time.monotonic()
        assert await fetch(second, source, target).run() == target
        measured(f"fetch_{rows}_rows_from_log_copy", time.monotonic() - started)
    assert not second.layout.fetched.exists()
    promoted = await second.standby.promote(34)
    assert promoted.timeline == 34 and promoted.switch == target.lsn
    assert await _ids(second) == rows
    # The other standby is behind it, and follows; so does the log copy.
    await queries.create_slot(second.session, log.slot)
    await third.standby.apply(Runtime(source=second.source))
    await third.streams(34, promoted.start)
    history = pg_wal.read_history(second.layout.pgdata, 34)
    assert history is not None
    assert received.conform(log.folder, history, log.layout.kept / "34-x") == []
    await log.receive(second)
    await until(lambda: log.flushed(second), promoted.start)
    assert await log.position() >= Position(34, promoted.start)


async def test_through_a_timeline_that_the_candidate_has_not_heard_of(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    second, third = await reader(cluster, first), await reader(cluster, first)
    lsn = await queries.flush(first.session)
    for standby in (third, second):  # In this order: whatever is written meanwhile, the one to be promoted has it.
        await standby.streams(1, lsn)
        await standby.standby.stop_receiving()
    await until(lambda: log.flushed(first), lsn)
    await log.receiver.stop()
    await first.server.stop("immediate", 3)
    # A leadership that only the log copy sees.
    await second.standby.promote(34)
    history = pg_wal.read_history(second.layout.pgdata, 34)
    assert history is not None
    received.conform(log.folder, history, log.layout.kept / "34-x")
    await queries.create_slot(second.session, log.slot)
    await log.receive(second)
    await second.session.rows("INSERT INTO public.t SELECT generate_series(1, 200000)", timeout=60)
    await until(lambda: log.flushed(second), await queries.flush(second.session))
    target = await log.stopped()
    assert target.epoch == 34
    await second.server.stop("immediate", 3)
    # A placeholder of an attempt that was given up is in the place of the real history.
    pg_wal.write_placeholders(third.layout.pgdata, 1, 40)
    async with serving(log, monkeypatch) as source:
        assert await fetch(third, source, target).run() == target
    promoted = await third.standby.promote(67)
    assert await _ids(third) == 200000
    history = pg_wal.read_history(third.layout.pgdata, 67)
    assert history is not None and history.timelines == (1, 34, 67) and promoted.switch == target.lsn
    # All numbers between are there, for those who follow from timeline 1.
    assert set(range(2, 68)) <= set(pg_wal.read_history_numbers(third.layout.pgdata))


async def test_a_diverged_candidate_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    second, third = await reader(cluster, first), await reader(cluster, first)
    lsn = await queries.flush(first.session)
    await second.streams(1, lsn)
    await second.standby.stop_receiving()
    await until(lambda: log.flushed(first), lsn)
    await log.receiver.stop()
    await third.streams(1, await queries.flush(first.session))  # A tail that the next leader does not have.
    await third.standby.stop_receiving()
    await first.server.stop("immediate", 3)
    await second.standby.promote(34)
    history = pg_wal.read_history(second.layout.pgdata, 34)
    assert history is not None
    received.conform(log.folder, history, log.layout.kept / "34-x")
    await queries.create_slot(second.session, log.slot)
    await log.receive(second)
    await until(lambda: log.flushed(second), await queries.flush(second.session))
    target = await log.stopped()
    before = await third.standby.stop_receiving()
    async with serving(log, monkeypatch) as source:
        with pytest.raises(NotThere, match="not part of the history"):
            await fetch(third, source, target).run()
        assert await third.standby.stop_receiving() == before


async def test_what_is_pruned_is_missed_honestly(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    second = await reader(cluster, first)
    await second.streams(1, await queries.flush(first.session))
    await second.standby.stop_receiving()
    await first.session.rows("INSERT INTO public.t SELECT generate_series(1, 600000)", timeout=60)
    lsn = await queries.flush(first.session)
    await until(lambda: log.flushed(first), lsn)
    target = await log.stopped()
    assert received.prune(log.folder, lsn - SEGMENT_BYTES, 0) > 0
    assert await log.position() == target
    async with serving(log, monkeypatch) as source:
        with pytest.raises(NotThere, match="there is no WAL of"):
            await fetch(second, source, target).run()


async def test_a_history_that_recovery_may_have_taken_up_asks_for_a_restart(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await leader(cluster)
    log = await log_copy(cluster, first)
    second = await reader(cluster, first)
    await second.streams(1, await queries.flush(first.session))
    await second.standby.stop_receiving()
    await until(lambda: log.flushed(first), await queries.flush(first.session))
    target = await log.stopped()
    (second.layout.wal / "00000002.history").write_text("1\t7/0\tof a leader of which no WAL came\n")
    async with serving(log, monkeypatch) as source:
        with pytest.raises(MustRestart):
            await fetch(second, source, target).run()
        await second.restart_clean()
        await second.standby.stop_receiving()
        assert await fetch(second, source, target).run() == target
