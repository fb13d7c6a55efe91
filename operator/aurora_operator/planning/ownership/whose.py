"""Whose an object is. A name proves nothing, and a label alone not either: anybody may use them.

An object is ours when its controller is our AuroraCluster, by uid. The exceptions:

- A claim has no owner, so that nothing but a decision ever deletes it. It is ours to use when it carries our uid in
  `ANNOTATION_CLUSTER_UID`, or when it was made for an instance of a cluster of our name: volumes that an earlier
  cluster of the name left are used again. It is ours to delete only by our uid, see `may_delete_claim`.
- A pod belongs to its StatefulSet or Job, and an EndpointSlice of Kubernetes' own to its Service.
- The connection Secret may be anybody's: see `ownership.login`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Raw, parse_time
from aurora_operator.planning.objects.common import annotation, label

Objects = Mapping[str, Mapping[str, Raw]]
"""By kind and name."""

_OF_PODS: Final = ("StatefulSet", "Job")


@dataclass(frozen=True)
class Belongings:
    """What was found, sorted."""

    ours: Objects = field(default_factory=dict)
    taken: Objects = field(default_factory=dict)
    """Somebody else's."""


def controller_of(obj: Raw) -> Mapping[str, Any] | None:
    """The owner reference of the object's controller, if it has one."""
    references = (obj.get("metadata") or {}).get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def is_controlled_by(obj: Raw, uid: str) -> bool:
    """Whether the object's controller is the AuroraCluster with this uid."""
    controller = controller_of(obj)
    return controller is not None and controller.get("kind") == names.KIND and controller.get("uid") == uid


def sort_out(cluster: Raw, found: Objects) -> Belongings:
    """What of `found` is the cluster's own, and what is somebody else's."""
    name, uid = cluster["metadata"]["name"], cluster["metadata"].get("uid", "")
    foreign_owners = {
        raw["metadata"].get("uid")
        for kind in _OF_PODS
        for raw in found.get(kind, {}).values()
        if not is_controlled_by(raw, uid)
    }

    def ours(kind: str, raw: Raw) -> bool:
        if kind == "PersistentVolumeClaim":
            return _is_our_claim(raw, name, uid)
        if kind == "Pod":
            controller = controller_of(raw)
            return label(raw, names.LABEL_CLUSTER) == name and (
                controller is None
                or (controller.get("kind") in _OF_PODS and controller.get("uid") not in foreign_owners)
            )
        if kind == "Secret" and raw["metadata"]["name"] == names.app_secret(name):
            return True
        return is_controlled_by(raw, uid)

    return Belongings(
        ours={kind: {n: raw for n, raw in objects.items() if ours(kind, raw)} for kind, objects in found.items()},
        taken={kind: {n: raw for n, raw in objects.items() if not ours(kind, raw)} for kind, objects in found.items()},
    )


def _is_our_claim(claim: Raw, cluster: str, uid: str) -> bool:
    if controller_of(claim) is not None:
        return False
    if annotation(claim, names.ANNOTATION_CLUSTER_UID) == uid:
        return True
    instance = str(claim["metadata"]["name"]).removeprefix("data-")
    return label(claim, names.LABEL_CLUSTER) == cluster and label(claim, names.LABEL_INSTANCE) == instance


def may_delete_claim(claim: Raw, cluster: Mapping[str, Any]) -> bool:
    """Whether the claim is this cluster's own, and not one that an earlier cluster of its name left and this one has
    never used; `cluster` is the AuroraCluster's metadata. A claim from before claims had a uid is told by its age."""
    marked = annotation(claim, names.ANNOTATION_CLUSTER_UID)
    if marked is not None:
        return marked == cluster.get("uid")
    born, made = cluster.get("creationTimestamp"), claim["metadata"].get("creationTimestamp")
    return born is not None and made is not None and parse_time(made) >= parse_time(born)
