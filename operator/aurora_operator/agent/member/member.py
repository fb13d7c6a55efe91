"""What every kind of copy knows of itself: who it is, where it is, and what it is doing."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from aurora_operator.agent.member.commit_meter import CommitMeter
from aurora_operator.agent.member.driver import Driver
from aurora_operator.agent.member.durable_state import Store
from aurora_operator.agent.member.environment import Environment
from aurora_operator.agent.member.kubeapi import KubeApi
from aurora_operator.agent.member.proxies import Proxies
from aurora_operator.agent.member.task_slot import TaskSlot
from aurora_operator.agent.peers.peers import Peers
from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.agent.ports import clock
from aurora_operator.api.agent.messages import Ailment, BackupReport, BackupRun, Phase, ReplicaStatus, SnapshotRun, Task
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base.load import Load
from aurora_operator.api.base.volume import LeftSlot, VolumeUse
from aurora_operator.api.spec.capacity import CapacityStatus
from aurora_operator.consensus.types import CopyId, name_of
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.tools import Tools

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Member:
    """One copy, an instance or a log copy.

    `settings`, `phase` and the like are written by the part that they belong to, and read by all.
    """

    environment: Environment
    layout: Layout
    tools: Tools
    store: Store
    certificates: Certificates
    kube: KubeApi
    incarnation: str
    settings: Settings
    jobs: TaskSlot = field(init=False)
    phase: Phase = "Starting"
    message: str = ""
    ailment: Ailment | None = None
    role_changed: asyncio.Event = field(default_factory=asyncio.Event)
    _role: str = field(init=False, default="none")
    at_work: asyncio.Event = field(default_factory=asyncio.Event)
    """It has let clients in or, as a log copy, begun to stream: nobody waits for it to start any more."""
    task: Task | None = None
    leader_lsn: int = 0
    """The leader's LSN in its newest heartbeat."""
    position_lsn: int = 0
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    proxies: Proxies = field(default_factory=Proxies)
    replicas: tuple[ReplicaStatus, ...] = ()
    commits: CommitMeter = field(default_factory=CommitMeter)
    """Of the leadership of this copy, or its last one."""
    slowed: float = 0.0
    """Of an open writer: which part of the time those who write are paused."""
    closed: bool = False
    """Of a writer: clients are shut out, as the settings say, and all that they have written is in `position_lsn`."""
    pending_restart: tuple[str, ...] = ()
    applied_parameters: dict[str, str] = field(default_factory=dict)
    raised_parameters: dict[str, str] = field(default_factory=dict)
    parameters_error: str | None = None
    server_version: str | None = None
    load: Load | None = None
    volume: VolumeUse | None = None
    left_slots: tuple[LeftSlot, ...] = ()
    """Of a reader: logical slots from when it was the writer."""
    capacity: CapacityStatus | None = None
    """Of an instance that scales."""
    halted: bool = False
    """PostgreSQL is to be down, because the cluster is to pause or stop."""
    idle_since: float | None = None
    """Of the monotonic clock: since when nobody has had a session that counts; None where that is not known."""
    pause_refused: str | None = None
    system_identifier: str | None = None
    backup_report: BackupReport | None = None
    """On the writer, where there is a destination."""
    backup_run: BackupRun | None = None
    snapshot_run: SnapshotRun | None = None
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Fails with what nobody expected: the agent ends then, and the kubelet starts it anew."""
    peers: Peers = field(init=False)
    driver: Driver = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = TaskSlot("postgres", self.fail)

    @property
    def role(self) -> str:
        """`writer` or `reader` while clients are let in, else `none`; `log` on a log copy."""
        return self._role

    @role.setter
    def role(self, role: str) -> None:
        self._role = role
        self.role_changed.set()
        if role in ("writer", "reader"):
            self.at_work.set()

    def fail(self, error: BaseException) -> None:
        """End the agent because of this."""
        if not self.failed.done():
            self.failed.set_exception(error)

    @property
    def id(self) -> CopyId:
        """`name/incarnation`."""
        return f"{self.environment.instance}/{self.incarnation}"

    def say(self, phase: Phase, message: str = "") -> None:
        """Set what the status shows; a change is logged."""
        if (phase, message) != (self.phase, self.message):
            log.info("%s%s", phase, f": {message}" if message else "")
        self.phase, self.message = phase, message

    def progress(self, kind: str, source: CopyId | None, started: float, done: int, total: int) -> None:
        """Show how far long work is; sizes in bytes, `started` of the monotonic clock."""
        self.task = Task.model_validate(
            {
                "kind": kind,
                "source": name_of(source) if source else None,
                "done_bytes": done,
                "total_bytes": total,
                "seconds": round(time.monotonic() - started, 1),
            }
        )

    def leader_id(self) -> CopyId | None:
        """The leader that this copy believes alive, itself included."""
        state = self.driver.state
        if state.leadership is not None:
            return state.me
        return state.leader.id if state.leader is not None and state.leader.alive else None

    def hears_leader(self) -> bool:
        """Whether another copy is known as the leader, and lives."""
        known = self.driver.state.leader
        return known is not None and known.id != self.id and known.lives(clock())

    def leader_epoch(self) -> int:
        """The epoch of that leader; 0 without one."""
        state = self.driver.state
        if state.leadership is not None:
            return state.leadership.epoch
        return state.leader.epoch if state.leader is not None else 0
