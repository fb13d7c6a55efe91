"""Puts the parts of a log copy's agent together, and is the service behind its HTTP API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import Any

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.log_copy.effects import LogEffects
from aurora_operator.agent.log_copy.receiving import Receiving
from aurora_operator.agent.log_copy.volume import Volume
from aurora_operator.agent.member import life, status
from aurora_operator.agent.member.accept_settings import keep_newer
from aurora_operator.agent.member.driver import Driver
from aurora_operator.agent.member.durable_state import Store
from aurora_operator.agent.member.environment import Environment
from aurora_operator.agent.member.kubeapi import KubeApi, until_done
from aurora_operator.agent.member.member import Member
from aurora_operator.agent.peers.peers import Peers
from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.agent.ports import Ports, clock
from aurora_operator.agent.process.reaper import Reaper
from aurora_operator.agent.server import serving
from aurora_operator.api.agent.messages import AcceptDataLoss, AgentStatus, BackupRequest, SnapshotRequest
from aurora_operator.api.agent.settings import Settings
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import Heartbeat, Message
from aurora_operator.consensus.state import Role, Timing
from aurora_operator.consensus.types import CopyId
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.server.lock import VolumeLock

log = logging.getLogger(__name__)

STUCK_MILLISECONDS = 20_000
REFRESH_SECONDS = 5.0
RETRY_SECONDS = 1.0
NO_POSTGRESQL = "this is a log copy: it has no PostgreSQL"


class LogAgent:
    """The agent of one log copy's pod."""

    def __init__(self, environment: Environment, settings: Settings, ports: Ports | None = None) -> None:
        """`ports` are a pod's if None. Raises VolumeInUse, StoreError, OSError."""
        ports = ports or Ports()
        layout, tools = ports.layout, ports.tools
        self._listen = ports.listen or ""
        store = Store(layout.state)
        self._lock = VolumeLock(layout.lock)
        self._lock.acquire()
        self._volume = Volume(layout, tools)
        owner = f"{environment.namespace}/{environment.cluster}/{environment.instance}"
        taken = store.take(owner, has_data=self._volume.ever_used(), purge=self._volume.disown)
        kept = store.settings()
        certificates = Certificates(layout)
        self.copy = copy = Member(
            environment=environment,
            layout=layout,
            tools=tools,
            store=store,
            certificates=certificates,
            kube=KubeApi(environment),
            incarnation=taken.incarnation,
            settings=kept if kept is not None and kept.revision > settings.revision else settings,
        )
        copy.role = "log"
        copy.peers = Peers(
            lambda: copy.id,
            environment.pod_ip,
            certificates.server,
            certificates.client,
            self._received,
            lambda peer: copy.driver.post(ev.PeerDead(peer)),
        )
        self._receiving = Receiving(copy, self._volume, self._lock.fds)
        member, timings = copy.settings.member(environment.instance), copy.settings.timings
        state = life.begin(
            store,
            copy.id,
            member.ordinal if member else 0,
            clock(),
            Timing(timings.heartbeat_ms, timings.lease_ms, timings.request_ms),
            instance=False,
        )
        copy.driver = Driver(state, store, copy.peers, LogEffects(copy, self._receiving))

    def _received(self, sender: CopyId, message: Message) -> None:
        if isinstance(message, Heartbeat):
            self.copy.leader_lsn = max(message.lsn, 0)
        self.copy.driver.post(ev.Received(sender, message))

    async def run(self) -> None:
        """Until SIGTERM. A part that fails ends the whole agent: the kubelet starts it again."""
        copy = self.copy
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, copy.closing.set)
        Reaper().install(loop)
        self._take(copy.settings)
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(copy.closing.wait(), name="closing"),
            asyncio.create_task(copy.driver.run(), name="driver"),
            asyncio.create_task(copy.peers.serve(self._listen), name="peers"),
            asyncio.create_task(serving.serve(self, copy, self._listen), name="http"),
            asyncio.create_task(self._refresh(), name="refresh"),
        ]
        begin = asyncio.create_task(self._begin(), name="begin")
        try:
            waited: list[asyncio.Future[Any]] = [copy.failed, *tasks]
            done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            copy.say("Stopping")
            await copy.jobs.cancel()
            await copy.peers.close()
            for task in [begin, *tasks]:
                task.cancel()
            await asyncio.gather(begin, *tasks, return_exceptions=True)
            life.rest(copy.store, copy.driver.state, clock())
            await copy.kube.close()

    async def _begin(self) -> None:
        """Take part once the volume can be read: a log copy has nothing else to start."""
        copy = self.copy
        while True:
            try:
                position = await self._receiving.first_position()
                break
            except (PostgresError, OSError) as error:
                self._receiving.fails(error)
                await asyncio.sleep(RETRY_SECONDS)
        copy.say("Detached")
        copy.driver.post(ev.PostgresUp(position))
        await until_done("labelling this pod log", lambda: copy.kube.label_role("log"))
        with contextlib.suppress(PostgresError):
            copy.server_version = await copy.tools.version()

    def _take(self, settings: Settings) -> None:
        copy = self.copy
        copy.settings = settings
        me = copy.environment.instance
        copy.peers.set_members({m.name: m.host for m in settings.members if m.name != me})
        # Its own rank does not matter; who should vote does, in case the core asks any copy.
        copy.driver.post(ev.Wanted(frozenset(settings.voters), settings.write_quorum, tier=15, size=0))

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                if self.copy.certificates.refresh():
                    log.info("certificates renewed, valid until %s", self.copy.certificates.not_after())
            except OSError as error:
                log.warning("refreshing: %s", error)

    # --- the service behind the HTTP API ---

    def status(self) -> AgentStatus:
        """The copy as it is now."""
        return status.build(self.copy)

    async def put_settings(self, settings: Settings) -> None:
        """Take newer settings, and keep them. Raises Refused for older or foreign ones."""
        if await keep_newer(self.copy, settings):
            self._take(settings)

    async def check_parameters(self, parameters: dict[str, str]) -> dict[str, str]:
        """Raises Refused."""
        raise Refused(NO_POSTGRESQL)

    async def restart(self) -> None:
        """Raises Refused."""
        raise Refused(NO_POSTGRESQL)

    async def stop(self) -> None:
        """Raises Refused."""
        raise Refused(NO_POSTGRESQL)

    def switchover(self, target: str | None) -> None:
        """Raises Refused."""
        raise Refused(NO_POSTGRESQL)

    def backup(self, request: BackupRequest) -> None:
        """A log copy has no data to back up."""
        raise Refused("this is a log copy: ask an instance")

    def snapshot(self, request: SnapshotRequest) -> None:
        """Nor for this."""
        raise Refused("this is a log copy: ask an instance")

    async def accept_data_loss(self, request: AcceptDataLoss) -> None:
        """Raises Refused."""
        raise Refused(NO_POSTGRESQL)

    def wal_folder(self) -> Path:
        """Where it receives WAL into."""
        return self._volume.folder

    def alive(self) -> bool:
        """Whether the consensus makes progress."""
        return clock() - self.copy.driver.progressed < STUCK_MILLISECONDS

    def ready(self) -> bool:
        """Whether it takes part: its volume could be read."""
        return self.copy.driver.state.role != Role.DOWN
