"""What a cluster that does not begin empty has in common, wherever its first data come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from aurora_operator.api.agent.origin import Origin
from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.base import names
from aurora_operator.api.status import OriginStatus
from aurora_operator.planning.model.plan_model import ObjectRef, Raw
from aurora_operator.planning.objects.common import encode_data, is_leaving
from aurora_operator.planning.view.facts import Facts

ANNOTATION_POINT: Final = f"{names.GROUP}/origin-point"
"""On a clone while it is made: the LSN that it must reach, in bytes."""
ANNOTATION_FALLBACK: Final = f"{names.GROUP}/origin-fallback"
"""On a clone while it is made: why it becomes a full copy."""


@dataclass(frozen=True)
class Beginning:
    """What is to be done so that a cluster gets its first data."""

    origin: Origin | None = None
    """What the agents are told."""
    ready: bool = True
    """Whether the instances may be made."""
    bootstrap: int | None = None
    zone: str | None = None
    """Where the bootstrap instance must be."""
    pinned: bool = True
    """Whether `zone` is meant: else any zone will do."""
    data_source: Mapping[str, str] | None = None
    """What its volume is made from."""
    least_bytes: int = 0
    """Its volume's least size."""
    objects: tuple[dict[str, Any], ...] = ()
    delete: tuple[ObjectRef, ...] = ()
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    wakes: str | None = None
    """Another AuroraCluster of the namespace, which is paused, and must run for it."""
    status: OriginStatus | None = None
    message: str | None = None
    """What is under way, in a sentence."""


def begun(cluster: Raw, children: Mapping[str, Mapping[str, Raw]]) -> bool:
    """Whether the cluster has had a writer: then it needs nothing of where its data came from."""
    record = children.get("ConfigMap", {}).get(names.record_configmap(cluster["metadata"]["name"])) or {}
    try:
        return Record.model_validate_json((record.get("data") or {}).get(RECORD_KEY, "")).state == "initialised"
    except ValidationError:
        return False


def moment(facts: Facts) -> str:
    """Now, as Kubernetes writes it."""
    return facts.now.strftime("%Y-%m-%dT%H:%M:%SZ")


def tidy(facts: Facts, status: OriginStatus) -> Beginning:
    """The cluster has begun: what led there is removed."""
    delete = []
    snapshot = origin_snapshot(facts)
    if snapshot is not None and not is_leaving(snapshot):
        delete.append(ObjectRef("VolumeSnapshot", snapshot["metadata"]["name"], snapshot["metadata"].get("uid")))
    secret = facts.observed.child("Secret", names.origin_secret(facts.name))
    objects = () if secret is None else (origin_credentials(facts, dict.fromkeys((secret.get("data") or {}), "")),)
    kept = (facts.metadata.get("annotations") or {}).keys() & {ANNOTATION_POINT, ANNOTATION_FALLBACK}
    done = status if status.completed_at else status.model_copy(update={"completed_at": moment(facts)})
    return Beginning(objects=objects, delete=tuple(delete), annotations=dict.fromkeys(sorted(kept)), status=done)


def origin_snapshot(facts: Facts) -> Raw | None:
    """The VolumeSnapshot that the clone is made from; a release before this one gave it another name."""
    seen = facts.observed
    return seen.child("VolumeSnapshot", names.origin_snapshot(facts.name)) or seen.child(
        "VolumeSnapshot", f"{facts.name}-origin"
    )


def origin_credentials(facts: Facts, data: Mapping[str, str]) -> dict[str, Any]:
    """The Secret that lets a clone copy its source."""
    return facts.identity.object("Secret", names.origin_secret(facts.name), type="Opaque", data=encode_data(data))
