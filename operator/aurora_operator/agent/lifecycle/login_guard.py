"""Ends log-ins that stand still while there are many of them.

A connection is taken as soon as a client says who it wants to be, before it has proven anything, and those that are
reserved for superusers too. PostgreSQL waits a minute for the proof (`authentication_timeout`). Whoever reaches the
port could so keep everybody out, the agent's next session included.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.postgres.server import processes

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 0.5
CROWD: Final = 20
"""Fewer at a time are left to PostgreSQL: no cluster has so few connections that they fill it."""
PATIENCE_SECONDS: Final = 3.0
"""A log-in that has used no CPU for so long waits for its client alone."""


class Waiting:
    """Since when each log-in has waited for its client. Pure."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[float, float]] = {}

    def overdue(self, now: float, cpu_seconds: Mapping[int, float]) -> list[int]:
        """The log-ins to end, of all that are under way now, with the CPU time that each has used."""
        self._since = {
            pid: known if (known := self._since.get(pid)) is not None and known[1] == used else (now, used)
            for pid, used in cpu_seconds.items()
        }
        if len(cpu_seconds) < CROWD:
            return []
        return sorted(pid for pid, (since, _) in self._since.items() if now - since >= PATIENCE_SECONDS)


class LoginGuard:
    """Runs for the whole life of an instance's agent."""

    def __init__(self, copy: Instance) -> None:
        self._copy = copy
        self._waiting = Waiting()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            postmaster = self._copy.server.pid
            if postmaster is None:
                continue
            found = {pid: processes.work_done(pid).cpu_seconds for pid in processes.logging_in(postmaster)}
            overdue = self._waiting.overdue(time.monotonic(), found)
            if overdue:
                log.warning(
                    "ending %d log-ins of %d: their clients have said nothing for a while", len(overdue), len(found)
                )
                # PostgreSQL ends a session that is not one yet at once; one that has just become one ends in order.
                processes.send(overdue, signal.SIGTERM)
