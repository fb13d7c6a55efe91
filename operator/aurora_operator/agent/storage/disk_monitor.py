"""Watches the volume: measures what fills it, and acts before it is full (`room`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.scaling.load_meter import average
from aurora_operator.agent.storage.disk_policy import judge, marks
from aurora_operator.api.base.volume import SlotUse, VolumeUse
from aurora_operator.consensus.state import PROMOTED
from aurora_operator.postgres import disk
from aurora_operator.postgres.config import configure
from aurora_operator.postgres.errors import PostgresError, ServerError
from aurora_operator.postgres.files import entries
from aurora_operator.postgres.server.reserve import Reserve
from aurora_operator.postgres.sql import queries

log = logging.getLogger(__name__)

CALM_SECONDS: Final = 0.5
ALERT_SECONDS: Final = 0.02
"""How often the free space is looked at: often once there is little."""
ALERT_MARKS: Final = 8
"""Little is less than so many times the low mark."""
DETAILS_SECONDS: Final = 5.0
RATE_OVER_SECONDS: Final = 20.0
ENDING_SECONDS: Final = 0.2
_SEGMENT: Final = re.compile(r"[0-9A-F]{24}(\.partial)?")
_TEMPORARY: Final = re.compile(r"pgsql_tmp(\d+)\..*")


@dataclass(frozen=True, slots=True)
class Temporary:
    """Temporary files of queries: their bytes, and the server processes that made them."""

    size: int = 0
    pids: tuple[int, ...] = ()


class DiskMonitor:
    """Keeps `copy.volume` up to date. The copy's lifecycle asks `may_start` before each start."""

    def __init__(self, copy: Instance, stop: Callable[[], None]) -> None:
        """`stop` stops PostgreSQL, which comes back when `may_start` allows it."""
        self._copy = copy
        self._stop = stop
        self._reserve = Reserve(copy.layout.state / "reserve")
        self._rate = 0.0
        self._last: tuple[float, int] | None = None
        self._ended = 0.0
        self._stopped = False
        self._died_of_it = False
        self._details = VolumeUse(size_bytes=0, used_bytes=0)
        self._published: tuple[VolumeUse, dict[str, object]] | None = None
        self._applied: bool | None = None
        self._seen: tuple[float, int] | None = None

    def may_start(self) -> bool:
        """Whether there is room for PostgreSQL to start; when not, it is looked at again soon."""
        return self._copy.brake != "held"

    def note_end(self) -> bool:
        """PostgreSQL has ended: whether because it could not write. It will need more room then.

        It ended by itself, and the volume has no room: what it said about that is not needed.
        """
        usage = disk.usage(self._copy.layout.data)
        by_itself = (self._copy.server.returncode or 0) > 0
        self._died_of_it = by_itself and usage.free < marks(usage.size).low
        if self._died_of_it:
            log.error("PostgreSQL ended on a volume with %d MiB left of %d", usage.free >> 20, usage.size >> 20)
            self._look()
        return self._died_of_it

    def prepare_start(self) -> None:
        """Before PostgreSQL starts: what it may do is in its files. Raises OSError."""
        self._look()
        self._stopped = False
        self._applied = self._copy.brake != "off"
        configure.write_space(self._copy.layout, read_only=self._applied)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        detailed = -DETAILS_SECONDS
        while True:
            try:
                free, size = self._look()
                if loop.time() - detailed >= DETAILS_SECONDS:
                    detailed = loop.time()
                    await self._measure()
                self._publish(loop.time())
                await self._act()
            except (PostgresError, OSError) as error:
                log.warning("looking after the volume: %s", error)
                free, size = 0, 0
            alert = free < ALERT_MARKS * marks(size).low
            await asyncio.sleep(ALERT_SECONDS if alert else CALM_SECONDS)

    def _look(self) -> tuple[int, int]:
        """Judge what is left, and hold or let go the reserve; returns the free bytes and the size.

        Where looks are frequent, what counts is what the next one will find if it goes on like this.
        """
        copy = self._copy
        usage, held = disk.usage(copy.layout.data), self._reserve.held
        before, self._seen = self._seen, (time.monotonic(), usage.free)
        falls = 0
        if before is not None and self._seen[0] - before[0] < 3 * ALERT_SECONDS:
            falls = max(before[1] - usage.free, 0)
        coming = max(usage.free - falls, 0)
        self._verdict = verdict = judge(
            coming,
            held,
            usage.size,
            copy.brake,
            leads=self._leads(),
            runs=copy.server.alive,
            died_of_it=self._died_of_it,
        )
        if verdict.release:
            self._reserve.release()
        if verdict.hold:
            self._seen = None
            if not self._reserve.hold(marks(usage.size).reserve):
                log.warning("no room to hold anything in reserve")
        if verdict.brake != copy.brake:
            log.warning("the volume has %d MiB left of %d: %s", usage.free >> 20, usage.size >> 20, verdict.brake)
            copy.brake = verdict.brake
        if copy.server.alive and verdict.brake == "off":
            self._died_of_it = False
        return coming, usage.size

    def _leads(self) -> bool:
        return self._copy.driver.state.role in PROMOTED

    async def _act(self) -> None:
        copy = self._copy
        if not copy.server.alive:
            return
        if self._verdict.stop and not self._stopped:
            log.error("stopping PostgreSQL before its volume is full; it comes back once that has grown")
            self._stopped = True
            self._stop()
            return
        braking = copy.brake != "off"
        if braking != self._applied and copy.layout.initialised():
            configure.write_space(copy.layout, read_only=braking)
            with contextlib.suppress(ServerError):
                copy.server.reload()
            self._applied = braking
            log.warning("clients may %s", "not write: the volume is nearly full" if braking else "write again")
        now = asyncio.get_running_loop().time()
        if self._verdict.end_writers and copy.server.state() == "ready" and now - self._ended >= ENDING_SECONDS:
            self._ended = now
            temporary = await asyncio.to_thread(temporary_files, copy.layout.pgdata)
            ended = await queries.terminate_writers(copy.watching, temporary.pids)
            if ended:
                log.warning("ended %d sessions that wrote to a volume that is nearly full", ended)

    async def _measure(self) -> None:
        """What the volume holds, by kind. Costs a few directory listings and one query."""
        copy = self._copy
        if not copy.layout.initialised():
            self._details = VolumeUse(size_bytes=0, used_bytes=0)
            return
        (wal, waiting), temporary = await asyncio.to_thread(
            lambda: (wal_files(copy.layout.wal), temporary_files(copy.layout.pgdata))
        )
        update: dict[str, object] = {
            "wal_bytes": wal,
            "archive_waiting": waiting,
            "temporary_bytes": temporary.size,
        }
        if copy.server.state() == "ready":
            with contextlib.suppress(PostgresError):
                found = await queries.wal_keepers(copy.watching)
                slots = tuple(SlotUse(name=n, logical=lo, active=a, retained_bytes=r) for n, lo, a, r in found.slots)
                update |= {
                    "slots": slots,
                    "archive_failing": found.archive_failing,
                    "wal_target_bytes": found.max_wal_size,
                }
        self._details = self._details.model_copy(update=update)

    def _publish(self, now: float) -> None:
        copy = self._copy
        usage, held = disk.usage(copy.layout.data), self._reserve.held
        used = max(usage.size - usage.free - held, 0)
        if self._last is None:
            self._last = (now, used)
        elif now - self._last[0] >= CALM_SECONDS:
            elapsed = now - self._last[0]
            self._rate = average(self._rate, max(used - self._last[1], 0) / elapsed, elapsed, RATE_OVER_SECONDS)
            self._last = (now, used)
        update: dict[str, object] = {
            "size_bytes": usage.size,
            "used_bytes": used,
            "growth_bytes_per_second": round(self._rate, 1) if self._rate >= 1 else 0.0,
            "brake": copy.brake,
        }
        if (self._details, update) != self._published:
            self._published = (self._details, update)
            copy.volume = self._details.model_copy(update=update)


def wal_files(folder: Path) -> tuple[int, int]:
    """Bytes of the WAL segments there, and how many files wait to be archived."""
    size = 0
    for entry in _entries(folder):
        if _SEGMENT.fullmatch(entry.name):
            with contextlib.suppress(OSError):
                size += entry.stat().st_size
    waiting = sum(entry.name.endswith(".ready") for entry in _entries(folder / "archive_status"))
    return size, waiting


def temporary_files(pgdata: Path) -> Temporary:
    """What queries have spilled to disk, in the default tablespace: the only one on this volume."""
    size, pids = 0, set()
    pending = [pgdata / "base" / "pgsql_tmp"]
    while pending:
        for entry in _entries(pending.pop()):
            match = _TEMPORARY.fullmatch(entry.name)
            if match is not None:
                pids.add(int(match[1]))
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    return Temporary(size, tuple(sorted(pids)))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return entries(folder)
    except OSError:
        return []
