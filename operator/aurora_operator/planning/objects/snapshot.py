"""VolumeSnapshots: the standard API for a volume as it is at one moment, even while it is written to.

https://kubernetes.io/docs/concepts/storage/volume-snapshots/. A claim that is a clone of another claim would do with
some drivers; but that API promises nothing about a volume that is in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.api.base.quantity import to_bytes
from aurora_operator.planning.model.plan_model import Raw, SnapshotClass
from aurora_operator.planning.objects.common import Identity, annotation, label

API_GROUP: Final = "snapshot.storage.k8s.io"
ANNOTATION_LSN: Final = f"{names.GROUP}/lsn"
"""On a VolumeSnapshot: the LSN, in bytes, that its data reach at least."""


def build_volume_snapshot(
    identity: Identity,
    name: str,
    *,
    claim: str,
    snapshot_class: str,
    zone: str | None,
    lsn: int,
    labels: Mapping[str, str] | None = None,
    owned: bool = True,
) -> dict[str, Any]:
    """A snapshot of a claim's volume, with what is needed to use it: where it is, and how far its data reach."""
    marks = dict(labels or {})
    if zone is not None:
        marks[names.LABEL_ZONE] = zone
    return identity.object(
        "VolumeSnapshot",
        name,
        labels=marks,
        annotations={ANNOTATION_LSN: str(lsn)},
        owned=owned,
        spec={"volumeSnapshotClassName": snapshot_class, "source": {"persistentVolumeClaimName": claim}},
    )


def data_source(snapshot: str) -> dict[str, str]:
    """A claim's `dataSource` that makes its volume from a snapshot."""
    return {"apiGroup": API_GROUP, "kind": "VolumeSnapshot", "name": snapshot}


def is_usable(snapshot: Raw) -> bool:
    """Whether volumes can be made from it."""
    return bool((snapshot.get("status") or {}).get("readyToUse"))


def error_of(snapshot: Raw) -> str | None:
    """What its driver says against it, or None."""
    error = (snapshot.get("status") or {}).get("error")
    return None if not error else str(error.get("message") or "the driver does not say why")


def least_bytes(snapshot: Raw) -> int:
    """The least size of a volume that is made from it; 0 if not known."""
    size = (snapshot.get("status") or {}).get("restoreSize")
    return 0 if size is None else to_bytes(str(size))


def lsn_of(snapshot: Raw) -> int:
    """The LSN that its data reach at least; 0 if not known."""
    text = annotation(snapshot, ANNOTATION_LSN) or ""
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def zone_of(snapshot: Raw) -> str | None:
    """The zone of the volume that it was taken of."""
    return label(snapshot, names.LABEL_ZONE)


def class_for(driver: str, classes: Iterable[SnapshotClass]) -> SnapshotClass | None:
    """The class to use for a driver's volumes: its default, else the first by name."""
    usable = [c for c in classes if c.driver == driver]
    return min(usable, key=lambda c: (not c.default, c.name), default=None)
