"""Slows down who writes more WAL than a write quorum takes, so that no commit waits long behind it.

A commit waits for all WAL before it, and most of that needs no commit: a bulk load, an index, a VACUUM. PostgreSQL
bounds none of it. So while a commit would wait for more than half a second, the processes that write are paused
(SIGSTOP) for a part of the time, three quarters of a second at most in one go, and go on by themselves: nothing fails,
it takes as long as the copies need. What a paused process holds, others wait for as long.
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

from aurora_operator.agent.member.commit_meter import GROWTH_BYTES
from aurora_operator.agent.member.instance import Instance
from aurora_operator.consensus.state import Role
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.server import processes
from aurora_operator.postgres.sql import pressure, queries

log = logging.getLogger(__name__)

CALM_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 0.1
CYCLE_SECONDS: Final = 0.25
LONG_CYCLE_SECONDS: Final = 0.75
"""Where a commit would wait for `LONG_WAIT` all the same: on a busy machine a moment is longer than it should be."""
RUN_SECONDS: Final = 0.005
"""For so long everybody runs in each cycle."""
EASY_BACKLOG: Final = 4 << 20
"""So little is never worth a pause."""
BEGIN_WAIT: Final = 0.5
FULL_WAIT: Final = 1.0
"""Seconds that a commit would wait: pauses begin with the one, and take nearly all of the time from the other on."""
LONG_WAIT: Final = 2.0
WROTE_BYTES: Final = 1 << 20
WORKED_SECONDS: Final = 0.005
"""Of CPU time since the last look: less is no load."""


def pause_share(backlog: int, wait: float) -> float:
    """Which part of the time writers are to pause, 0 to 1, where a commit would wait for so many seconds."""
    if backlog < EASY_BACKLOG or wait <= BEGIN_WAIT:
        return 0.0
    return min((wait - BEGIN_WAIT) / (FULL_WAIT - BEGIN_WAIT), 1.0)


class BackPressure:
    """Runs for the whole life of an instance's agent, and does something on the open writer only."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy
        self._done: dict[int, processes.Work] = {}
        self._written = 0
        self._known: set[int] = set()

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
        if not leads or not (meter.is_busy(time.monotonic()) or await self._grows()):
            self._show(0.0)
            return CALM_SECONDS
        seen = await queries.replication(copy.watching)
        meter.note(time.monotonic(), seen.lsn, seen.acknowledged)
        wait = meter.expected_wait()
        share = pause_share(meter.backlog, wait)
        self._show(share)
        if not share:
            self._known.clear()
            return LOOK_SECONDS
        pids = self._writers(await pressure.busy_sessions(copy.watching), everybody=wait >= FULL_WAIT)
        cycle = CYCLE_SECONDS if wait < LONG_WAIT else LONG_CYCLE_SECONDS
        paused = min(share * cycle, cycle - RUN_SECONDS)
        await hold(copy.layout.pgdata, pids, paused)
        return cycle - paused

    async def _grows(self) -> bool:
        """Whether much has been written since the last look: a burst may be faster than the leader's own looks."""
        before = self._written
        _, self._written = await queries.write_lsn(self._copy.watching)
        return 0 < before <= self._written - GROWTH_BYTES

    def _writers(self, sessions: Collection[pressure.Busy], *, everybody: bool) -> list[int]:
        """Those that write; `everybody`: all that are at work, since WAL can also be written without a sign of it."""
        before, self._done = self._done, {s.pid: processes.work_done(s.pid) for s in sessions}
        for session in sessions:
            now, then = self._done[session.pid], before.get(session.pid, processes.Work(0.0, 0))
            # A short transaction is not held up before it gets to wait for its quorum.
            if now.cpu_seconds - then.cpu_seconds >= WORKED_SECONDS and (
                everybody or session.writes or now.written_bytes - then.written_bytes >= WROTE_BYTES
            ):
                self._known.add(session.pid)
        # Who is paused nearly all of the time shows little of what it would do.
        self._known &= self._done.keys()
        return sorted(self._known)

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
