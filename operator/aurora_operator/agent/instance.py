"""Puts the parts together, and is the service behind the HTTP API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from aurora_operator.agent import effects
from aurora_operator.agent.backup.backups import Backups
from aurora_operator.agent.errors import Refused
from aurora_operator.agent.lifecycle.hang_detector import detector_of
from aurora_operator.agent.lifecycle.lifecycle import PROXY_SECONDS, Lifecycle
from aurora_operator.agent.lifecycle.login_guard import LoginGuard
from aurora_operator.agent.member import dataloss, life, status
from aurora_operator.agent.member.accept_settings import keep_newer
from aurora_operator.agent.member.configuration import Configuration
from aurora_operator.agent.member.driver import Driver
from aurora_operator.agent.member.durable_state import Store, Taken
from aurora_operator.agent.member.environment import Environment
from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.member.kubeapi import KubeApi
from aurora_operator.agent.peers.peers import Peers
from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.agent.ports import Ports, clock
from aurora_operator.agent.power.idle_meter import IdleMeter
from aurora_operator.agent.power.shutdown import Shutdown
from aurora_operator.agent.process import memory
from aurora_operator.agent.process.reaper import Reaper
from aurora_operator.agent.process.watchdog import Watchdog
from aurora_operator.agent.replication.back_pressure import BackPressure
from aurora_operator.agent.replication.leader import Leader
from aurora_operator.agent.replication.left_slots import LeftSlots
from aurora_operator.agent.replication.role_label import RoleLabel
from aurora_operator.agent.replication.tidying import Tidying
from aurora_operator.agent.scaling.load_meter import LoadMeter
from aurora_operator.agent.scaling.scaler import Scaler
from aurora_operator.agent.server import serving
from aurora_operator.agent.storage.checksum_monitor import ChecksumMonitor
from aurora_operator.agent.storage.disk_monitor import DiskMonitor
from aurora_operator.agent.storage.disk_probe import DiskProbe
from aurora_operator.api.agent.messages import AcceptDataLoss, AgentStatus, BackupRequest, SnapshotRequest
from aurora_operator.api.agent.settings import Settings
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.leader import switchover_refusal
from aurora_operator.consensus.lease import lease_left
from aurora_operator.consensus.messages import Heartbeat, Message
from aurora_operator.consensus.state import PROMOTED, Role, Timing
from aurora_operator.consensus.types import CopyId, name_of
from aurora_operator.postgres.config.door import Door
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.replication.base_backup import forget_slots, recover_interrupted
from aurora_operator.postgres.server.lock import VolumeLock
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.sql.session import Session

log = logging.getLogger(__name__)

STUCK_MILLISECONDS = 20_000
"""Without progress of the consensus for this long, the agent is wedged and the kubelet should restart it."""
REFRESH_SECONDS = 5.0
BEGINNING_SECONDS = 1.0
RELOAD_SECONDS = 0.5
HAND_OVER_SECONDS = 15.0
LINGER_SECONDS = 5.0


class Agent:
    """The agent of one pod."""

    def __init__(self, environment: Environment, settings: Settings, ports: Ports | None = None) -> None:
        """`ports` are a pod's if None. Raises VolumeInUse, StoreError, OSError."""
        self._ports = ports = ports or Ports()
        layout, tools = ports.layout, ports.tools
        store = Store(layout.state)
        self._lock = VolumeLock(layout.lock)
        self._lock.acquire()
        if recover_interrupted(layout):
            log.warning("a clone broke off at its very end; the former data directory is back")
        taken = take_volume(environment, settings, layout, store)
        kept = store.settings()
        if kept is not None and kept.revision > settings.revision:
            settings = kept
        certificates = Certificates(layout)
        server = Server(tools, layout, sink=pass_log_line, inherit_fds=self._lock.fds)
        self.copy = copy = Instance(
            environment=environment,
            layout=layout,
            tools=tools,
            store=store,
            certificates=certificates,
            kube=KubeApi(environment),
            server=server,
            door=Door(layout, server, ports.door),
            session=Session(layout.run),
            watching=Session(layout.run),
            incarnation=taken.incarnation,
            settings=settings,
        )
        copy.peers = Peers(
            lambda: copy.id,
            environment.pod_ip,
            certificates.server,
            certificates.client,
            self._received,
            lambda peer: copy.driver.post(ev.PeerDead(peer)),
        )
        self._configuration = Configuration(copy, ports)
        self._backups = Backups(copy)
        self._space = DiskMonitor(copy, lambda: self._lifecycle.stop("fast"))
        self._lifecycle = Lifecycle(copy, self._configuration, self._space)
        self._leading = Leader(copy, self._configuration, lambda: self._lifecycle.stop("immediate"))
        member = settings.member(environment.instance)
        timings = settings.timings
        state = life.begin(
            store,
            copy.id,
            member.ordinal if member else int(environment.instance.rpartition("-")[2]),
            clock(),
            Timing(timings.heartbeat_ms, timings.lease_ms, timings.request_ms),
            instance=member is None or member.kind == "instance",
        )
        self._watchdog = Watchdog(layout.pgdata, tools.path("postgres"), lambda: lease_left(copy.driver.state, clock()))
        copy.driver = Driver(
            state,
            store,
            copy.peers,
            effects.PostgresEffects(copy, self._lifecycle, self._leading),
            self._watchdog.tell,
        )
        self._halt = Shutdown(copy, self._lifecycle)
        self._handed_over = False

    def _received(self, sender: CopyId, message: Message) -> None:
        if isinstance(message, Heartbeat):
            self.copy.leader_lsn = max(message.lsn, 0)
        self.copy.driver.post(ev.Received(sender, message))

    async def run(self) -> None:
        """Until SIGTERM. A part that fails ends the whole agent: the kubelet starts it again."""
        copy = self.copy
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate)
        Reaper().install(loop)
        self._take(copy.settings)
        scaler = Scaler(copy, self._configuration)
        self._living = lifecycle = asyncio.create_task(self._lifecycle.run(), name="lifecycle")
        others = [
            asyncio.create_task(copy.driver.run(), name="driver"),
            asyncio.create_task(copy.peers.serve(self._ports.listen or ""), name="peers"),
            asyncio.create_task(serving.serve(self, copy, self._ports.listen or ""), name="http"),
            asyncio.create_task(self._refresh(), name="refresh"),
            asyncio.create_task(RoleLabel(copy).run(), name="label"),
            asyncio.create_task(detector_of(copy, lambda: self._lifecycle.stop("immediate")).run(), name="hang"),
            asyncio.create_task(self._watchdog.run(), name="watchdog"),
            asyncio.create_task(LoadMeter(copy, scaler.measured).run(), name="load"),
            asyncio.create_task(self._space.run(), name="space"),
            asyncio.create_task(self._backups.run(), name="backup"),
            asyncio.create_task(scaler.run(), name="capacity"),
            asyncio.create_task(
                ChecksumMonitor(copy, lambda: self._lifecycle.ask_repair("clone")).run(), name="damage"
            ),
            asyncio.create_task(DiskProbe(copy, lambda: self._lifecycle.stop("immediate")).run(), name="disk"),
            asyncio.create_task(IdleMeter(copy).run(), name="idle"),
            asyncio.create_task(self._halt.run(), name="halt"),
            asyncio.create_task(Tidying(copy).run(), name="tidying"),
            asyncio.create_task(BackPressure(copy).run(), name="pressure"),
            asyncio.create_task(LoginGuard(copy).run(), name="log-ins"),
            asyncio.create_task(LeftSlots(copy).run(), name="slots"),
            asyncio.create_task(memory.give_back(), name="memory"),
        ]
        try:
            done, _ = await asyncio.wait([copy.failed, lifecycle, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
            await self._linger()
        finally:
            await copy.server.stop("fast", 10)
            with contextlib.suppress(TimeoutError):
                # A writer's last message tells the others that they need not wait for its lease.
                async with asyncio.timeout(1):
                    await copy.driver.settle()
            await copy.peers.close()
            for task in [lifecycle, *others]:
                task.cancel()
            await asyncio.gather(lifecycle, *others, return_exceptions=True)
            await copy.watching.close()
            self._halt.rest()
            await copy.kube.close()

    def _terminate(self) -> None:
        if not self.copy.closing.is_set():
            log.info("asked to end")
            self._closing = asyncio.create_task(self._close(), name="close")

    async def _close(self) -> None:
        """A writer hands over first; then PostgreSQL stops, and `run` ends with it."""
        copy = self.copy
        copy.closing.set()
        copy.say("Stopping")
        if copy.driver.state.role == Role.LEADING and switchover_refusal(copy.driver.state, None) is None:
            self._handed_over = True
            copy.driver.post(ev.SwitchoverRequested(None))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_OVER_SECONDS):
                    while copy.server.alive or copy.driver.state.role in PROMOTED:
                        await asyncio.sleep(0.02)
        if copy.server.alive:
            self._lifecycle.stop("fast")
        else:
            # Cloning, or waiting for somebody: nothing of it is worth finishing.
            self._living.cancel()

    async def _linger(self) -> None:
        """After handing over: refuse clients who still come, until they are led elsewhere.

        A pod that is gone refuses nobody: whoever is sent to its address waits for a time-out.
        """
        copy = self.copy
        if not self._handed_over or not list(copy.peers.connected()):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not copy.follows_open_leader():
                    await asyncio.sleep(0.05)
                await asyncio.sleep(PROXY_SECONDS)

    def _take(self, settings: Settings) -> None:
        copy = self.copy
        copy.settings = settings
        me = copy.environment.instance
        copy.peers.set_members({m.name: m.host for m in settings.members if m.name != me})
        self._halt.settings_changed()
        member = settings.member(me)
        copy.driver.post(
            ev.Wanted(
                voters=frozenset(settings.voters),
                write_quorum=settings.write_quorum,
                tier=member.promotion_tier if member else 15,
                size=member.memory_bytes if member else 0,
                stands=settings.power == "on",
                repair_delay=settings.repair_delay_seconds * 1000,
            )
        )

    async def _refresh(self) -> None:
        """What may change under a running agent: certificates, the password, what waits for a restart."""
        copy = self.copy
        password = _read(copy.environment.app / "password")
        while True:
            due = copy.server_version is None or self._parameters_are_due()
            await asyncio.sleep(BEGINNING_SECONDS if due else REFRESH_SECONDS)
            try:
                if copy.certificates.refresh():
                    log.info("certificates renewed, valid until %s", copy.certificates.not_after())
                    if copy.server.alive:
                        copy.server.reload()
                if copy.server.state() == "ready":
                    copy.pending_restart = await queries.pending_restart(copy.session)
                    copy.server_version = copy.server_version or await queries.server_version(copy.session)
                if copy.layout.initialised() and self._parameters_are_due():
                    await self._configuration.take_parameters()
                if copy.role == "writer":
                    await self._configuration.keep_access()
                newest = _read(copy.environment.app / "password")
                if newest != password and copy.role == "writer":
                    await self._configuration.ensure_roles()
                    password = newest
            except (PostgresError, OSError) as error:
                log.warning("refreshing: %s", error)

    def _parameters_are_due(self) -> bool:
        """Whether PostgreSQL could not be asked when the settings came; what it refused is not asked again."""
        copy = self.copy
        return copy.parameters_error is None and copy.applied_parameters != copy.settings.parameters

    # --- the service behind the HTTP API ---

    def status(self) -> AgentStatus:
        """The copy as it is now."""
        return status.build(self.copy)

    async def put_settings(self, settings: Settings) -> None:
        """Take newer settings, and keep them. Raises Refused for older or foreign ones."""
        copy = self.copy
        if not await keep_newer(copy, settings):
            return
        self._take(settings)
        if copy.layout.initialised():
            try:
                await self._configuration.take_parameters()
                if copy.server.state() == "ready":
                    # Asked too early, a session that has not reloaded yet would say that nothing waits for a restart.
                    await asyncio.sleep(RELOAD_SECONDS)
                    copy.pending_restart = await queries.pending_restart(copy.session)
            except PostgresError as error:
                raise Refused(f"kept, but not yet applied: {error}") from error

    async def check_parameters(self, parameters: dict[str, str]) -> dict[str, str]:
        """Errors by parameter. Raises Refused when PostgreSQL cannot be asked."""
        try:
            return await self._configuration.check(parameters)
        except PostgresError as error:
            raise Refused(f"PostgreSQL cannot be asked: {error}") from error

    async def restart(self) -> None:
        """Restart PostgreSQL of a reader. Raises Refused on the writer."""
        state = self.copy.driver.state
        if state.leadership is not None and len(state.durable.config.voters) > 1:
            raise Refused("this is the writer: switch over first")
        self._lifecycle.ask_repair("restart")

    async def stop(self) -> None:
        """Stop the writer in order. Raises Refused."""
        await self._halt.stop_writer()

    def backup(self, request: BackupRequest) -> None:
        """Begin a backup. Raises Refused."""
        refusal = self._backups.refusal()
        if refusal is not None:
            raise Refused(refusal)
        self._backups.take(request)

    def snapshot(self, request: SnapshotRequest) -> None:
        """Begin a snapshot. Raises Refused."""
        refusal = self._backups.snapshot_refusal(request)
        if refusal is not None:
            raise Refused(refusal)
        self._backups.take_snapshot(request)

    def switchover(self, target: str | None) -> None:
        """Hand over. Raises Refused with the reason when that cannot be now."""
        state = self.copy.driver.state
        copy = (
            None if target is None else next((c for c in state.durable.config.voters if name_of(c) == target), target)
        )
        refusal = switchover_refusal(state, copy)
        if refusal is not None:
            raise Refused(refusal)
        self.copy.driver.post(ev.SwitchoverRequested(copy))

    async def accept_data_loss(self, request: AcceptDataLoss) -> None:
        """Go on with the survivors alone. Raises Refused where that cannot be, or is not what was stated."""
        await dataloss.accept(self.copy.driver, self.copy.kube, request)

    def wal_folder(self) -> Path:
        """Where PostgreSQL keeps its WAL."""
        return self.copy.layout.wal

    def alive(self) -> bool:
        """Whether the consensus makes progress."""
        return clock() - self.copy.driver.progressed < STUCK_MILLISECONDS

    def _draining(self) -> bool:
        """Whether this reader is to go, and only the sessions that it has go on."""
        member = self.copy.settings.member(self.copy.environment.instance)
        return member is not None and member.draining and self.copy.role == "reader"

    def ready(self) -> bool:
        """Whether clients are served, new ones too."""
        return self.copy.role != "none" and not self._draining() and self.copy.server.state() == "ready"


def pass_log_line(line: bytes) -> None:
    """Pass on a line of PostgreSQL's log, except what a standby that follows nobody says ten times a second."""
    if b"LOG:  waiting for WAL to become available at" not in line:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def take_volume(environment: Environment, settings: Settings, layout: Layout, store: Store) -> Taken:
    """Make the volume our own. One that was copied from another copy's holds that copy's promises and slots, which
    are not ours to keep. Raises StoreError, OSError."""
    owner = f"{environment.namespace}/{environment.cluster}/{environment.instance}"
    begins = settings.origin is not None and settings.bootstrap == environment.instance
    origin = settings.cluster_uid if begins else ""
    taken = store.take(owner, has_data=layout.initialised(), origin=origin, purge=lambda: forget_slots(layout))
    if taken.former is not None:
        log.warning("the data on this volume are those of %s; going on as %s", taken.former, taken.incarnation)
    return taken
