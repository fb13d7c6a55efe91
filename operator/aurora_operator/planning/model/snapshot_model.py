"""What planning an AuroraSnapshot reads and answers, whatever the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from aurora_operator.api.snapshot import LABEL_SNAPSHOT, LABEL_SNAPSHOT_UID, AuroraSnapshotStatus, SnapshotPhase
from aurora_operator.planning.model.plan_model import (
    EventSpec,
    ObjectRef,
    OperatorConfig,
    Raw,
    SnapshotClass,
    Source,
    StorageClass,
    TakeSnapshot,
)

STEADY_SECONDS: Final = 60.0
BUSY_SECONDS: Final = 1.0
WAITING_SECONDS: Final = 5.0


@dataclass(frozen=True)
class SnapshotSeen:
    """All that planning may know of an AuroraSnapshot."""

    snapshot: Raw
    operator: OperatorConfig
    volume_snapshot: Raw | None = None
    """The VolumeSnapshot of its name, its own or not."""
    source: Source | None = None
    """The cluster; read only until the snapshot is complete."""
    copied: Raw | None = None
    """The AuroraSnapshot that it is to be a copy of; read only until it is complete."""
    jobs: Mapping[str, Raw] = field(default_factory=dict)
    """Its Jobs, by name."""
    job_pods: tuple[Raw, ...] = ()
    """Their pods."""
    namespace_ends: bool = False
    """Nothing can be made in its namespace any more."""
    storage_classes: tuple[StorageClass, ...] = ()
    snapshot_classes: tuple[SnapshotClass, ...] = ()


@dataclass(frozen=True)
class SnapshotPlan:
    """What to do now: finalizers that are added first, objects, deletions, a call to an agent of the cluster, status,
    events; and finalizers that are removed at last, when all else was done."""

    status: dict[str, Any]
    create: tuple[dict[str, Any], ...] = ()
    delete: tuple[ObjectRef, ...] = ()
    call: TakeSnapshot | None = None
    finalizers: tuple[str, ...] | None = None
    events: tuple[EventSpec, ...] = ()
    requeue_seconds: float = STEADY_SECONDS


@dataclass(frozen=True)
class Step:
    """The next step, and what is said of it."""

    phase: SnapshotPhase
    reason: str
    message: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    create: tuple[dict[str, Any], ...] = ()
    delete: tuple[ObjectRef, ...] = ()
    call: TakeSnapshot | None = None
    finalizers: tuple[str, ...] | None = None
    seconds: float = BUSY_SECONDS


def status_of(snapshot: Raw) -> AuroraSnapshotStatus:
    """The status that is there; an empty one where it cannot be read."""
    try:
        return AuroraSnapshotStatus.model_validate(snapshot.get("status") or {})
    except ValidationError:
        return AuroraSnapshotStatus()


def by_backup(snapshot: Raw) -> bool:
    """Whether a backup holds, or is to hold, its data."""
    return bool((snapshot.get("spec") or {}).get("method") == "Backup")


def is_going(snapshot: Raw) -> bool:
    """Whether somebody has deleted it."""
    return snapshot["metadata"].get("deletionTimestamp") is not None


def is_held_by(snapshot: Raw, volume: Raw) -> bool:
    """Whether a VolumeSnapshot of an AuroraSnapshot's name is its own: by the uid that it carries. One from before they
    carried it is known by its label, if the AuroraSnapshot's status says that it was made for it."""
    metadata = snapshot["metadata"]
    labels = volume["metadata"].get("labels") or {}
    if LABEL_SNAPSHOT_UID in labels:
        return bool(labels[LABEL_SNAPSHOT_UID] == metadata.get("uid"))
    noted = (snapshot.get("status") or {}).get("volumeSnapshot")
    return bool(labels.get(LABEL_SNAPSHOT) == metadata["name"] == noted)


def needs_source(snapshot: Raw) -> bool:
    """Whether planning must see the cluster: not once the snapshot is complete. One that is to go must not go while a
    backup for it is under way."""
    if status_of(snapshot).completed_at is not None:
        return False
    return not is_going(snapshot) or by_backup(snapshot)


def ready_message(name: str) -> str:
    """For people: what it is good for."""
    return f"A cluster can be made from it: restoreFrom: {{snapshot: {name}}}."
