"""VolumeSnapshots and their classes, where Kubernetes has them: an API that a cluster may well lack."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.kube.client import Api
from aurora_operator.kube.errors import NotFound
from aurora_operator.kube.observe import list_objects
from aurora_operator.kube.resources import OPTIONAL, SNAPSHOT_CLASS
from aurora_operator.planning.model.plan_model import Raw, SnapshotClass

DEFAULT: Final = "snapshot.storage.kubernetes.io/is-default-class"
_SNAPSHOT: Final = OPTIONAL["VolumeSnapshot"]


class Snapshots:
    """Reads them. The classes are shared by all clusters, and read anew only after some seconds."""

    def __init__(self, api: Api, *, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._seconds = seconds
        self._clock = clock
        self._read_at: float | None = None
        self._classes: tuple[SnapshotClass, ...] = ()

    async def classes(self) -> tuple[SnapshotClass, ...]:
        """The classes by name; none where the API is not served. Raises KubeError."""
        if self._read_at is None or self._clock() - self._read_at >= self._seconds:
            try:
                found = await list_objects(self._api, SNAPSHOT_CLASS, cached=True)
            except NotFound:
                found = []
            self._classes = tuple(sorted(map(class_of, found), key=lambda c: c.name))
            self._read_at = self._clock()
        return self._classes

    async def read(self, key: tuple[str, str], api: Api) -> tuple[tuple[SnapshotClass, ...], Mapping[str, Raw]]:
        """The classes, and the VolumeSnapshots of a cluster (namespace, name), by name, read by `api`.
        Raises KubeError."""
        namespace, cluster = key
        classes = await self.classes()
        if not classes:
            return (), {}
        found = await list_objects(api, _SNAPSHOT, namespace, f"{names.LABEL_CLUSTER}={cluster}")
        return classes, {str(item["metadata"]["name"]): item for item in found}


def class_of(raw: Raw) -> SnapshotClass:
    """A class as planning sees it."""
    annotations = raw["metadata"].get("annotations") or {}
    return SnapshotClass(raw["metadata"]["name"], str(raw.get("driver") or ""), annotations.get(DEFAULT) == "true")
