"""The writer's side: promotion, opening, the sync rule, slots, and what only a writer may change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine

from aurora_operator.agent.member.commit_meter import CommitMeter
from aurora_operator.agent.member.configuration import Configuration
from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.member.kubeapi import until_done
from aurora_operator.agent.replication.crowding import Crowding
from aurora_operator.agent.replication.record_keeper import RecordKeeper
from aurora_operator.api.agent.messages import ReplicaStatus
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.membership import is_settled
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, SyncRule, name_of
from aurora_operator.postgres.config.conf import Runtime, follower_name, parse_follower, slot_name
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.replication.base_backup import drop_replaced
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.wal.timeline import History, render_history

log = logging.getLogger(__name__)

OPENING_POLL_SECONDS = 0.015
LEADING_POLL_SECONDS = 0.25
SETTLED_POLL_SECONDS = 0.5
"""While no change of membership waits for what is seen."""
HOUSEKEEPING_SECONDS = 2.0
RECORD_SECONDS = 10.0
PROMOTE_SECONDS = 30.0
TELL_SECONDS = 10.0
"""For so long a new leader tells its history with each heartbeat: its followers need not ask for it."""
TELL_SWITCHES = 1000
PROMOTING = "this copy of the database is about to become the writer"
LEAVING = "the database cluster is being deleted, and admits nobody while its last snapshot is taken"


def _followers(rule: SyncRule, epoch: int) -> tuple[str, ...]:
    return tuple(follower_name(copy, epoch) for copy in rule.names)


class Leader:
    """Jobs of an elected copy. `duties` runs from the promotion to the end of the leadership."""

    def __init__(self, copy: Instance, configuration: Configuration, stop_at_once: Callable[[], None]) -> None:
        self._copy = copy
        self._stop_at_once = stop_at_once
        self._configuration = configuration
        self._record = RecordKeeper(copy.kube, lambda: copy.id, lambda: copy.driver, lambda: copy.system_identifier)
        self._chores: set[asyncio.Task[None]] = set()
        self._closed = False  # whether the door is, because the settings do

    async def promote(self, epoch: int, rule: SyncRule) -> None:
        """See `events.Promote`; then the duties of a leader, until cancelled."""
        copy = self._copy
        copy.say("Promoting", f"epoch {epoch}")
        started = time.monotonic()
        begun = False
        try:
            await self._prepare(epoch, rule)
            begun = True
            start = await self._promote(epoch)
        except PostgresError as error:
            log.error("promotion to epoch %d failed: %s", epoch, error)
            copy.driver.post(ev.Promoted(epoch, None, begun))
            self._stop_at_once()
            return
        log.info("promoted onto timeline %d in %.0f ms", epoch, (time.monotonic() - started) * 1000)
        copy.driver.post(ev.Promoted(epoch, start))
        try:
            await self._duties(epoch)
        finally:
            self._tell_no_more()

    async def _prepare(self, epoch: int, rule: SyncRule) -> None:
        copy = self._copy
        copy.role = "none"
        copy.closed = False
        copy.commits = CommitMeter()
        copy.door.close(PROMOTING)
        # Elected: nobody else can acknowledge a commit. Clients who come early are turned away until we open, while
        # kube-proxy, which takes up to a second, follows.
        self._chore("publish the writer's endpoint", self._publish(epoch))
        await copy.standby.apply(Runtime(sync=(rule.need, _followers(rule, epoch))))
        await queries.terminate_clients(copy.session)
        await copy.standby.prepare_to_promote(epoch, PROMOTE_SECONDS)

    async def _promote(self, epoch: int) -> int:
        promotion = await self._copy.standby.promote_prepared(epoch, PROMOTE_SECONDS)
        self._tell(promotion.history)
        await self._keep_slots(reserved=False)
        return promotion.start

    def _tell(self, history: History) -> None:
        """Spare the followers asking. Of a long history the end does, for those who were with the last leader."""
        short = len(history.switches) <= TELL_SWITCHES
        told = history if short else History(history.timeline, history.switches[-1:])
        text = (history.timeline, render_history(told))
        self._copy.peers.history, self._copy.peers.recent = (text, None) if short else (None, text)

    def _tell_no_more(self) -> None:
        self._copy.peers.history = self._copy.peers.recent = None

    async def _duties(self, epoch: int) -> None:
        copy = self._copy
        began = tidy = recorded = time.monotonic()
        crowding = Crowding(copy)
        known: set[CopyId] = set()
        while True:
            try:
                closed = await self._keep_closed()
                await self._report_replication(epoch)
                copy.closed = closed
                peers = self._peers()
                if peers != known or time.monotonic() - tidy > HOUSEKEEPING_SECONDS:
                    tidy, known = time.monotonic(), peers
                    await self._keep_slots(reserved=tidy - began > HOUSEKEEPING_SECONDS)
                if copy.driver.state.role == Role.LEADING:
                    await crowding.look(time.monotonic() - began)
                if copy.driver.state.role == Role.LEADING and time.monotonic() - recorded > RECORD_SECONDS:
                    recorded = time.monotonic()
                    self._chore("keep the record", self._record.keep(epoch))
            except (PostgresError, OSError) as error:
                if copy.server.state() == "ready":
                    log.warning("leading: %s", error)
            if time.monotonic() - began > TELL_SECONDS:
                self._tell_no_more()
            await asyncio.sleep(self._pause())

    async def _keep_closed(self) -> bool:
        """See `Settings.closed`; whether nobody is in any more, and what all have written is on disk.

        Who was in the middle of logging in when the door closed comes in all the same: so it is looked for again.
        """
        copy, closed = self._copy, self._copy.settings.closed
        if copy.role != "writer" or not (closed or self._closed):
            return False
        self._closed = closed
        if copy.door.close(LEAVING) if closed else copy.door.open():
            log.info("clients are shut out" if closed else "clients are let in again")
            return False
        if not closed or await queries.terminate_guests(copy.session):
            return False
        if not copy.closed:
            await queries.flush_wal(copy.session)
        return True

    def _pause(self) -> float:
        state = self._copy.driver.state
        if state.role in (Role.PROMOTING, Role.OPENING):
            return OPENING_POLL_SECONDS
        return SETTLED_POLL_SECONDS if is_settled(state) else LEADING_POLL_SECONDS

    def _peers(self) -> set[CopyId]:
        led = self._copy.driver.state.leadership
        return set() if led is None else set(led.peers)

    async def _report_replication(self, epoch: int) -> None:
        copy = self._copy
        seen = await queries.replication(copy.session)
        lsn, rows = seen.lsn, seen.replicas
        copy.commits.note(time.monotonic(), lsn, seen.acknowledged)
        copy.position_lsn = copy.leader_lsn = lsn
        voters = copy.driver.state.durable.config.voters
        followers = [(*parse_follower(r.application_name), r) for r in rows]
        flushed = {name: r.flush_lsn for name, of, r in followers if r.state == "streaming" and of == epoch}
        copy.replicas = tuple(
            ReplicaStatus(
                name=name_of(name),
                incarnation=name.partition("/")[2],
                state=r.state,
                flush_lsn=r.flush_lsn,
                replay_lsn=r.replay_lsn or r.flush_lsn,  # A log copy replays nothing.
                lag_bytes=max(lsn - (r.replay_lsn or r.flush_lsn), 0),
                lag_seconds=r.replay_lag,
                voting=name in voters,
            )
            for name, _, r in followers
            if "/" in name
        )
        copy.driver.post(ev.Replication(epoch, flushed, lsn))

    async def _keep_slots(self, *, reserved: bool) -> None:
        """A slot for each member that is there, none for anybody else. `reserved`: its WAL waits for it even if it
        has not come yet, and one whose WAL is gone can come back by cloning."""
        copy = self._copy
        voters = copy.driver.state.durable.config.voters
        wanted = {slot_name(c) for c in (self._peers() | voters) - {copy.id} if copy.settings.member(name_of(c))}
        slots = {s.name: s for s in await queries.slots(copy.session)}
        for name, slot in list(slots.items()):
            unused = reserved and (slot.restart_lsn is None or slot.wal_status == "lost")
            if not slot.active and (unused or name not in wanted):
                log.info("dropping the replication slot %s: no member uses it", name)
                if await queries.drop_slot(copy.session, name):
                    del slots[name]
        for name in sorted(wanted - slots.keys()):
            await queries.create_slot(copy.session, name)

    def open(self, epoch: int) -> None:
        """See `events.Open`: clients first, then the rest of the world, each retried until done."""
        self._chore("open for clients", self._open(epoch))

    async def _open(self, epoch: int) -> None:
        copy = self._copy
        with contextlib.suppress(PostgresError):
            # Who was in the middle of logging in when the door closed is no reader's client any more.
            await queries.terminate_clients(copy.session, 0.5)
        if copy.settings.origin is not None:
            # The passwords in the data are those of where they came from.
            await self._create_roles()
        with contextlib.suppress(PostgresError):
            if not await queries.has_login(copy.session, copy.settings.master_username, copy.settings.database_name):
                # A new cluster: who came before them would be told that the password is wrong. Tried once, since those
                # who know another way in need not wait for what cannot be made.
                await self._configuration.ensure_roles()
        self._closed = copy.settings.closed
        if not self._closed:
            copy.door.open()
        copy.role = "writer"
        copy.say("Leading")
        log.info("open for clients as the writer of epoch %d", epoch)
        self._chore("publish the writer's endpoint", self._publish(epoch))
        self._chore("create the master user", self._create_roles())
        self._chore("write the record", self._record.claim(epoch))
        try:
            # Of a copy that was cloned without a leader, and has followed nobody since.
            await asyncio.to_thread(drop_replaced, copy.layout)
        except OSError as error:
            log.warning("removing what a clone has replaced: %s", error)

    def _chore(self, what: str, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine, name=what)
        self._chores.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("could not %s: %s", task.get_name(), error)
            self._copy.fail(error)

    def end_chores(self) -> None:
        """The leadership is over."""
        for task in self._chores:
            task.cancel()

    async def _publish(self, epoch: int) -> None:
        copy = self._copy
        copy.endpoint_mark.touch()
        await until_done("publishing the writer's endpoint", lambda: copy.kube.publish_writer(epoch))

    async def _create_roles(self) -> None:
        """Idempotent; also takes over a changed password. Retried, since commits may wait for their quorum."""
        while True:
            try:
                await self._configuration.ensure_roles()
                return
            except PostgresError as error:
                log.warning("creating roles: %s", error)
                await asyncio.sleep(1)

    def set_sync(self, key: ConfigKey, rule: SyncRule) -> None:
        """See `events.SetSync`."""
        led = self._copy.driver.state.leadership
        if led is not None:
            self._chore("put the sync rule in force", self._set_sync(key, rule, led.epoch))

    async def _set_sync(self, key: ConfigKey, rule: SyncRule, epoch: int) -> None:
        copy = self._copy
        while True:
            try:
                lsn = await copy.standby.set_sync(rule.need, _followers(rule, epoch))
                break
            except PostgresError as error:
                log.warning("putting the sync rule in force: %s", error)
                await asyncio.sleep(1)
        copy.driver.post(ev.SyncInForce(key, lsn))

    def read_record(self, asked: int) -> None:
        """See `events.ReadRecord`."""
        self._chore("look at the record", self._record.look(asked))

    def write_record(self, epoch: int, before: ConfigKey, after: Config) -> None:
        """See `events.WriteRecord`."""
        wish = ev.WriteRecord(epoch, before, after)
        self._chore("write the membership into the record", self._record.change(wish))
