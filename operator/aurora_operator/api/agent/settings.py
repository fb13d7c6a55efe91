"""What the operator asks of a cluster's agents: one document, pushed to each and kept by each on its volume."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aurora_operator.api.agent.origin import Origin
from aurora_operator.api.base.base import WireModel
from aurora_operator.api.spec.capacity import CapacityRange
from aurora_operator.api.spec.repository import Repository

PowerMode = Literal["on", "paused", "stopped"]
"""`paused` until somebody connects, `stopped` until somebody says otherwise."""


class AutoPause(WireModel):
    """Sessions that count for nothing when a cluster is to pause."""

    ignore_users: tuple[str, ...] = ()
    ignore_applications: tuple[str, ...] = ()


class Member(WireModel):
    """A copy that the operator wants to exist."""

    name: str
    ordinal: int = Field(
        ge=0,
        le=31,
        description="Unique among the instances; decides which epochs one may take. 0: a log copy, which takes none.",
    )
    kind: Literal["instance", "log"] = "instance"
    host: str = Field(description="DNS name of its pod.")
    zone: str | None = None
    promotion_tier: int = Field(default=1, ge=0, le=15)
    memory_bytes: int = Field(default=0, ge=0, description="Its size, for the promotion order; its most, if it scales.")
    capacity: CapacityRange | None = Field(default=None, description="Of a serverless instance.")
    draining: bool = Field(default=False, description="It takes no new sessions; those it has may end by themselves.")


class BackupSettings(WireModel):
    """Continuous backup. The repository's Secrets are in `names.BACKUP_MOUNT`."""

    repository: Repository
    retention_days: int = Field(ge=1)
    recovery_point_seconds: float = Field(gt=0)


class Timings(WireModel):
    """The periods of the consensus, in milliseconds."""

    heartbeat_ms: int = Field(default=500, ge=50)
    lease_ms: int = Field(default=3000, ge=500)
    request_ms: int = Field(default=1000, ge=100)


class Settings(WireModel):
    """The document. A higher `revision` replaces a lower one; agents keep the newest that they have seen."""

    cluster: str
    namespace: str
    cluster_uid: str
    revision: int = Field(ge=1)
    engine_version: str
    bootstrap: str = Field(description="The instance that may run initdb, once, if the record says that nobody has.")
    members: tuple[Member, ...]
    voters: tuple[str, ...] = Field(description="Names of the members that should vote.")
    write_quorum: int = Field(ge=1, description="W for exactly these voters.")
    database_name: str
    master_username: str
    parameters: dict[str, str] = Field(default_factory=dict, description="The user's PostgreSQL parameters.")
    timings: Timings = Timings()
    power: PowerMode = Field(default="on", description="Unless on, nobody stands for election, and all stop in order.")
    auto_pause: AutoPause | None = Field(default=None, description="Of a cluster that may pause.")
    repair_delay_seconds: int = Field(
        default=60, ge=1, description="How long a write quorum must be missing before the membership shrinks."
    )
    origin: Origin | None = Field(
        default=None,
        description="What the bootstrap instance takes the first data from, instead of running initdb; only until the "
        "cluster has led once.",
    )

    backup: BackupSettings | None = None
    proxy: bool = Field(
        default=False,
        exclude_if=lambda proxy: not proxy,
        description="There are proxies: the writer keeps the role by which they look passwords up.",
    )
    closed: bool = Field(
        default=False,
        exclude_if=lambda closed: not closed,
        description="The writer lets no clients in, and ends the sessions of those that are: the cluster goes once its "
        "last snapshot is there.",
    )

    def member(self, name: str) -> Member | None:
        """The member called `name`, or None."""
        return next((m for m in self.members if m.name == name), None)
