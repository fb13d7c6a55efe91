"""A standby's side: stop receiving, follow the leader, fetch what a candidate lacks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.replication.leader_history import (
    leader_history,
    remote_history,
    wal_is_gone,
    wal_segments,
)
from aurora_operator.agent.replication.log_fetch import LogFetch, MustRestart
from aurora_operator.agent.replication.repair import Repair
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.types import CopyId, Position, name_of
from aurora_operator.net.http_client import ClientError
from aurora_operator.postgres.config.conf import Runtime, Source, slot_name
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.replication.base_backup import drop_replaced
from aurora_operator.postgres.replication.standby import LocalPosition
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal import history_files, pg_wal
from aurora_operator.postgres.wal.timeline import History, how_to_follow

log = logging.getLogger(__name__)

CONNECT_POLL_SECONDS = 0.05
WATCH_SECONDS = 0.5
IDLE_SECONDS = 1.0
"""While nothing comes."""
JUDGE_AFTER_SECONDS = 0.5
JUDGE_SELDOM_SECONDS = 8.0
FETCH_SECONDS = 10.0


class Patience:
    """When a standby that has not come into its leader's epoch is to be asked why. Times are of one clock, in seconds.

    That it streams at a moment says nothing yet: where recovery refuses the leader's timeline, the receiver streams
    the end of the old one again and again, for ever (walreceiver.c). One that streams and has much to catch up is
    asked ever more seldom.
    """

    def __init__(self, now: float) -> None:
        """Begin to wait now."""
        self.arrived(now)

    def arrived(self, now: float) -> None:
        """It streams in the leader's epoch."""
        self._since, self._bears = now, JUDGE_AFTER_SECONDS

    def is_over(self, now: float, *, streaming: bool) -> bool:
        """Whether to ask now; if so, the wait for the next question begins."""
        if not streaming:
            self._bears = JUDGE_AFTER_SECONDS
        if now - self._since <= self._bears:
            return False
        self._since, self._bears = now, min(2 * self._bears, JUDGE_SELDOM_SECONDS)
        return True


class Follower:
    """Jobs that run one at a time while PostgreSQL is a standby."""

    def __init__(self, copy: Instance, repair: Callable[[Repair], None]) -> None:
        """`repair` has PostgreSQL stopped and its data brought in order before it starts again."""
        self._copy = copy
        self._repair = repair

    async def stop_receiver(self, epoch: int) -> None:
        """See `events.StopReceiver`."""
        copy = self._copy
        copy.say("Electing", f"promised epoch {epoch}")
        while True:
            try:
                position = await copy.standby.stop_receiving()
                break
            except PostgresError as error:
                log.warning("cannot stop receiving WAL yet: %s", error)
                await asyncio.sleep(CONNECT_POLL_SECONDS)
        copy.driver.post(ev.ReceiverStopped(epoch, Position(*position)))

    async def follow(self, leader: CopyId, epoch: int) -> None:
        """See `events.Follow`. Runs until another job takes over."""
        copy = self._copy
        copy.say("Following", f"connecting to {name_of(leader)}")
        patience = Patience(time.monotonic())
        pointed: Source | None = None
        tidied = False
        while True:
            streaming = arrived = False
            before = copy.position_lsn
            try:
                source = copy.source(leader)
                if source != pointed and source is not None:
                    history, here = await self._compare(leader, source, epoch)
                    if here is None:
                        copy.say("Following", f"has WAL that {name_of(leader)} never had")
                        self._repair("rewind")
                        return
                    await asyncio.to_thread(history_files.prepare_to_follow, copy.layout.pgdata, here.timeline, history)
                    await copy.standby.apply(Runtime(source, slot_name(copy.id), epoch))
                    pointed = source
                now = await self._look()
                if lacking := await copy.standby.lacking(now, copy.tools):
                    copy.say("Following", f"starting again with as much as {name_of(leader)} has: {_text(lacking)}")
                    self._repair("restart")
                    return
                streaming = _streams_from(source, now)
                arrived = streaming and self._is_in(epoch)
                if arrived:
                    patience.arrived(time.monotonic())
                elif patience.is_over(time.monotonic(), streaming=streaming):
                    await self._judge(leader, epoch, streaming=streaming)
            except (PostgresError, OSError) as error:
                copy.say("Following", f"cannot stream from {name_of(leader)} yet: {error}")
            if streaming:
                if not arrived:
                    # Its end of an earlier history may yet prove not to be the leader's.
                    copy.say("Following", f"not yet in epoch {epoch} of {name_of(leader)}")
                    await asyncio.sleep(CONNECT_POLL_SECONDS)
                    continue
                copy.say("Following")
                if not tidied:
                    # The replacement is complete and follows: what a clone replaced is not needed any more.
                    await asyncio.to_thread(drop_replaced, copy.layout)
                    await self._keep_slots_ready()
                    tidied = True
            calm = IDLE_SECONDS if copy.position_lsn == before else WATCH_SECONDS
            await asyncio.sleep(calm if streaming else CONNECT_POLL_SECONDS)

    async def _compare(self, leader: CopyId, source: Source, epoch: int) -> tuple[History, LocalPosition | None]:
        """The leader's history, and how far this copy is, if all that it has is part of it."""
        copy = self._copy
        history = copy.peers.history_of(leader, epoch)
        recent = copy.peers.recent_of(leader, epoch) if history is None else None
        if recent is not None and (here := await copy.standby.fits(recent)) is not None:
            return recent, here
        if history is None:
            # All of it: this copy may be of a timeline further back.
            history = await leader_history(copy.layout, source, epoch)
        return history, await copy.standby.fits(history)

    def _is_in(self, epoch: int) -> bool:
        reached = self._copy.driver.state.position
        return reached is not None and reached.epoch >= epoch

    async def _keep_slots_ready(self) -> None:
        """Have a slot for each voter that would follow this copy, so that a failover need not make them.

        They keep no WAL until somebody uses them. Those that do are of an earlier leadership, and are made anew.
        """
        copy = self._copy
        voters = copy.driver.state.durable.config.voters
        wanted = {slot_name(c) for c in voters - {copy.id}}
        slots = {s.name: s for s in await queries.slots(copy.session)}
        for name, slot in slots.items():
            if not slot.active and (slot.restart_lsn is not None or name not in wanted):
                await queries.drop_slot(copy.session, name)
        for name in sorted(wanted - {s.name for s in slots.values() if s.restart_lsn is None}):
            await queries.create_slot(copy.session, name, reserve=False)

    async def _look(self) -> queries.Status:
        """What the server is doing; the position goes to the consensus on the way."""
        copy = self._copy
        now = await queries.status(copy.session)
        copy.note_standby(now)
        known = copy.driver.state.position
        if known is None or known.lsn != now.lsn:
            timeline = await asyncio.to_thread(pg_wal.local_timeline, copy.layout.pgdata, now.lsn)
            copy.driver.post(ev.LocalPosition(Position(timeline, now.lsn)))
        return now

    async def _judge(self, leader: CopyId, epoch: int, *, streaming: bool) -> None:
        """Not where it should be: wait on, or have the histories brought together. Only the leader is believed."""
        copy = self._copy
        source = copy.source(leader)
        if source is None:
            return
        now = await queries.status(copy.session)
        if not streaming and wal_is_gone(await wal_segments(copy.layout, source), now.lsn):
            copy.say("Following", f"{name_of(leader)} no longer has the WAL that this copy needs; cloning it again")
            self._repair("clone")
            return
        history = await leader_history(copy.layout, source, epoch)
        timeline = await asyncio.to_thread(pg_wal.local_timeline, copy.layout.pgdata, now.replay_lsn)
        local = await asyncio.to_thread(pg_wal.read_histories, copy.layout.pgdata, timeline)
        verdict = how_to_follow(history, timeline, now.replay_lsn, local)
        log.info("not yet in the epoch of %s; at timeline %d, LSN %d: %s", leader, timeline, now.replay_lsn, verdict)
        if verdict != "stream":
            self._repair(verdict)

    async def fetch(self, epoch: int, source: CopyId, target: Position) -> None:
        """See `events.Fetch`."""
        copy = self._copy
        copy.say("Electing", f"fetching from {name_of(source)} up to {target.epoch}/{target.lsn:X}")
        position: Position | None = None
        member = copy.settings.member(name_of(source))
        where = copy.source(source)
        if where is not None and member is not None and member.kind == "log":
            position = await self._fetch_from_log(where, target)
        elif where is not None:
            position = await self._fetch_by_streaming(where, target)
        copy.driver.post(ev.Fetched(epoch, position))

    async def _fetch_from_log(self, source: Source, target: Position) -> Position | None:
        copy = self._copy
        try:
            return await LogFetch(copy.standby, copy.certificates.client, source, target).run()
        except MustRestart:
            log.warning("starting again to fetch from %s: recovery aims at another timeline", source.host)
            self._repair("restart")
        except (PostgresError, ClientError, OSError) as error:
            log.warning("could not fetch from %s: %s", source.host, error)
        return None

    async def _prepare_to_fetch(self, source: Source, target: Position) -> None:
        """As for following, where the target is of a later timeline than this copy's."""
        copy = self._copy
        here = copy.driver.state.position
        if here is None or here.epoch >= target.epoch:
            return
        history = await remote_history(copy.layout, source, target.epoch)
        if history.includes(here.epoch):
            await asyncio.to_thread(history_files.prepare_to_follow, copy.layout.pgdata, here.epoch, history)

    async def _fetch_by_streaming(self, source: Source, target: Position) -> Position | None:
        copy = self._copy
        try:
            await self._prepare_to_fetch(source, target)
        except PostgresError as error:
            log.warning("fetching from %s with what history files it has: %s", source.host, error)
        try:
            await copy.standby.receive_until(Runtime(source), target.lsn, FETCH_SECONDS)
        except PostgresError as error:
            log.warning("could not fetch from %s: %s", source.host, error)
        try:
            return Position(*await copy.standby.stop_receiving())
        except PostgresError as error:
            log.warning("cannot tell how much came from %s: %s", source.host, error)
        return None


def _streams_from(source: Source | None, now: queries.Status) -> bool:
    receiver = now.receiver
    return (
        receiver is not None
        and receiver.status == "streaming"
        and source is not None
        and receiver.sender in (source.host, source.address)
    )


def _text(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
