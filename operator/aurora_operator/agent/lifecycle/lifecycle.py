"""PostgreSQL's life on this copy: getting the data, starting as a standby, coming back, shutting down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from aurora_operator.agent.lifecycle.bootstrap import Bootstrap, copy_over
from aurora_operator.agent.member.configuration import Configuration
from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.member.kubeapi import KubeError
from aurora_operator.agent.replication.clone_source import choose_holder, choose_source
from aurora_operator.agent.replication.follower import Follower
from aurora_operator.agent.replication.leader_history import leader_history
from aurora_operator.agent.replication.repair import Ends, Repair, next_step
from aurora_operator.agent.storage.disk_monitor import DiskMonitor
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.state import ELECTED
from aurora_operator.consensus.types import CopyId, Position, is_epoch_of, name_of
from aurora_operator.postgres.config import conf, configure
from aurora_operator.postgres.errors import CannotRewind, DataError, PostgresError, ServerError, Unavailable
from aurora_operator.postgres.replication.quarantine import prune_kept
from aurora_operator.postgres.replication.rewind import broken_off, rewind
from aurora_operator.postgres.server.ailments import SENTENCES
from aurora_operator.postgres.server.examination import examine
from aurora_operator.postgres.sql import queries, session
from aurora_operator.postgres.wal import pg_wal

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
HALTED_POLL_SECONDS = 0.1
IDLE_PATIENCE_SECONDS = 2.0
FAILED_STARTS_BEFORE_CLONE = 3
ADMIT_POLL_SECONDS = 0.5
ROOM_POLL_SECONDS = 0.1
IMMEDIATE_SECONDS = 0.1
GIVE_WAY_SECONDS = 1.0
REFUSED_SECONDS = 60.0
"""How long a leader may keep us from rewinding."""
STARTING = "this copy of the database is not ready yet"
DEPOSED = "this copy was the writer, and admits clients once the cluster's Service leads to the next one"
PROXY_SECONDS = 2.0
"""How long kube-proxy may take to follow the Service's EndpointSlice (its sync period is one second)."""


class Lifecycle:
    """Runs for the whole life of the agent; everything that stops PostgreSQL ends up here."""

    def __init__(self, copy: Instance, configuration: Configuration, space: DiskMonitor) -> None:
        self._copy = copy
        self._space = space
        self._configuration = configuration
        self._repair: Repair | None = None
        self._failed_starts = 0
        self._ends = Ends()
        self._refused_since: float | None = None
        self._had_data = copy.layout.initialised()
        self._stopping: asyncio.Task[object] | None = None
        self._led = False
        self._beginning = Bootstrap(copy, configuration, self._pause)
        self.replication = Follower(copy, self.ask_repair)

    def ask_repair(self, repair: Repair) -> None:
        """Stop, bring the data directory in order, and start again."""
        self._repair = repair
        self.stop("fast")

    @property
    def stopping(self) -> bool:
        """Whether PostgreSQL is being stopped right now."""
        return self._stopping is not None and not self._stopping.done()

    def stop(self, mode: str) -> None:
        """Stop PostgreSQL; `run` brings it back, unless the agent is closing."""
        copy = self._copy
        if mode == "immediate":
            copy.role = "none"
        self._stopping = asyncio.create_task(self._stop(mode), name=f"stop-{mode}")

    async def _stop(self, mode: str) -> None:
        server = self._copy.server
        if mode == "immediate":
            # No session may outlive the lease, not even one of a server that is frozen.
            await server.stop("immediate", IMMEDIATE_SECONDS)
            return
        with contextlib.suppress(PostgresError, OSError):
            # Archiving what is left is the next writer's: clients must not wait for a destination that is away.
            if configure.write_archive(self._copy.layout, None):
                server.reload()
        with contextlib.suppress(PostgresError):
            # What is written now need not be written while clients wait for the next writer. The second one takes
            # what came while the first, which may be long, was under way.
            await queries.checkpoint(self._copy.session, 30)
            self._copy.proxies.leave()
            await queries.checkpoint(self._copy.session, 30)
        try:
            if self._copy.proxies.leaving:
                await self._copy.proxies.gone()
            self._copy.role = "none"
            await server.stop("fast", 10)
        finally:
            self._copy.proxies.stay()

    async def run(self) -> None:
        """Until the agent is told to end, and PostgreSQL has ended with it."""
        copy = self._copy
        while not copy.closing.is_set():
            if copy.halted:
                copy.say("Stopped", "the cluster is to pause or stop")
                await self._pause(HALTED_POLL_SECONDS)
                continue
            try:
                await self._life()
            except (PostgresError, KubeError, OSError) as error:
                if not isinstance(error, (Unavailable, KubeError)):
                    await self._examine(str(error))
                if copy.ailment is None and self._beginning.failure is None:
                    copy.say("Failed" if self._failed_starts > 1 else "Waiting", str(error))
                log.error("%s", error)
                await self._pause(RETRY_SECONDS * min(self._failed_starts + 1, 5))

    async def _examine(self, complaint: str) -> None:
        """Look whether something is wrong with the volume, and say so; what is damaged is cloned again.

        What PostgreSQL said shows at most where to look.
        """
        copy = self._copy
        if copy.server.alive:
            return
        found = await examine(copy.tools, copy.layout, [*copy.server.last_words, complaint])
        if found is None:
            return
        copy.ailment = found.ailment
        copy.say("Failed", f"{SENTENCES[found.ailment]} ({found.sign})")
        log.error("%s: %s", SENTENCES[found.ailment], found.sign)
        if found.ailment == "corruption":
            self._repair = "clone"
        elif found.ailment == "full":
            # A clone needs even more room.
            self._failed_starts = 0

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._copy.closing.wait()

    async def _life(self) -> None:
        copy = self._copy
        if not copy.layout.initialised():
            await self._acquire()
            if not copy.layout.initialised():
                return
        self._had_data = True
        await asyncio.to_thread(copy.store.note_data)
        if self._beginning.begins() and not await self._beginning.begin():
            return
        await self._give_way()
        if not await self._have_room():
            return
        source = await self._bring_in_order()
        started = time.monotonic()
        admission: asyncio.Task[None] | None = None
        try:
            await self._start(source)
            self._failed_starts = 0
            if copy.ailment != "corruption":
                copy.ailment = None
            copy.say("Detached")
            await self._beginning.check()
            position = await self._first_position()
            copy.driver.post(ev.PostgresUp(position))
            admission = asyncio.create_task(self._admit(position), name="admission")
            code = await copy.server.wait()
        finally:
            if admission is not None:
                admission.cancel()
            copy.role = "none"
            await copy.jobs.cancel()
            await copy.server.stop("immediate", 2)
            if self._space.note_end():
                # Nothing is wrong with the data: to clone them again would take even more room.
                self._failed_starts = 0
            await copy.session.close()
            copy.replicas = ()
            self._led = copy.driver.state.leadership is not None
            copy.driver.post(ev.PostgresDown())
        if not self._repair and not copy.closing.is_set():
            log.warning("PostgreSQL has ended (%d): %s", code, copy.server.complaint())
            await self._examine("")
            if self._ends.ended(code, copy.position_lsn, time.monotonic() - started, led=self._led):
                log.error("PostgreSQL ends again and again at one place; cloning this copy again")
                self._repair = "clone"

    async def _have_room(self) -> bool:
        """Wait until the volume has room for PostgreSQL to start; False when the agent ends before it has."""
        copy = self._copy
        while not self._space.may_start():
            copy.ailment = "full"
            copy.say("Waiting", "the volume is full: PostgreSQL starts once it has grown")
            await self._pause(ROOM_POLL_SECONDS)
            if copy.closing.is_set():
                return False
        return True

    async def _give_way(self) -> None:
        """After leading: let the others elect first, while they are enough to.

        PostgreSQL that comes back at once draws their receivers to it, and takes time of a processor and of a disk
        that they may share.
        """
        copy = self._copy
        led, self._led = self._led, False
        deadline = time.monotonic() + GIVE_WAY_SECONDS
        while led and time.monotonic() < deadline and not copy.closing.is_set() and not copy.follows_open_leader():
            connected = set(copy.peers.connected())
            config = copy.driver.state.durable.config
            if not config.can_write(c for c in config.voters if name_of(c) in connected):
                return
            await asyncio.sleep(0.02)

    async def _acquire(self) -> None:
        """An empty volume: initialise the cluster if that is ours to do, else clone a copy."""
        copy = self._copy
        if self._had_data:
            log.critical("the data directory has disappeared; ending, to come back as another copy")
            copy.closing.set()
            return
        leader = self._live_leader()
        if leader is not None:
            await self._clone(await choose_source(copy, leader))
        elif copy.settings.bootstrap == copy.environment.instance:
            await self._beginning.acquire()
        else:
            copy.say("Waiting", "no leader yet to clone from")
            await self._pause(0.3)

    def _live_leader(self) -> CopyId | None:
        leader = self._copy.leader_id()
        return None if leader == self._copy.id else leader

    async def _clone(self, source: CopyId) -> None:
        copy = self._copy
        where = copy.source(source)
        if where is None:
            raise Unavailable(f"the address of {name_of(source)} is not known yet")
        copy.say("Cloning", f"from {name_of(source)}")
        await copy_over(copy, where, name_of(source), name=copy.id)

    async def _bring_in_order(self) -> conf.Source | None:
        """Rewind or clone if that was asked for; returns whom the server must follow to become consistent."""
        copy = self._copy
        repair = self._repair
        if self._failed_starts >= FAILED_STARTS_BEFORE_CLONE and self._live_leader() is not None:
            log.error("PostgreSQL did not start %d times; cloning this copy again", self._failed_starts)
            repair = "clone"
        torn = broken_off(copy.layout)
        step = next_step(
            repair, leader=copy.hears_leader(), torn=torn is not None, corrupt=copy.ailment == "corruption"
        )
        if step == "complete" and torn is not None:
            return await self._complete(torn)
        if step == "start":
            if repair is not None and repair != "restart":
                log.info("the leader to %s this copy from is gone: starting it as it is", repair)
            self._repair = None
            await pg_wal.clean_future_histories(copy.tools, copy.layout.pgdata)
            return None
        leader, source = self._live_leader(), self._leader_source()
        if leader is None or source is None:
            raise Unavailable(f"no leader is known; waiting for one to {step} this copy")
        if step == "rewind":
            copy.say("Rewinding", f"to the history of {name_of(leader)}")
            try:
                await self._rewind(leader, source)
                self._refused_since = None
            except Unavailable as error:
                self._refused_since = self._refused_since or time.monotonic()
                if time.monotonic() - self._refused_since < REFUSED_SECONDS:
                    raise
                # To be cloned from, it need not let us into a database.
                log.warning("%s for %g s: %s; cloning instead", name_of(leader), REFUSED_SECONDS, error)
                self._repair, self._refused_since, step = "clone", None, "clone"
            except DataError as error:
                log.warning("cannot rewind: %s; cloning instead", error)
                self._repair = step = "clone"
        if step == "clone":
            await self._clone(await choose_source(copy, leader))
            self._failed_starts = 0
            copy.ailment = None
        self._repair = None
        return self._leader_source()

    async def _complete(self, epoch: int) -> conf.Source | None:
        """Clone where a rewind to the leader of `epoch` broke off and no leader is there: none may come without us.

        Any copy that has passed that epoch's start will do. Its leader had all that we ever acknowledged, and we have
        acknowledged nothing since.
        """
        copy = self._copy
        found = await choose_holder(copy, epoch)
        if found is None:
            raise Unavailable(
                f"this copy waits for a leader, or any copy with the history of epoch {epoch}, to complete its rewind"
            )
        await self._clone(found)
        self._failed_starts, self._repair = 0, None
        return copy.source(found)

    async def _rewind(self, leader: CopyId, source: conf.Source) -> None:
        copy = self._copy
        started = time.monotonic()
        history = await leader_history(copy.layout, source, copy.leader_epoch())
        try:
            kept = await rewind(
                copy.tools,
                copy.layout,
                source,
                history,
                copy=copy.id,
                on_progress=lambda done, total: copy.progress("rewind", leader, started, done, total),
            )
        finally:
            copy.task = None
        await asyncio.to_thread(prune_kept, copy.layout)
        log.info("rewound to %s in %.1f s; what it discarded is in %s", leader, time.monotonic() - started, kept)

    def _leader_source(self) -> conf.Source | None:
        return self._copy.source(self._live_leader())

    async def _start(self, source: conf.Source | None) -> None:
        """Start as a standby and wait until it takes sessions: that is, until it is consistent."""
        copy = self._copy
        copy.say("Recovering")
        await self._configuration.prepare_start(source, STARTING)
        self._space.prepare_start()
        self._failed_starts += 1
        try:
            await copy.server.start()
        except CannotRewind:
            self._repair = "clone"
            raise
        await asyncio.to_thread(session.load)
        while True:
            try:
                await copy.server.wait_ready(2)
                return
            except ServerError:
                if not copy.server.alive:
                    raise
            copy.say("Recovering", copy.server.last_words[-1] if copy.server.last_words else "")
            newest = self._leader_source()
            if newest is not None and newest != source:
                # Consistent only with WAL that another copy has: whoever leads now has it.
                source = newest
                configure.write_runtime(copy.layout, conf.Runtime(source), copy=copy.id)
                copy.server.reload()

    async def _admit(self, position: Position) -> None:
        """Let clients in as a reader's, once none can come who wants the writer.

        A copy that led last may still be where the writer's Service points, and would serve its clients the past.
        `position` is from before it followed anybody else: its newest WAL is its own then.
        """
        copy = self._copy
        ordinal = copy.driver.state.ordinal
        led = is_epoch_of(position.epoch, ordinal) or is_epoch_of(copy.driver.state.durable.promised, ordinal)
        if led or copy.endpoint_mark.exists():
            if copy.driver.state.role not in ELECTED:
                copy.door.close(DEPOSED)
            while True:
                with contextlib.suppress(KubeError):
                    if await copy.kube.writer_address() != copy.environment.pod_ip:
                        break
                await asyncio.sleep(ADMIT_POLL_SECONDS)
            await asyncio.sleep(PROXY_SECONDS)
        if copy.driver.state.role not in ELECTED:
            copy.endpoint_mark.unlink(missing_ok=True)
            copy.door.open()
            copy.role = "reader"

    async def _first_position(self) -> Position:
        """Where this standby is; with a moment's patience for what it has but not replayed."""
        copy = self._copy
        deadline = time.monotonic() + IDLE_PATIENCE_SECONDS
        while True:
            now = await queries.status(copy.session)
            copy.note_standby(now)
            if lacking := await copy.standby.lacking(now, copy.tools):
                raise ServerError(f"replay needs more than it was started with: {lacking}")
            if now.waiting_for_wal or now.receiver is not None or time.monotonic() > deadline:
                timeline = await asyncio.to_thread(pg_wal.local_timeline, copy.layout.pgdata, now.lsn)
                return Position(timeline, now.lsn)
            await asyncio.sleep(0.02)
