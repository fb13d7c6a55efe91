"""The resource `AuroraSnapshot`: a cluster's data as they were at one moment, kept until somebody deletes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base import names
from aurora_operator.api.base.base import Model, WireModel
from aurora_operator.api.base.conditions import Condition
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.cluster import ObjectMeta
from aurora_operator.api.spec.repository import Destination, Repository

SNAPSHOT_KIND: Final = "AuroraSnapshot"
SNAPSHOT_PLURAL: Final = "aurorasnapshots"

SnapshotPhase = Literal[
    "Pending",  # waits for the cluster, or for what it takes to make it
    "Creating",
    "Ready",  # a cluster can be made from it
    "Failed",  # what it held is gone
    "Deleting",
]


class AuroraSnapshotSpec(RuledModel):
    """What to keep, and how."""

    cluster: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        default=None, description="The AuroraCluster, in the same namespace."
    )
    source_snapshot: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None,
        description="Instead of cluster: an AuroraSnapshot of method Backup in the same namespace, to copy to "
        "destination.",
    )
    method: Literal["VolumeSnapshot", "Backup"] = Field(
        default="VolumeSnapshot",
        description="VolumeSnapshot: the storage driver takes a snapshot of a reader's volume. Backup: pgBackRest "
        "stores all data, in the cluster's backup destination.",
    )
    destination: Destination | None = Field(default=None, description="Where to copy sourceSnapshot.")
    deletion_policy: Literal["Delete", "Retain"] = Field(
        default="Delete",
        description="When this resource is deleted: Delete deletes the data it stands for, Retain leaves them.",
    )

    RULES: ClassVar = (
        Rule(
            cel=" && ".join(
                f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"
                for name in ("cluster", "sourceSnapshot", "destination")
            )
            + " && self.method == oldSelf.method",
            message="cluster, sourceSnapshot, method and destination of a snapshot cannot change: make another "
            "AuroraSnapshot.",
        ),
        Rule(
            cel="has(self.cluster) != has(self.sourceSnapshot)",
            message="A snapshot needs one of cluster and sourceSnapshot, and only one.",
            check=lambda s: (s.cluster is None) != (s.source_snapshot is None),
        ),
        Rule(
            cel="has(self.sourceSnapshot) == has(self.destination)",
            message="destination goes with sourceSnapshot: a snapshot of a cluster is kept in that cluster's own "
            "backup destination, and a second AuroraSnapshot copies it elsewhere.",
            check=lambda s: (s.source_snapshot is None) == (s.destination is None),
        ),
        Rule(
            cel="!has(self.sourceSnapshot) || self.method == 'Backup'",
            message="sourceSnapshot goes with method: Backup; a VolumeSnapshot cannot be copied to a destination.",
            check=lambda s: s.source_snapshot is None or s.method == "Backup",
        ),
    )


class ConsistencyPoint(WireModel):
    """Where in the cluster's history the data are: everything committed before is in them."""

    lsn: str = Field(description="The LSN that they reach at least.")
    timeline: int = Field(description="Its timeline, which is the epoch of the writer at that time.")
    time: datetime | None = Field(default=None, description="When the snapshot was taken.")


class SnapshotSource(WireModel):
    """What a cluster that is made from it must know, also when the one it was taken of is gone."""

    database_name: str = Field(description="The database that was made with the cluster.")
    master_username: str = Field(description="The user that owns it.")
    engine_version: str | None = Field(default=None, description="PostgreSQL's version on the writer.")
    instance: str | None = Field(default=None, description="The instance whose data they are.")
    zone: str | None = Field(default=None, description="The zone of its volume.")


class SnapshotBackup(WireModel):
    """Where the data of method Backup are: all that a restore needs, but for what is in the Secrets."""

    path: str = Field(description="The path in the destination, as restoreFrom.destination.path.")
    repository: Repository = Field(description="The destination with that path, the stanza, and the encryption.")
    label: str | None = Field(default=None, description="pgBackRest's label of the backup, once it is complete.")
    stored_bytes: int | None = Field(default=None, description="What it takes there, compressed.")


class AuroraSnapshotStatus(WireModel):
    """The observed state. Only the operator writes it."""

    observed_generation: int | None = Field(default=None, description="The metadata.generation this was made from.")
    phase: SnapshotPhase | None = Field(default=None, description="The state in one word.")
    message: str | None = Field(default=None, description="The state in a sentence.")
    consistency_point: ConsistencyPoint | None = Field(default=None, description="Where in the history the data are.")
    progress: int | None = Field(default=None, description="Percent done, while it is made by method Backup.")
    size: str | None = Field(default=None, description="The least size of a volume for its data.")
    volume_snapshot: str | None = Field(default=None, description="Name of the VolumeSnapshot that holds the data.")
    backup: SnapshotBackup | None = Field(default=None, description="Where a backup holds the data.")
    source: SnapshotSource | None = Field(default=None, description="What it was taken of.")
    started_at: datetime | None = Field(default=None, description="When it was begun.")
    completed_at: datetime | None = Field(default=None, description="When it could first be used.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Standard conditions; `kubectl wait --for=condition=Ready` waits for one.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )

    def to_kubernetes(self) -> dict[str, Any]:
        """The status as Kubernetes stores it: camelCase, without what is not known."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class AuroraSnapshot(Model):
    """A cluster's data as they were at one moment. It never expires."""

    api_version: Literal["aurorapg.io/v1alpha1"] = "aurorapg.io/v1alpha1"
    kind: Literal["AuroraSnapshot"] = "AuroraSnapshot"
    metadata: ObjectMeta
    spec: AuroraSnapshotSpec = Field(description="What to keep.")
    status: AuroraSnapshotStatus = Field(
        default=AuroraSnapshotStatus(), description="What is there. Only the operator writes it."
    )


LABEL_SNAPSHOT: Final = f"{names.GROUP}/snapshot"
"""On the VolumeSnapshot of an AuroraSnapshot: its name."""
LABEL_SNAPSHOT_UID: Final = f"{names.GROUP}/snapshot-uid"
"""On the Jobs of an AuroraSnapshot, and their pods: its uid."""
