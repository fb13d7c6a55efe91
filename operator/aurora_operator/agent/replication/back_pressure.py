"""Slows down who writes more WAL than a write quorum takes, so that no commit waits long behind it.

A commit waits for all WAL before it, and most of that needs no commit: a bulk load, an index, a VACUUM. PostgreSQL
bounds none of it. So while a commit would wait for more than half a second, the processes that write are paused
(SIGSTOP) for a part of the time, a quarter of a second at most in one go, and go on by themselves: nothing fails, it
takes as long as the copies need. What a paused process holds, others wait for as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.consensus.state import Role
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.server import processes
from aurora_operator.postgres.sql import pressure, queries

log = logging.getLogger(__name__)

CALM_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 0.1
CYCLE_SECONDS: Final = 0.25
RUN_SECONDS: Final = 0.005
"""For so long everybody runs in each cycle."""
EASY_BACKLOG: Final = 4 << 20
"""So little is never worth a pause."""
BEGIN_WAIT: Final = 0.5
FULL_WAIT: Final = 1.0
"""Seconds that a commit would wait: pauses begin with the one, and take nearly all of the time from the other on."""
WROTE_BYTES: Final = 1 << 20


def pause_share(backlog: int, wait: float) -> float:
    """Which part of the time writers are to pause, 0 to 1, where a commit would wait for so many seconds."""
    if backlog < EASY_BACKLOG or wait <= BEGIN_WAIT:
        return 0.0
    return min((wait - BEGIN_WAIT) / (FULL_WAIT - BEGIN_WAIT), 1.0)


class BackPressure:
    """Runs for the whole life of an instance's agent, and does something on the open writer only."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy
        self._wrote: dict[int, int] = {}

    async def run(self) -> None:
        """Until cancelled; nobody stays paused."""
        while True:
            try:
                pause = await self._turn()
            except (PostgresError, OSError) as error:
                log.info("looking for who writes: %s", error)
                pause = CALM_SECONDS
            await asyncio.sleep(pause)

    async def _turn(self) -> float:
        """One look, and a pause of the writers where one is due; returns when to look again, in seconds."""
        copy, meter = self._copy, self._copy.commits
        leads = copy.driver.state.role == Role.LEADING and copy.server.state() == "ready"
        if not leads or not meter.is_busy(time.monotonic()):
            self._show(0.0)
            return CALM_SECONDS
        seen = await queries.replication(copy.watching)
        meter.note(time.monotonic(), seen.lsn, seen.acknowledged)
        wait = meter.expected_wait()
        share = pause_share(meter.backlog, wait)
        self._show(share)
        if not share:
            return LOOK_SECONDS
        pids = self._writers(await pressure.busy_sessions(copy.watching), everybody=wait >= FULL_WAIT)
        paused = min(share * CYCLE_SECONDS, CYCLE_SECONDS - RUN_SECONDS)
        await hold(copy.layout.pgdata, pids, paused)
        return CYCLE_SECONDS - paused

    def _writers(self, sessions: Collection[pressure.Busy], *, everybody: bool) -> list[int]:
        """Those that write; `everybody`: all that are at work, since WAL can also be written without a sign of it."""
        before, self._wrote = self._wrote, {s.pid: processes.bytes_written(s.pid) for s in sessions}
        return [
            s.pid
            for s in sessions
            if everybody or s.writes or self._wrote[s.pid] - before.get(s.pid, self._wrote[s.pid]) >= WROTE_BYTES
        ]

    def _show(self, share: float) -> None:
        """Say when it begins and ends."""
        copy = self._copy
        if bool(share) != bool(copy.slowed):
            wait = copy.commits.expected_wait()
            if share:
                seconds = "without end" if math.isinf(wait) else f"for {wait:.1f} s"
                log.warning(
                    "slowing down who writes: %d MiB wait for a write quorum, and a commit would wait %s",
                    copy.commits.backlog >> 20,
                    seconds,
                )
            else:
                log.warning("nobody is slowed down any more")
        copy.slowed = share


async def hold(pgdata: Path, pids: Collection[int], seconds: float) -> None:
    """Pause these server processes for so long. Whatever happens meanwhile, they go on after it."""
    held = [pid for pid in pids if processes.works_in(pid, pgdata)]
    try:
        processes.send(held, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        with contextlib.suppress(PermissionError):
            processes.send(held, signal.SIGCONT)
