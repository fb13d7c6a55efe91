"""How busy this copy is: a sample a second, and what is made of it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.scaling.cgroup import Reading, reader
from aurora_operator.api.base.load import Load
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.sql import queries

log = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0
CALM_SECONDS = 5.0
"""Of an instance that does not scale: whoever reads its load does so now and then."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read at `time`, in seconds of the monotonic clock; `sessions` is None if PostgreSQL did not say."""

    time: float
    kernel: Reading | None
    sessions: queries.Sessions | None


def average(old: float, new: float, elapsed: float, over: float) -> float:
    """An exponential average over about `over` seconds, `elapsed` seconds after it was `old`."""
    return new + (old - new) * math.exp(-elapsed / over)


def advance(load: Load | None, before: Sample, now: Sample, *, cpu_millis: int, memory_bytes: int) -> Load:
    """The load after another sample. `cpu_millis` and `memory_bytes` stand in for limits that are not set.

    The first rates are the averages too, so that an average never begins at a zero that nobody measured.
    """
    elapsed = max(now.time - before.time, 1e-3)
    first = load is None
    load = load or Load()

    def smooth(old: float, new: float, over: float) -> float:
        return new if first else average(old, new, elapsed, over)

    update: dict[str, object] = {"seconds": round(load.seconds + elapsed, 1)}
    old, kernel = before.kernel, now.kernel
    if kernel is not None and old is not None:
        cpu = max(kernel.cpu_ns - old.cpu_ns, 0) / elapsed / 1e6
        periods = max(kernel.periods - old.periods, 0)
        refaults = max(kernel.refaults - old.refaults, 0) / elapsed
        update |= {
            "cpu_millis": cpu,
            "cpu_millis_10s": smooth(load.cpu_millis_10s, cpu, 10),
            "cpu_millis_60s": smooth(load.cpu_millis_60s, cpu, 60),
            "cpu_throttled": min(max(kernel.throttled - old.throttled, 0) / periods, 1.0) if periods else 0.0,
            "cpu_limit_millis": cpu_millis if kernel.cpu_limit_millis is None else kernel.cpu_limit_millis,
            "cpu_pressure": kernel.cpu_pressure,
            "memory_bytes": kernel.memory,
            "memory_limit_bytes": memory_bytes if kernel.memory_limit is None else kernel.memory_limit,
            "memory_working_set_bytes": max(kernel.memory - kernel.inactive_file, 0),
            "memory_anonymous_bytes": kernel.anonymous,
            "memory_shared_bytes": kernel.shared,
            "memory_refaults": refaults,
            "memory_refaults_10s": smooth(load.memory_refaults_10s, refaults, 10),
            "memory_pressure": kernel.memory_pressure,
        }
    found, earlier = now.sessions, before.sessions
    if found is not None and earlier is not None:
        # Statistics can be reset.
        reads = max(found.blocks_read - earlier.blocks_read, 0) / elapsed
        update |= {"cache_reads": reads, "cache_reads_60s": smooth(load.cache_reads_60s, reads, 60)}
    connections, running = (found.connections, found.running) if found is not None else (0, 0)
    update |= {
        "connections": found.connections if found is not None else None,
        "connections_60s": smooth(load.connections_60s, connections, 60),
        "active": found.active if found is not None else 0,
        "running": running,
        "running_10s": smooth(load.running_10s, running, 10),
        "max_connections": found.max_connections if found is not None else load.max_connections,
    }
    return load.model_copy(update=update)


class LoadMeter:
    """Keeps `copy.load` up to date."""

    def __init__(self, copy: Instance, measured: Callable[[], None], read: Callable[[], Reading] | None = None) -> None:
        """`measured` is called after each measurement."""
        self._copy = copy
        self._measured = measured
        self._read = read or reader()
        self._said: str | None = None

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        copy = self._copy
        before = await self._sample(loop.time())
        while True:
            await asyncio.sleep(self._period())
            now = await self._sample(loop.time())
            copy.load = advance(
                copy.load,
                before,
                now,
                cpu_millis=copy.environment.cpu_millis,
                memory_bytes=copy.environment.memory_bytes,
            )
            before = now
            self._measured()

    def _period(self) -> float:
        copy = self._copy
        member = copy.settings.member(copy.environment.instance)
        scales = member is not None and member.capacity is not None
        return PERIOD_SECONDS if scales or copy.load is None else CALM_SECONDS

    async def _sample(self, time: float) -> Sample:
        kernel = None
        try:
            kernel = self._read()
        except (OSError, ValueError, KeyError) as error:
            if str(error) != self._said:
                log.warning("this container's use of CPU and memory cannot be read: %s", error)
                self._said = str(error)
        sessions = None
        if self._copy.server.state() == "ready":
            try:
                sessions = await queries.sessions(self._copy.watching)
            except PostgresError as error:
                log.debug("counting sessions: %s", error)
        return Sample(time, kernel, sessions)
