"""What an agent tells the operator: `GET /v1/status`, and the bodies of its other calls.

| call | body | answer |
|---|---|---|
| GET /v1/status | | `AgentStatus` |
| PUT /v1/settings | `Settings` | 204; 409 when it has a newer revision |
| POST /v1/parameters/check | `ParameterCheck` | `ParameterCheckResult`; nothing is changed |
| POST /v1/restart | | 202; PostgreSQL of a reader restarts; 409 on the writer |
| POST /v1/stop | | 202 on the leader of a cluster that is to pause or stop; 409 with a sentence where it cannot be |
| POST /v1/backup | `BackupRequest` | 202; a backup begins; 409 where it cannot |
| POST /v1/snapshot | `SnapshotRequest` | 202; a backup into a repository of its own begins; 409 where it cannot |
| POST /v1/switchover | `SwitchoverRequest` | 202 on the leader; 409 with a sentence where it cannot be |
| GET /v1/wal | | `{"files": {name: bytes}}`: WAL segments and timeline histories of this copy; for agents |
| GET /v1/wal/{file} | | one of them, with `?size=` only so many bytes; 404 where there is none |
| POST /v1/accept-data-loss | `AcceptDataLoss` | 202 at an instance that survives; 409 where it cannot be |

Errors have the body `{"error": "a sentence"}`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aurora_operator.api.base.base import WireModel
from aurora_operator.api.base.load import Load
from aurora_operator.api.base.lsn import Lsn
from aurora_operator.api.base.volume import LeftSlot, VolumeUse
from aurora_operator.api.spec.capacity import CapacityStatus
from aurora_operator.api.spec.repository import Repository

Phase = Literal[
    "Starting",  # the agent is up, PostgreSQL is not yet
    "Waiting",  # nothing to do until somebody else acts; `message` says who and what
    "Initialising",  # initdb
    "Cloning",  # pg_basebackup; see `task`
    "Restoring",  # the first data come from backups; see `task`
    "Recovering",  # PostgreSQL replays its own WAL after a crash
    "Following",  # streams from the leader
    "Detached",  # PostgreSQL runs as a standby that follows nobody
    "Electing",  # a candidate
    "Promoting",  # elected; PostgreSQL is being promoted, or waits for W copies
    "Leading",  # the open writer
    "Resigning",  # a switchover away from here is under way
    "Rewinding",  # pg_rewind
    "Failed",  # a human should look; `message` says at what
    "Stopping",
    "Stopped",  # PostgreSQL was stopped in order, because the cluster is to pause or stop
]

Ailment = Literal[
    "full",  # the volume is full
    "disk",  # the volume fails: reading or writing it ends in errors
    "corruption",  # what is on the volume is not what was written to it
    "diverged",  # its history is not the leader's, and it could not yet be brought back
]


class Task(WireModel):
    """Long work under way."""

    kind: Literal["basebackup", "rewind", "initdb", "verify", "backup", "restore", "replay"]
    source: str | None = None
    done_bytes: int = 0
    total_bytes: int = 0
    seconds: float = 0


BackupKind = Literal["full", "diff", "incr"]


class BackupRequest(WireModel):
    """Take a backup. `token` comes back in `BackupRun`."""

    kind: BackupKind
    token: str = ""


class BackupRun(WireModel):
    """The last backup that this copy took or takes. Times are RFC 3339."""

    kind: BackupKind
    token: str = ""
    started_at: str
    finished_at: str | None = None
    error: str | None = None


class SnapshotRequest(WireModel):
    """Take a backup into a repository that nothing else uses. `token` comes back in `SnapshotRun`."""

    token: str
    repository: Repository = Field(description="In the cluster's own destination, but for the path.")


class SnapshotRun(WireModel):
    """The last snapshot that this copy took or takes. Times are RFC 3339, sizes bytes."""

    token: str
    path: str
    started_at: str
    finished_at: str | None = None
    error: str | None = None
    label: str | None = None
    lsn: Lsn = 0
    timeline: int = 0
    taken_at: str | None = Field(default=None, description="When the backup ended: all committed by then is in it.")
    size_bytes: int = 0
    stored_bytes: int = 0


class BackupEntry(WireModel):
    """A backup in the repository."""

    label: str
    kind: str
    started_at: str
    finished_at: str
    size_bytes: int
    stored_bytes: int
    damaged: bool = Field(default=False, description="Pages with wrong checksums were found in it.")


class BackupReport(WireModel):
    """How continuous backup stands, as the writer sees it."""

    stanza: str
    path: str
    archiving: bool
    waits_for_restart: bool = False
    waiting_segments: int = 0
    last_segment: str | None = None
    failing_since: str | None = None
    cause: str | None = None
    error: str | None = None
    needs_backup: bool = Field(default=False, description="WAL is missing: nothing can be restored up to now.")
    earliest_restorable_at: str | None = None
    latest_restorable_at: str | None = None
    backups: tuple[BackupEntry, ...] = ()
    known: bool = Field(default=False, description="Whether `backups` is what is there.")


class ConfigStatus(WireModel):
    """The membership that this copy has persisted. Copies are `name/incarnation`."""

    epoch: int = 0
    version: int
    voters: tuple[str, ...]
    write_quorum: int
    next_voters: tuple[str, ...] = ()
    next_write_quorum: int = 0
    floor_epoch: int = 0
    floor_version: int = 0


class ReplicaStatus(WireModel):
    """A copy as the leader's pg_stat_replication shows it."""

    name: str
    incarnation: str
    state: str
    flush_lsn: Lsn
    replay_lsn: Lsn
    lag_bytes: int
    lag_seconds: float
    voting: bool


class AgentStatus(WireModel):
    """One copy, as its agent sees it. LSNs are in bytes."""

    name: str
    kind: Literal["instance", "log"] = "instance"
    incarnation: str
    pod_uid: str = ""
    pod_ip: str = ""
    zone: str | None = None
    phase: Phase
    message: str = ""
    ailment: Ailment | None = Field(default=None, description="What is wrong with this copy; `message` says more.")
    role: Literal["writer", "reader", "log", "none"] = Field(
        description="`writer` and `reader` only while clients are served; `log` on log copies."
    )
    epoch: int = Field(default=0, description="The epoch of the leader that it follows, or its own.")
    leader: str | None = None
    promised: int = 0
    lsn: Lsn = 0
    position_epoch: int = Field(
        default=0, description="Epoch of its newest durable WAL; 0 while it has none that counts (half rewound, say)."
    )
    position_lsn: Lsn = Field(default=0, description="End of it. Positions compare as (epoch, LSN).")
    lag_bytes: int | None = Field(default=None, description="Behind the leader, as far as it knows.")
    lag_seconds: float | None = None
    settings_revision: int = 0
    applied_parameters: dict[str, str] = Field(default_factory=dict, description="The user's parameters in force.")
    raised_parameters: dict[str, str] = Field(
        default_factory=dict, description="Those of them that are too low for a standby, with what is in force instead."
    )
    parameters_error: str | None = None
    pending_restart: tuple[str, ...] = ()
    server_version: str | None = None
    system_identifier: str | None = None
    config: ConfigStatus | None = None
    closed: bool | None = Field(
        default=None,
        description="On the leader only: clients are shut out, as `Settings.closed` asks, and `lsn` has all that any "
        "of them wrote. None: an agent that does not know of it.",
    )
    replicas: tuple[ReplicaStatus, ...] = Field(default=(), description="On the leader only.")
    commits_wait_seconds: float | None = Field(
        default=None,
        description="On the leader only: for how long its write quorum has acknowledged nothing, though there is "
        "something to acknowledge; 0 while commits go through. None: an agent that does not tell.",
    )
    slowed: float = Field(
        default=0, description="On the leader only: which part of the time those who write are paused, 0 to 1."
    )
    task: Task | None = None
    backup: BackupReport | None = Field(default=None, description="On the leader only.")
    backup_run: BackupRun | None = None
    snapshot_run: SnapshotRun | None = None
    holds_data: bool | None = Field(
        default=None,
        description="False: the volume holds no data directory, no WAL, nothing that was put aside, and no promise. "
        "None: an agent that does not say.",
    )
    volume_bytes: int = 0
    volume_used_bytes: int = 0
    load: Load | None = Field(default=None, description="None until there are two samples.")
    volume: VolumeUse | None = Field(default=None, description="What is on the volume, and what piles up there.")
    capacity: CapacityStatus | None = Field(default=None, description="Of a serverless instance, once it has a load.")
    idle_seconds: float | None = Field(
        default=None, description="For how long nobody has had a session that counts; None where nobody asks."
    )
    pause_refused: str | None = Field(default=None, description="Why the cluster must not pause; a sentence.")
    left_slots: tuple[LeftSlot, ...] = Field(default=(), description="On readers only.")
    tls_not_after: str | None = Field(default=None, description="RFC 3339: end of the server certificate in use.")

    @property
    def copy_id(self) -> str:
        """`name/incarnation`, as the consensus calls it."""
        return f"{self.name}/{self.incarnation}"


class ParameterCheck(WireModel):
    """Parameters that a user would like."""

    parameters: dict[str, str]


class ParameterCheckResult(WireModel):
    """`errors` is empty when PostgreSQL takes them all; else a sentence a parameter."""

    errors: dict[str, str] = Field(default_factory=dict)


class SwitchoverRequest(WireModel):
    """Ask the leader to hand over, to `target` or to the best by Aurora's order."""

    target: str | None = None


class AcceptDataLoss(WireModel):
    """Let the survivors go on without the others, and lose what only those hold. Nothing does that by itself.

    Says also what was seen when this was decided; refused when that has changed. Copies are `name/incarnation`.
    """

    survivors: tuple[str, ...] = Field(min_length=1, description="Copies that vote from now on, and nobody else.")
    lost: tuple[str, ...] = Field(description="The voters that are given up: all that are not survivors.")
    config_epoch: int = Field(description="With `config_version`: the membership that `lost` was told from.")
    config_version: int
