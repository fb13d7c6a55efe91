"""Restoring a database from backups and WAL: a data directory of its own, recovered to the target and promoted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.config import configure
from aurora_operator.postgres.config.conf import RUNTIME_FILE
from aurora_operator.postgres.config.parameters import Choice
from aurora_operator.postgres.errors import NotRestorable, RepositoryError, ServerError
from aurora_operator.postgres.files import make_directory, remove_tree, rename_durably, write_durably
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.restore.contents import read_contents
from aurora_operator.postgres.restore.recovery import (
    Contents,
    Places,
    Route,
    choose,
    last_segment,
    recovery_settings,
    restore_script,
    without_target,
)
from aurora_operator.postgres.server.control import STANDBY_MINIMUMS, read_control
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.sql.session import Session
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.timeline import (
    history_name,
    render_history,
    straightened,
)

log = logging.getLogger(__name__)

STILL_SECONDS: Final = 1.5
"""Recovery that waits for WAL and has not moved for this long has replayed what it was given."""
MISSING_SECONDS: Final = 120.0
"""How long to wait for WAL that should be there before saying that it is not."""
_POLL: Final = 0.2


class _Lacking(Exception):
    """Replay needs more of a parameter than PostgreSQL was given."""


Progress = Callable[[str, int, int], None]
"""Called with the step (`restore`, `replay`), and bytes done and in all."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it."""

    label: str
    timeline: int
    lsn: int
    last_commit: datetime | None
    """When the last transaction that is there was committed, by the source's clock."""


def _straighten(work: Layout, timeline: int) -> None:
    """Let the history say which timelines the data really went through."""
    history = pg_wal.read_history(work.pgdata, timeline)
    if history is not None and not history.contiguous():
        write_durably(work.wal / history_name(timeline), render_history(straightened(history)))


def restoring(layout: Layout) -> Layout:
    """Where a restore works: a folder of the volume, so that its end is a rename."""
    return Layout(data=layout.data / "restoring", run=layout.run, tls=layout.tls)


@dataclass
class Restore:
    """One restore. `choices` makes the parameters from the minimums that the backup's pg_control demands."""

    tools: Tools
    layout: Layout
    pgbackrest: PgBackRest
    """Its `access.layout` is `restoring(layout)`."""
    choices: Callable[[Mapping[str, int]], Iterable[Choice]]
    on_progress: Progress = lambda step, done, total: None
    sink: Callable[[bytes], None] = lambda line: None
    inherit_fds: tuple[int, ...] = ()
    os_users: tuple[str, ...] = ("postgres",)
    _last: str | None = field(default=None, init=False)
    _demanded: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def _work(self) -> Layout:
        return restoring(self.layout)

    async def run(self, target: RestoreTarget, *, label: str | None = None) -> Restored:
        """Restore into the empty data directory of `layout`, which is complete when this returns, and untouched when
        it raises. Raises NotRestorable, RepositoryError and other PostgresErrors, OSError.
        """
        work = self._work
        if self.layout.pgdata.exists():
            raise ServerError(f"{self.layout.pgdata} exists: nothing is restored over data")
        await asyncio.to_thread(remove_tree, work.data)
        for folder in (work.data, Places(work.data).tail, Places(work.data).served, work.pgdata):
            make_directory(folder)
        self.pgbackrest.configure()
        contents, segments = await read_contents(self.pgbackrest)
        route = choose(contents, target, label=label)
        log.info("restoring %s, to %s on timeline %d", route.backup.label, target.describe(), route.history.timeline)
        size = route.backup.size
        await self.pgbackrest.restore(
            work.pgdata,
            route.backup.label,
            on_progress=lambda part: self.on_progress("restore", int(part * size), size),
        )
        for name, (_, content) in segments.items():
            write_durably(Places(work.data).tail / name, content, sync=False)
        self._last = last_segment(contents, route.history)
        restored = await self._recover(route, contents)
        rename_durably(work.pgdata, self.layout.pgdata)
        await asyncio.to_thread(remove_tree, work.data)
        return restored

    async def _recover(self, route: Route, contents: Contents) -> Restored:
        work = self._work
        server = Server(self.tools, work, sink=self.sink, inherit_fds=self.inherit_fds)
        session = Session(work.run, timeout=10)
        try:
            restored = await self._run_server(server, session, route, contents)
        finally:
            await session.close()
            await server.stop("immediate", 5)
        configure.set_standby(work, False)
        _straighten(work, restored.timeline)
        return restored

    async def _run_server(self, server: Server, session: Session, route: Route, contents: Contents) -> Restored:
        """Recover; where the WAL says that the source had more of a parameter from there on, again with as much.

        It demands more each time than ever before, so that it comes to an end.
        """
        self._demanded = {}
        while True:
            given = await self._configure(route)
            try:
                await server.start()
                await self._consistent(server)
                if not await self._replay(server, session, route, contents, given):
                    await self._end_without_target(server, session, route)
                (commit,) = await session.row("SELECT pg_last_xact_replay_timestamp()")
                restored = await self._promote(session, route, commit)
                await session.close()
                if not await server.stop("fast", 600):
                    raise ServerError("PostgreSQL did not stop in order after the restore")
                return restored
            except ServerError:
                # Until it takes sessions PostgreSQL ends where it lacks something; afterwards it pauses there.
                if server.alive or not await self._lacking(given):
                    raise
            except _Lacking:
                await session.close()
                await server.stop("fast", 600)
            log.info("replay goes on with %s, as much as the source had from there on", await self._lacking(given))

    async def _lacking(self, given: Mapping[str, int]) -> dict[str, int]:
        """What replay demands more of than PostgreSQL was given: it notes that in pg_control, and stops."""
        control = await read_control(self.tools, self._work.pgdata)
        return {name: least for name, least in control.standby_minimums.items() if least > given[name]}

    async def _configure(self, route: Route) -> dict[str, int]:
        """Returns what the server gets of all that replay may demand more of."""
        work, places = self._work, Places(self._work.data)
        control = await read_control(self.tools, work.pgdata)
        script = restore_script(route.history, places, self.pgbackrest.words(), route.backup.start_lsn)
        write_durably(places.script, script, sync=False)
        self._demanded = {n: max(least, self._demanded.get(n, 0)) for n, least in control.standby_minimums.items()}
        choices = tuple(self.choices(self._demanded))
        configure.write_base(work, choices, cluster_name="restore", os_users=self.os_users, listen="")
        write_durably(work.pgdata / RUNTIME_FILE, recovery_settings(route, self._command), sync=False)
        configure.write_hba(work, "closed")
        configure.set_standby(work, True)
        return {choice.name: int(choice.value) for choice in choices if choice.name in STANDBY_MINIMUMS}

    @property
    def _command(self) -> str:
        return f'sh {Places(self._work.data).script} %f "%p"'

    async def _consistent(self, server: Server) -> None:
        """Wait until it takes sessions; it must first replay what was written during the backup."""
        started = time.monotonic()
        while True:
            try:
                await server.wait_ready(5)
                return
            except ServerError:
                if not server.alive:
                    raise
            if time.monotonic() - started > MISSING_SECONDS and not self._served_lately():
                raise RepositoryError("other", f"the backup is not consistent: {server.complaint()}")

    def _served_lately(self) -> bool:
        served = Places(self._work.data).served
        return time.time() - served.stat().st_mtime < MISSING_SECONDS

    async def _replay(
        self, server: Server, session: Session, route: Route, contents: Contents, given: Mapping[str, int]
    ) -> bool:
        """Until recovery pauses at the target, or all WAL is replayed. Returns whether PostgreSQL has nothing against
        ending there: not where it looks for a time that lies after the last commit. Raises _Lacking where it pauses
        for want of more than it was given."""
        start = route.backup.start_lsn
        end = contents.tail.end if contents.tail is not None else route.backup.stop_lsn
        moved, replayed = time.monotonic(), -1
        frozen: float | None = None
        while True:
            if not server.alive:
                raise ServerError(f"PostgreSQL ended in the middle of the recovery: {server.complaint()}")
            (pause,) = await session.row("SELECT pg_get_wal_replay_pause_state()")
            now = await queries.status(session)
            if now.replay_lsn != replayed:
                moved, replayed = time.monotonic(), now.replay_lsn
                self.on_progress("replay", max(replayed - start, 0), max(end, replayed) - start)
            if pause == "paused":
                if await self._lacking(given):
                    raise _Lacking
                return True
            still = time.monotonic() - moved
            if now.waiting_for_wal and still > STILL_SECONDS:
                if self._ended() and route.target.time is None:
                    self._accept_end(route, replayed)
                    return True
                if self._ended() and frozen is None:
                    # The source may go on writing: nothing that comes from now on may get in.
                    Places(self._work.data).frozen.touch()
                    frozen = moved = time.monotonic()
                elif frozen is not None and still > 2 * STILL_SECONDS:
                    return False
                if still > MISSING_SECONDS and not self._served_lately():
                    raise RepositoryError(
                        "other",
                        f"the WAL after {format_lsn(replayed)} is missing, or cannot be fetched; it should go on to "
                        f"segment {self._last}",
                    )
            await asyncio.sleep(_POLL)

    def _ended(self) -> bool:
        return self._last is None or (Places(self._work.data).served / self._last).exists()

    def _accept_end(self, route: Route, replayed: int) -> None:
        """All WAL is replayed, which is what was asked for where there is no target. Raises NotRestorable."""
        target = route.target
        if target.xid is not None or target.name is not None or target.lsn is not None:
            raise NotRestorable(
                f"{target.describe()} is not in the WAL that is there, from {format_lsn(route.backup.stop_lsn)} to "
                f"{format_lsn(replayed)}"
            )

    async def _end_without_target(self, server: Server, session: Session, route: Route) -> None:
        """No commit is later than the time that was asked for, of which all WAL is there: `choose` has made sure."""
        work = self._work
        (reached,) = await session.row("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn")
        await session.close()
        await server.stop("fast", 600)
        write_durably(work.pgdata / RUNTIME_FILE, recovery_settings(without_target(route), self._command), sync=False)
        await server.start()
        await self._consistent(server)
        deadline = time.monotonic() + MISSING_SECONDS
        while (await queries.status(session)).replay_lsn < int(reached):
            if time.monotonic() > deadline:
                raise ServerError("recovery did not come back to where it was")
            await asyncio.sleep(_POLL)

    async def _promote(self, session: Session, route: Route, commit: datetime | None) -> Restored:
        await session.row("SELECT pg_promote(false)")
        deadline = time.monotonic() + 600
        while await queries.is_in_recovery(session):
            if time.monotonic() > deadline:
                raise ServerError("the promotion after the restore is not done")
            await asyncio.sleep(_POLL)
        timeline, lsn = await queries.write_lsn(session)
        return Restored(route.backup.label, timeline, lsn, commit)
