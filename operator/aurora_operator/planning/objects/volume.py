"""The volume of an instance or a log copy: a claim that nobody owns, so that nothing but a decision ever deletes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from aurora_operator.api.base import names
from aurora_operator.planning.objects.common import Identity

ANNOTATION_RETIRED: Final = f"{names.GROUP}/retired"
"""On a claim: `Retain` or `Delete` (what becomes of it) once its instance is being removed; else `No`. An instance
whose claim says `No` is brought back whenever it is missing."""
ANNOTATION_GIVEN_UP: Final = f"{names.GROUP}/given-up"
"""On a claim: why its copy was given up. Nothing deletes such a volume or uses its number again: that is for people."""
IN_USE: Final = "No"
ANNOTATION_ADDED: Final = f"{names.GROUP}/reader-autoscaling"
"""On the claim of a reader that was added because of the load: the instance whose size it has; else empty."""
ANNOTATION_DRAINING: Final = f"{names.GROUP}/draining-since"
"""On the claim of such a reader once it is to go: since when it takes no new sessions."""
RETIRED: Final = frozenset({"Retain", "Delete"})


def claim_name(instance: str) -> str:
    """Name of an instance's PersistentVolumeClaim."""
    return f"data-{instance}"


def claim_spec(size: str, storage_class: str | None) -> dict[str, Any]:
    """Of a claim for one node. `storage_class` None takes the default class."""
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return spec


def build_claim(
    identity: Identity,
    instance: str,
    *,
    zone: str | None,
    size: str,
    storage_class: str | None,
    retired: str = IN_USE,
    source: Mapping[str, str] | None = None,
    component: Literal["instance", "log"] = "instance",
    given_up: str | None = None,
) -> dict[str, Any]:
    """The claim of an instance or a log copy. `storage_class` None takes the default class; `source` is a `dataSource`
    to begin with. Later on, only its size and its marks may change."""
    labels = {names.LABEL_INSTANCE: instance, names.LABEL_COMPONENT: component}
    if zone is not None:
        labels[names.LABEL_ZONE] = zone
    spec = claim_spec(size, storage_class)
    if source is not None:
        spec["dataSource"] = dict(source)
    return identity.object(
        "PersistentVolumeClaim",
        claim_name(instance),
        labels=labels,
        annotations={ANNOTATION_RETIRED: retired, names.ANNOTATION_CLUSTER_UID: identity.uid}
        | ({} if given_up is None else {ANNOTATION_GIVEN_UP: given_up}),
        owned=False,
        spec=spec,
    )
