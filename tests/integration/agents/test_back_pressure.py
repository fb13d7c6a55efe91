"""WAL that no commit waits for, on copies that take it slowly: a small commit waits for seconds."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.integration.agents.cluster import Cluster
from tests.integration.agents.pod import Pod
from tests.integration.agents.writers import connect, query

from aurora_operator.postgres.server import processes

FLOOD_SECONDS = 12
BOUND_SECONDS = 5.0
"""For half of the commits. One in ten has waited for up to 9 s, with each writer paused nearly all of the time."""
MOST_SECONDS = 30.0
SLOW_CYCLE = 0.1
SLOW_RUNS = 0.03


def _receivers(pod: Pod) -> list[int]:
    found = []
    for pid in pod.postgres():
        with contextlib.suppress(OSError):
            if b"walreceiver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@contextlib.asynccontextmanager
async def _slow(pods: list[Pod]) -> AsyncIterator[None]:
    """Their receivers of WAL run for a third of the time."""

    async def slow_down() -> None:
        while True:
            pids = [pid for pod in pods for pid in _receivers(pod)]
            try:
                processes.send(pids, signal.SIGSTOP)
                await asyncio.sleep(SLOW_CYCLE - SLOW_RUNS)
            finally:
                processes.send(pids, signal.SIGCONT)
            await asyncio.sleep(SLOW_RUNS)

    task = asyncio.create_task(slow_down())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _flood(writer: Pod) -> None:
    """WAL without an end and without a commit."""
    connection = await connect(writer)
    try:
        while True:
            await connection.execute(
                "SELECT count(pg_logical_emit_message(false, 'flood', repeat('x', 1000000))) FROM generate_series(1, 9)"
            )
    finally:
        connection.pgconn.finish()


async def test_a_small_commit_does_not_wait_behind_gigabytes(three: Cluster) -> None:
    writer = await three.ready()
    await query(writer, "CREATE TABLE small (id int)")
    waits, slowed, stalls, written = [], [], [], 0
    async with _slow(three.others(writer)):
        floods = [asyncio.create_task(_flood(writer)) for _ in range(2)]
        connection = await connect(writer)
        try:
            end = time.monotonic() + FLOOD_SECONDS
            while (began := time.monotonic()) < end:
                await connection.execute("INSERT INTO small VALUES (1)")
                waits.append(time.monotonic() - began)
                status = await writer.status()
                assert status is not None and status.role == "writer"
                slowed.append(status.slowed)
                stalls.append(status.commits_wait_seconds)
                written = status.lsn
            assert not any(flood.done() for flood in floods), "nobody's statement fails"
        finally:
            for flood in floods:
                flood.cancel()
            await asyncio.gather(*floods, return_exceptions=True)
            connection.pgconn.finish()
    print(f"{len(waits)} commits, the longest {max(waits):.1f} s, slowed {max(slowed)}, WAL up to {written >> 20} MiB")
    assert sorted(waits)[len(waits) // 2] <= BOUND_SECONDS
    assert max(waits) <= MOST_SECONDS
    assert max(slowed) > 0, "without pauses this shows nothing"
    assert all(stall is not None and stall < BOUND_SECONDS for stall in stalls), "commits went through all the time"
    await three.until("nobody is slowed down any more", lambda: "nobody is slowed down any more" in writer.said())
    await three.ready()
