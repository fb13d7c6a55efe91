"""What consensus asks of a running standby: stop receiving, say how far it is, follow, be promoted."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from aurora_operator.postgres.config.conf import Runtime, fetched_command, render_source, render_sync
from aurora_operator.postgres.config.configure import write_runtime
from aurora_operator.postgres.errors import DataError, ServerError, Unavailable
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server.control import STANDBY_MINIMUMS, read_control
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.sql.session import Session
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.timeline import History, is_part

_POLL: Final = 0.01
_RESCAN: Final = 0.1
"""Longer than two wal_retrieve_retry_intervals: within it, recovery looks at all of pg_wal again."""


_SHOWS: Final = 0.03
"""Longer than it takes from asking for a WAL receiver until its process is seen."""


class LocalPosition(NamedTuple):
    """How far a copy's durable log goes: the timeline of its last byte, and the LSN after it."""

    timeline: int
    lsn: int


class Promotion(NamedTuple):
    """A promotion that happened. Who has flushed `start` is on the new timeline."""

    timeline: int
    switch: int
    start: int
    history: History


class _Quiet:
    """Measures for how long there was no receiver, and for how long replay stood still, in seconds."""

    def __init__(self) -> None:
        self._gone_since: float | None = None
        self._replayed = -1
        self._still_since = 0.0

    def seen(self, status: queries.Status) -> tuple[float, float]:
        now = time.monotonic()
        if status.receiver is not None:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = now
        if status.replay_lsn != self._replayed or self._gone_since is None:
            self._replayed, self._still_since = status.replay_lsn, now
        return (0.0 if self._gone_since is None else now - self._gone_since), now - self._still_since


@dataclass(frozen=True, slots=True)
class Standby:
    """A running server with what is needed to steer it. `copy` is this copy's id."""

    server: Server
    session: Session
    layout: Layout
    copy: str

    async def apply(self, runtime: Runtime, timeout: float = 5) -> None:  # noqa: ASYNC109
        """Put `runtime` in force: all processes of the server have been told when this returns.

        Raises ServerError when the server does not run, Unavailable when it does not answer.
        """
        if write_runtime(self.layout, runtime, copy=self.copy):
            self.server.reload()
        source = render_source(runtime, self.layout, self.copy)
        await queries.reload_seen(self.session, "primary_conninfo", source, timeout)
        if runtime.fetched:
            await queries.reload_seen(self.session, "restore_command", fetched_command(self.layout), timeout)
        if runtime.sync is not None:
            await queries.reload_seen(self.session, "synchronous_standby_names", render_sync(*runtime.sync), timeout)

    async def stop_receiving(self, timeout: float = 5) -> LocalPosition:  # noqa: ASYNC109
        """Stop receiving WAL for good, see that it has stopped, and only then read the position.

        From then on this copy can acknowledge nothing to anybody. What it has received counts, replayed or not:
        queries may hold replay back. Raises Unavailable, ServerError, DataError.
        """
        deadline = time.monotonic() + timeout
        await self.apply(Runtime(), timeout)
        quiet = _Quiet()
        while True:
            now = await queries.status(self.session)
            if not now.in_recovery:
                raise ServerError("not a standby")
            if now.receiver is not None:
                # The reload ends it too, but only once recovery is between two records.
                await queries.terminate(self.session, now.receiver.pid)
            gone_for, still_for = quiet.seen(now)
            received = now.receive_lsn >= now.replay_lsn > 0
            # Recovery may have asked for a receiver just before it was told: that one shows within moments.
            if gone_for > _SHOWS and (received or (now.waiting_for_wal and still_for > _RESCAN and now.lsn > 0)):
                return await self._local(now.lsn)
            if time.monotonic() > deadline:
                raise Unavailable(f"the WAL receiver did not stop within {timeout:g} s")
            await asyncio.sleep(_POLL)

    async def lacking(self, now: queries.Status, tools: Tools) -> dict[str, int]:
        """Where replay is paused since the primary has more of something than this server: what, and how much.

        PostgreSQL notes it in pg_control, and waits: only a restart with as much lets it go on. Empty where somebody
        asked for the pause. Raises PostgresError.
        """
        if not now.paused:
            return {}
        demanded = (await read_control(tools, self.layout.pgdata)).standby_minimums
        given = await queries.whole_numbers(self.session, STANDBY_MINIMUMS)
        return {name: least for name, least in demanded.items() if least > given[name]}

    async def wait_idle(self, timeout: float) -> LocalPosition:  # noqa: ASYNC109
        """Without a receiver: wait until all local WAL is replayed; the LSN is the end of the last whole record.

        Only this LSN tells whether the copy fits a leader's history (`timeline.how_to_follow`): a torn record after
        it may have been received, and will never be replayed. Raises Unavailable when replay is not done in time.
        """
        deadline = time.monotonic() + timeout
        quiet = _Quiet()
        while True:
            now = await queries.status(self.session)
            if now.receiver is not None or not now.in_recovery:
                raise ServerError("this server receives WAL or writes it: it is never idle")
            _, still_for = quiet.seen(now)
            rescanned = now.waiting_for_wal and still_for > _RESCAN
            if now.replay_lsn > 0 and (now.replay_lsn == now.receive_lsn or rescanned):
                return await self._local(now.replay_lsn)
            if time.monotonic() > deadline:
                raise Unavailable(f"not all WAL is replayed after {timeout:g} s")
            await asyncio.sleep(_POLL)

    async def fits(self, history: History, timeout: float = 5) -> LocalPosition | None:  # noqa: ASYNC109
        """How far this standby is, if all of it is part of a leader's history: nobody else may acknowledge to it.

        Asked before it streams from there. Only where the WAL that it received goes beyond the leader's beginning,
        it stops receiving, and what it can replay decides: the rest may be a torn record. Raises Unavailable,
        ServerError.
        """
        here = await self._local((await queries.status(self.session)).lsn)
        if not is_part(history, *here):
            await self.stop_receiving(timeout)
            here = await self.wait_idle(timeout)
        return here if is_part(history, *here) else None

    async def _local(self, lsn: int) -> LocalPosition:
        return LocalPosition(await asyncio.to_thread(pg_wal.local_timeline, self.layout.pgdata, lsn), lsn)

    async def receive_until(self, runtime: Runtime, lsn: int, timeout: float) -> None:  # noqa: ASYNC109
        """Receive from `runtime.source` until all before `lsn` is on this volume. Raises Unavailable.

        Call `stop_receiving` afterwards, whatever came of it.
        """
        deadline = time.monotonic() + timeout
        await self.apply(runtime, timeout)
        while (await queries.status(self.session)).lsn < lsn:
            if time.monotonic() > deadline:
                raise Unavailable(f"the WAL that is missing did not come within {timeout:g} s")
            await asyncio.sleep(_POLL)

    async def promote(self, epoch: int, timeout: float = 10) -> Promotion:  # noqa: ASYNC109
        """`prepare_to_promote`, then `promote_prepared`."""
        await self.prepare_to_promote(epoch, timeout)
        return await self.promote_prepared(epoch, timeout)

    async def prepare_to_promote(self, epoch: int, timeout: float = 10) -> None:  # noqa: ASYNC109
        """Have an idle standby's next promotion be onto timeline `epoch`.

        Before: clients refused and gone, the synchronous rule applied. Raises DataError when PostgreSQL would take
        another timeline; Unavailable, ServerError. Nothing bears the number then: it may be tried again.
        """
        here = await self.wait_idle(timeout)
        if await asyncio.to_thread(pg_wal.needs_restart_to_promote, self.layout.pgdata, *here):
            raise DataError("recovery may aim at a timeline that this copy never had: restart it first")
        await asyncio.to_thread(pg_wal.write_placeholders, self.layout.pgdata, here.timeline, epoch)

    async def promote_prepared(self, epoch: int, timeout: float = 10) -> Promotion:  # noqa: ASYNC109
        """Promote onto timeline `epoch`, after `prepare_to_promote`. Slots, roles and access are the caller's.

        Raises ServerError or Unavailable when it was tried and is not done: the server must then be stopped at once.
        """
        await self.session.row("SELECT pg_promote(false)")
        deadline = time.monotonic() + timeout
        while await queries.is_in_recovery(self.session):
            if time.monotonic() > deadline:
                raise ServerError(f"the promotion is not done after {timeout:g} s")
            await asyncio.sleep(_POLL)
        timeline, start = await queries.write_lsn(self.session)
        history = await asyncio.to_thread(pg_wal.read_history, self.layout.pgdata, timeline)
        if timeline != epoch or history is None or not history.contiguous() or history.start > start:
            raise ServerError(f"promoted onto timeline {timeline}, not {epoch}, or with a wrong history")
        return Promotion(timeline, history.start, start, history)

    async def set_sync(self, need: int, copies: tuple[str, ...], timeout: float = 60) -> int:  # noqa: ASYNC109
        """On the writer: put a rule in force; every commit from the returned LSN on waits for it.

        What waits is released by processes that look at the rule before each answer that they take in; so it is in
        force once they have been told. Only turning waiting on takes more: the checkpointer does that, when it is
        not in the middle of a checkpoint. Raises Unavailable, ServerError.
        """
        (before,) = await self.session.row("SELECT current_setting('synchronous_standby_names')")
        await self.apply(Runtime(sync=(need, copies)), timeout)
        if not before and need:
            await queries.checkpoint(self.session, timeout)
            await queries.checkpoint(self.session, timeout)
        return await queries.flush(self.session)
