"""Where each kind lives in the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.api.snapshot import SNAPSHOT_KIND, SNAPSHOT_PLURAL
from aurora_operator.planning.model.plan_model import CHILD_KINDS, OPTIONAL_KINDS


@dataclass(frozen=True)
class Resource:
    """A kind of object and its address."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The address of an object, or of all (`name` None), of a namespace or of all (`namespace` None)."""
        parts = ["/apis" if "/" in self.api_version else "/api", self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/".join(parts)


_PLURALS: Final = {
    "EndpointSlice": "endpointslices",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
}

CLUSTER: Final = Resource(names.API_VERSION, names.KIND, names.PLURAL)
SNAPSHOT: Final = Resource(names.API_VERSION, SNAPSHOT_KIND, SNAPSHOT_PLURAL)
NODE: Final = Resource("v1", "Node", "nodes", namespaced=False)
STORAGE_CLASS: Final = Resource("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
PRIORITY_CLASS: Final = Resource("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", namespaced=False)
LEASE: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")
EVENT: Final = Resource("v1", "Event", "events")
"""Of the core group: in events.k8s.io the time and the count that kubectl sorts and shows by cannot change."""

CHILDREN: Final = {
    kind: Resource(version, kind, _PLURALS.get(kind, kind.lower() + "s")) for kind, version in CHILD_KINDS.items()
}
"""The kinds that a cluster's objects have, by kind."""


OPTIONAL: Final = {kind: Resource(version, kind, kind.lower() + "s") for kind, version in OPTIONAL_KINDS.items()}
"""Kinds of children that a Kubernetes cluster may not have."""
SNAPSHOT_CLASS: Final = Resource(
    OPTIONAL_KINDS["VolumeSnapshot"], "VolumeSnapshotClass", "volumesnapshotclasses", namespaced=False
)


def resource_of(kind: str) -> Resource:
    """The address of a kind that the operator works with. Raises KeyError for any other."""
    others = {names.KIND: CLUSTER, SNAPSHOT_KIND: SNAPSHOT, PRIORITY_CLASS.kind: PRIORITY_CLASS}
    return {**CHILDREN, **OPTIONAL, **others}[kind]
