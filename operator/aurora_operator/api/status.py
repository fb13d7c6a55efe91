"""What the operator says about an AuroraCluster: `status`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from aurora_operator.api.base.base import WireModel
from aurora_operator.api.base.conditions import Condition
from aurora_operator.api.spec.capacity import CapacityChange

ClusterPhase = Literal[
    "Creating",  # never was Ready yet
    "Ready",  # as the spec says
    "Updating",  # works, and is being brought to a changed spec
    "SwitchingOver",  # the writer hands over as planned
    "FailingOver",  # no open writer; an election is under way
    "Degraded",  # writes go on, but something is missing
    "Unavailable",  # no writes: fewer copies than the write quorum, or no writer for long
    "Blocked",  # the spec cannot be carried out; see condition SpecAccepted
    "Stopping",  # on its way to Paused or Stopped
    "Paused",  # nobody uses it, and nothing of it runs; a connection wakes it
    "Stopped",  # nothing of it runs, as its spec says
    "Resuming",  # on its way back
    "Deleting",
]
MaintenanceStage = Literal["window", "turn", "going"]
MemberRole = Literal["writer", "reader", "log", "none"]


class Endpoints(WireModel):
    """Where clients connect."""

    writer: str | None = Field(default=None, description="Host of the writer endpoint; it follows the writer.")
    reader: str | None = Field(
        default=None, description="Host of the reader endpoint: the readers, or the writer when there are none."
    )
    any: str | None = Field(default=None, description="Host of the endpoint over all instances.")
    port: int | None = Field(default=None, description="Port of all endpoints.")
    secret: str | None = Field(
        default=None, description="Name of the Secret with user, password, hosts and connection strings."
    )


class CustomEndpointStatus(WireModel):
    """One of the custom endpoints."""

    name: str = Field(description="Its name in the spec.")
    type: Literal["reader", "any"] = Field(description="reader, or any: the writer too.")
    host: str = Field(description="Where clients connect.")
    members: tuple[str, ...] = Field(
        default=(),
        description="The instances that it leads to now.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Binding(WireModel):
    """What servicebinding.io looks for in a service."""

    name: str = Field(description="Name of the Secret to bind; the one in endpoints.secret.")


class ProxyStatus(WireModel):
    """The proxy. Only there with `spec.proxy`."""

    replicas: int = Field(default=0, description="Pods that there should be, by the spec or by an autoscaler.")
    ready: int = Field(default=0, description="Pods that take clients.")
    writer: str = Field(description="Host of the endpoint that leads to the writer.")
    reader: str = Field(description="Host of the endpoint that leads to readers.")


class MemberStatus(WireModel):
    """One copy: an instance or a log copy."""

    name: str = Field(description="Its name; its pod is called NAME-0.")
    kind: Literal["instance", "log"] = Field(default="instance", description="instance, or log: a log copy.")
    role: MemberRole = Field(description="writer, reader, log, or none while it serves nobody.")
    zone: str | None = Field(default=None, description="Its zone.")
    tier: int = Field(default=1, description="Its promotion tier; the lowest is promoted first.")
    ready: bool = Field(default=False, description="Whether it serves clients.")
    voting: bool = Field(default=False, description="Whether its copy counts for the write quorum.")
    phase: str | None = Field(default=None, description="What it does: Cloning, Following, Leading and others.")
    lag_bytes: int | None = Field(default=None, description="How many bytes of WAL it is behind the writer.")
    lag_seconds: float | None = Field(default=None, description="How many seconds it is behind the writer.")
    pending_restart: tuple[str, ...] = Field(default=(), description="Parameters that take effect at its next restart.")
    position: str | None = Field(
        default=None,
        description="How far its WAL is known to go, as EPOCH:LSN; written when it has moved by 16 MiB or more. Of a "
        "copy that cannot be reached: where it was last.",
    )
    ailment: str | None = Field(
        default=None, description="What its agent says is wrong with it: full, disk, corruption, diverged."
    )
    missing_since: datetime | None = Field(
        default=None, description="Since when its node or its volume is lost, as far as Kubernetes and the writer say."
    )
    message: str | None = Field(default=None, description="More about its phase, such as the progress of a copy.")
    capacity: float | None = Field(default=None, description="Capacity in force of a serverless instance, in ACU.")
    wanted_capacity: float | None = Field(default=None, description="Capacity that its load asks for, in ACU.")
    too_small_since: datetime | None = Field(
        default=None, description="Since when its node has been too small for the capacity that its load asks for."
    )
    moved_at: datetime | None = Field(
        default=None, description="When it was started again last because of that, for a larger node."
    )
    capacity_reason: str | None = Field(
        default=None, description="What asks for that capacity, or why it is not in force."
    )
    capacity_change: CapacityChange | None = Field(
        default=None,
        description="With engineMode serverless: Waiting for a scaling point, RolledBack without one, or Forced.",
    )


class ZoneStatus(WireModel):
    """The voting copies in one zone."""

    zone: str = Field(description="The zone.")
    alive: int = Field(description="Voting copies that are alive there.")
    copies: int = Field(description="Voting copies that there should be.")


class DurabilityStatus(WireModel):
    """The copies of the data, and what they allow."""

    copies: int = Field(description="Voting copies that there should be.")
    alive_copies: int = Field(default=0, description="Voting copies that are there and up to date enough to count.")
    alive: str | None = Field(default=None, description="Voting copies that are alive, of those wanted: 5/6.")
    write_quorum: int = Field(description="Copies that must have flushed a commit before its client hears of it.")
    read_quorum: int = Field(description="Copies that must promise before a new writer may act.")
    zones: tuple[str, ...] = Field(default=(), description="Zones that hold voting copies that are alive.")
    spread: tuple[ZoneStatus, ...] = Field(
        default=(),
        description="The copies by zone.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["zone"]},
    )
    per_zone: str | None = Field(default=None, description="The same in a line.")
    write_available: bool = Field(default=False, description="Whether commits go through.")
    read_available: bool = Field(default=False, description="Whether enough copies are alive to elect a writer.")


class DataLossStatus(WireModel):
    """What would be lost by going on without the copies that cannot be reached. Copies are NAME/INCARNATION."""

    survivors: tuple[str, ...] = Field(description="Voting copies that can be reached, and are too few.")
    lost: tuple[str, ...] = Field(description="Voting copies that would be given up.")
    positions: dict[str, str] = Field(
        default_factory=dict, description="How far each was known to be, as EPOCH:LSN; the lost ones to within 16 MiB."
    )
    lost_bytes: int = Field(
        default=0,
        description="Bytes of WAL that lost copies are known to have beyond the survivors; there may be more.",
    )
    config_epoch: int = Field(description="With configVersion: the membership that this is about.")
    config_version: int = Field(description="See configEpoch.")
    fingerprint: str = Field(description="What accepting it must repeat.")


class OriginStatus(WireModel):
    """How the cluster got its first data."""

    source: str = Field(description="What it was made from: cluster NAME, snapshot NAME.")
    method: str | None = Field(
        default=None,
        description="VolumeSnapshot: by a snapshot of a volume. FullCopy: all data were copied. Restore: from backups.",
    )
    fallback: str | None = Field(default=None, description="Why it became a full copy although that was not asked for.")
    consistency_point: str | None = Field(
        default=None, description="LSN that the data reach at least: what had been committed before is in them."
    )
    started_at: str | None = Field(default=None, description="When it was begun.")
    completed_at: str | None = Field(default=None, description="When the first writer was open.")


class KeptBackup(WireModel):
    """A backup that is kept."""

    label: str = Field(description="Its name in the destination.")
    type: str = Field(description="full, diff (since the full one) or incr (since the one before).")
    started_at: str = Field(description="When it was begun.")
    finished_at: str = Field(description="When it was complete: a restore can go to any time from then on.")
    size_bytes: int = Field(description="Size of the database in it.")
    stored_bytes: int = Field(description="What it takes in the destination.")
    damaged: bool = Field(default=False, description="Pages with wrong checksums were found in it.")


class RehearsalResult(WireModel):
    """What came of a rehearsal."""

    job: str = Field(description="The Job that it was.")
    result: Literal["Passed", "Failed"] = Field(description="Passed or Failed.")
    reason: str = Field(description="The same, or why not, in a word.")
    message: str = Field(description="The same in a sentence.")
    started_at: datetime | None = Field(default=None, description="When it was begun.")
    finished_at: datetime = Field(description="When it ended.")
    duration_seconds: int | None = Field(default=None, description="How long all of it took.")
    restore_seconds: int | None = Field(
        default=None, description="How long the restore took, until the database was open."
    )
    backup: str | None = Field(default=None, description="The backup that was restored.")
    restored_lsn: str | None = Field(default=None, description="How far the WAL went that was replayed on it.")
    restored_time: datetime | None = Field(
        default=None, description="When the last transaction in it was committed, by the writer's clock."
    )


class RehearsalStatus(WireModel):
    """Rehearsals of a restore."""

    next_at: datetime | None = Field(default=None, description="When the next one is due by the schedule.")
    running: str | None = Field(default=None, description="The Job that is under way.")
    message: str | None = Field(default=None, description="How far that is.")
    last: RehearsalResult | None = Field(default=None, description="The last one that has ended.")
    last_passed_at: datetime | None = Field(default=None, description="When one ended last that passed.")
    configured: bool | None = Field(
        default=None, description="Whether backup.restoreRehearsal is in the spec: when it goes, so does all of this."
    )


class BackupStatus(WireModel):
    """Continuous backup."""

    stanza: str = Field(description="What the cluster's backups are called in their destination; note it elsewhere.")
    path: str = Field(description="The folder in the destination.")
    earliest_restorable_time: str | None = Field(default=None, description="From when on a restore is possible.")
    latest_restorable_time: str | None = Field(default=None, description="Until when a restore is possible.")
    waiting_segments: int = Field(default=0, description="Full WAL segments that are not stored yet.")
    running: str | None = Field(default=None, description="The backup that is being taken, and by whom.")
    woken_at: str | None = Field(
        default=None, description="When the cluster, which was paused, was woken last for a backup that was due."
    )
    backups: tuple[KeptBackup, ...] = Field(
        default=(),
        description="The newest backups that are kept, oldest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    rehearsal: RehearsalStatus | None = Field(default=None, description="Rehearsals of a restore.")


class VolumeStatus(WireModel):
    """The volume of one copy."""

    name: str = Field(description="The copy's name; its claim is called data-NAME.")
    size: str = Field(description="What its claim asks for.")
    capacity: str | None = Field(default=None, description="What it has.")
    used_bytes: int | None = Field(default=None, description="Used bytes, rounded up to 16 MiB.")
    free_bytes: int | None = Field(default=None, description="Bytes left, rounded down to 16 MiB.")
    wanted: str | None = Field(default=None, description="A larger size that Kubernetes has not granted yet.")
    attempts: int | None = Field(default=None, description="How often that was asked for.")
    last_attempt: datetime | None = Field(default=None, description="When it was asked for last.")
    message: str | None = Field(default=None, description="What keeps it from growing, or piles up on it.")


class StorageStatus(WireModel):
    """The volumes of the cluster."""

    used_bytes: int | None = Field(
        default=None, description="Used bytes of the writer's volume, rounded up to 16 MiB: Aurora's VolumeBytesUsed."
    )
    bytes_left: int | None = Field(
        default=None,
        description="What it can still take once it has grown to storage.autoscaling.max, or as it is where that is "
        "off: Aurora's AuroraVolumeBytesLeftTotal.",
    )
    volumes: tuple[VolumeStatus, ...] = Field(
        default=(),
        description="The volumes.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class ReaderAutoscalingStatus(WireModel):
    """How many readers the load asks for."""

    readers: int | None = Field(default=None, description="How many readers there should be, spec.instances' included.")
    added: tuple[str, ...] = Field(default=(), description="Those that were added.")
    average: int | None = Field(default=None, description="The metric's average over the readers.")
    last_scale_out: datetime | None = Field(default=None, description="When readers were added last.")
    last_scale_in: datetime | None = Field(default=None, description="When a reader was removed last.")
    message: str | None = Field(default=None, description="Why the number was changed, or was not.")


class PendingMaintenance(WireModel):
    """Restarts that nobody asked for, because the operator or its default image has changed."""

    instances: tuple[str, ...] = Field(
        default=(),
        description="Copies whose pod has yet to be replaced.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    since: datetime | None = Field(default=None, description="Since when.")
    stage: MaintenanceStage = Field(
        default="going", description="What they are at: waiting for the window, for a turn, or going on."
    )
    waits_for: str | None = Field(default=None, description="What they wait for; none: they go on.")


class RequestStatus(WireModel):
    """A request by an annotation that stands in a manifest: it is done once, and stays."""

    name: str = Field(description="The annotation.")
    asked: str = Field(description="What it says.")
    stage: str | None = Field(default=None, description="What has become of it so far; none: it is over.")


class AuroraClusterStatus(WireModel):
    """The observed state. Only the operator writes it."""

    observed_generation: int | None = Field(default=None, description="The metadata.generation this was made from.")
    phase: ClusterPhase | None = Field(default=None, description="The state of the cluster in one word.")
    message: str | None = Field(default=None, description="The state of the cluster in a sentence.")
    writer: str | None = Field(default=None, description="Name of the instance that is the open writer.")
    epoch: int | None = Field(default=None, description="Number of the writer's leadership; also its timeline.")
    instances: int | None = Field(default=None, description="Instances that exist.")
    ready_instances: int | None = Field(default=None, description="Instances that serve clients.")
    ready: str | None = Field(default=None, description="Instances that serve clients, of those wanted: 3/3.")
    selector: str | None = Field(default=None, description="Label selector of the instances' pods, for scaling.")
    engine_version: str | None = Field(default=None, description="PostgreSQL's version on the writer.")
    endpoints: Endpoints | None = Field(default=None, description="Where clients connect.")
    custom_endpoints: tuple[CustomEndpointStatus, ...] | None = Field(
        default=None,
        description="The custom endpoints, and whom they lead to.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    binding: Binding | None = Field(default=None, description="The connection Secret, for Service Binding.")
    proxy: ProxyStatus | None = Field(default=None, description="The proxy.")
    members: tuple[MemberStatus, ...] = Field(
        default=(),
        description="The instances and the log copies.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    durability: DurabilityStatus | None = Field(default=None, description="The copies of the data.")
    data_loss: DataLossStatus | None = Field(
        default=None,
        description="There is no quorum: what `aurora accept-data-loss` would give up. Nothing is by itself.",
    )
    origin: OriginStatus | None = Field(default=None, description="How a clone or a restore got its first data.")
    reader_autoscaling: ReaderAutoscalingStatus | None = Field(
        default=None, description="How many readers the load asks for."
    )
    storage: StorageStatus | None = Field(default=None, description="The volumes.")
    backup: BackupStatus | None = Field(default=None, description="Continuous backup.")
    rolled_out_generation: int | None = Field(
        default=None, description="The metadata.generation at which all pods were last up to date."
    )
    pending_maintenance: PendingMaintenance | None = Field(
        default=None, description="Restarts that nobody asked for, and what they wait for."
    )
    requests: tuple[RequestStatus, ...] | None = Field(
        default=None,
        description="Requests by annotations that stand in a manifest: each is done once for each value that it has.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Standard conditions; `kubectl wait --for=condition=Ready` waits for one.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )

    def to_kubernetes(self) -> dict[str, Any]:
        """The status as Kubernetes stores it: camelCase, without what is not known."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
