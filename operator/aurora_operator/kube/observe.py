"""Reading: a cluster, what belongs to it, and what it stands on.

Every list is a consistent read, unless it is a `kube.cache.Cache` that is asked: a change that was planned by a stale
list would create twice, or delete what was just made. See `controller/reconcile.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.api.base.quantity import is_quantity, to_bytes, to_millis
from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import Forbidden, NotFound
from aurora_operator.kube.resources import CHILDREN, CLUSTER, NODE, STORAGE_CLASS, Resource, resource_of
from aurora_operator.planning.model.plan_model import Node, Raw, StorageClass
from aurora_operator.planning.ownership.whose import Belongings, sort_out

LABEL_STORAGE_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"
_TAINT_CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"

Children = Mapping[str, Mapping[str, Raw]]
Key = tuple[str, str]
"""Kind and name."""


async def get_cluster(api: Api, namespace: str, name: str) -> Raw | None:
    """The AuroraCluster, or None when it is gone. Raises KubeError."""
    return await get(api, CLUSTER, namespace, name)


async def get(api: Api, resource: Resource, namespace: str, name: str) -> Raw | None:
    """One object, or None when it does not exist. Raises KubeError."""
    try:
        return await api.request("GET", resource.path(namespace, name))
    except NotFound:
        return None


async def exist(api: Api, namespace: str, wanted: Collection[Key]) -> dict[Key, bool]:
    """Whether there are objects of these kinds and names, but for what we may not read. Raises KubeError."""

    async def look(key: Key) -> bool | None:
        kind, name = key
        try:
            return await get(api, resource_of(kind), namespace, name) is not None
        except Forbidden:
            return None

    keys = sorted(wanted)
    found = await asyncio.gather(*map(look, keys))
    return {key: there for key, there in zip(keys, found, strict=True) if there is not None}


async def children(api: Api, namespace: str, cluster: str) -> Children:
    """All objects of a cluster, by kind and name: those with its label, and its connection Secret in any case.

    Raises KubeError if any of them cannot be read: half a picture must not be planned on.
    """
    selector = f"{names.LABEL_CLUSTER}={cluster}"
    try:
        async with asyncio.TaskGroup() as tasks:
            lists = {
                kind: tasks.create_task(list_objects(api, resource, namespace, selector))
                for kind, resource in CHILDREN.items()
            }
            app = tasks.create_task(get(api, CHILDREN["Secret"], namespace, names.app_secret(cluster)))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    found = {kind: {_name(o): o for o in task.result()} for kind, task in lists.items()}
    own = app.result()
    if own is not None:
        found["Secret"].setdefault(_name(own), own)
    return found


async def belongings(api: Api, cluster: Raw, met: Collection[Key] = (), more: Children | None = None) -> Belongings:
    """The objects of a cluster, whose they are, and those that are somebody else's under names that it needs.

    Found by label, as `children`, and by name: those of `met`, which were there when they were to be created; a steady
    cluster has none. `more` are of kinds that are listed elsewhere. Raises KubeError.
    """
    namespace, name = cluster["metadata"]["namespace"], cluster["metadata"]["name"]
    found = {**await children(api, namespace, name), **(more or {})}
    unseen = [key for key in met if key[1] not in found.get(key[0], {})]
    read = await asyncio.gather(*(get(api, resource_of(kind), namespace, wanted) for kind, wanted in unseen))
    for (kind, wanted), obj in zip(unseen, read, strict=True):
        if obj is not None:
            found[kind] = {**found.get(kind, {}), wanted: obj}
    return sort_out(cluster, found)


async def list_objects(
    api: Api, resource: Resource, namespace: str | None = None, selector: str | None = None, *, cached: bool = False
) -> list[Raw]:
    """The objects of a kind, each with its `kind` and `apiVersion` (a list's items lack them).

    `cached`: the API server may answer from its watch cache, which is cheap and a moment old. Raises KubeError.
    """
    query = {}
    if selector is not None:
        query["labelSelector"] = selector
    if cached:
        query["resourceVersion"] = "0"
    answer = await api.request("GET", resource.path(namespace), query=query)
    return [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in answer.get("items") or ()]


class Surroundings:
    """Nodes and storage classes: shared by all clusters, and read anew only after some seconds."""

    def __init__(self, api: Api, *, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._seconds = seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_at: float | None = None
        self._value: tuple[tuple[Node, ...], tuple[StorageClass, ...]] = ((), ())

    async def read(self) -> tuple[tuple[Node, ...], tuple[StorageClass, ...]]:
        """Nodes and storage classes, by name. Raises KubeError."""
        async with self._lock:
            if self._read_at is None or self._clock() - self._read_at >= self._seconds:
                nodes = await list_objects(self._api, NODE, cached=True)
                classes = await list_objects(self._api, STORAGE_CLASS, cached=True)
                self._value = (
                    tuple(sorted(map(node_of, nodes), key=lambda n: n.name)),
                    tuple(sorted(map(storage_class_of, classes), key=lambda s: s.name)),
                )
                self._read_at = self._clock()
            return self._value


def node_of(raw: Raw) -> Node:
    """A node as placement sees it."""
    spec, metadata = raw.get("spec") or {}, raw["metadata"]
    conditions = (raw.get("status") or {}).get("conditions") or ()
    addresses = (raw.get("status") or {}).get("addresses") or ()
    allocatable = (raw.get("status") or {}).get("allocatable") or {}
    taints = spec.get("taints") or ()
    return Node(
        name=metadata["name"],
        zone=(metadata.get("labels") or {}).get(names.LABEL_ZONE),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
        schedulable=not any(t["key"] == _TAINT_CONTROL_PLANE and t["effect"] != "PreferNoSchedule" for t in taints),
        cordoned=bool(spec.get("unschedulable")),
        address=next((a["address"] for a in addresses if a.get("type") == "InternalIP"), None),
        memory_bytes=_amount(allocatable.get("memory"), to_bytes),
        cpu_millis=_amount(allocatable.get("cpu"), to_millis),
    )


def _amount(text: object, convert: Callable[[str], int]) -> int:
    return convert(text) if isinstance(text, str) and is_quantity(text) else 0


def storage_class_of(raw: Raw) -> StorageClass:
    """A storage class as storage planning sees it."""
    metadata = raw["metadata"]
    return StorageClass(
        name=metadata["name"],
        default=(metadata.get("annotations") or {}).get(LABEL_STORAGE_DEFAULT) == "true",
        expandable=bool(raw.get("allowVolumeExpansion")),
        provisioner=str(raw.get("provisioner") or ""),
    )


def _name(raw: Mapping[str, Any]) -> str:
    return str(raw["metadata"]["name"])
