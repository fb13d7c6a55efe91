"""The CSI controller service of one node: it makes and removes volumes and snapshots in that node's pool.

Expansion is not here: it is the node service's (and csi-resizer, seeing that, only records the wish).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped, unused-ignore]

from . import csi_pb2 as csi
from . import linux
from .capabilities import access_modes_complaint, capability_complaint
from .errors import exhausted, exists, invalid, not_found, out_of_range, precondition
from .peers import Client
from .pool import Pool
from .store import Record, make_id, node_of
from .wishes import SMALLEST, choose_size, fits, page

_CAPABILITIES = (
    "CREATE_DELETE_VOLUME",
    "LIST_VOLUMES",
    "GET_CAPACITY",
    "CREATE_DELETE_SNAPSHOT",
    "LIST_SNAPSHOTS",
    "CLONE_VOLUME",
    "SINGLE_NODE_MULTI_WRITER",
)


class Source(Protocol):
    """Content for a new volume; ``size`` in bytes."""

    size: int

    def write_to(self, image: Path) -> None:
        """Make ``image`` have the content."""


@dataclass
class _Local:
    size: int
    write_to: Callable[[Path], None]


class Controller:
    """The calls of csi.v1.Controller; method names are the protocol's."""

    def __init__(self, pool: Pool, peers: Client | None = None) -> None:
        """``peers``: how to get at what is in other nodes' pools; without it, only this node's can be copied."""
        self._pool = pool
        self._node = pool.settings.node
        self._peers = peers

    @staticmethod
    def ControllerGetCapabilities(
        _request: csi.ControllerGetCapabilitiesRequest,
    ) -> csi.ControllerGetCapabilitiesResponse:
        service = csi.ControllerServiceCapability
        return csi.ControllerGetCapabilitiesResponse(
            capabilities=[service(rpc=service.RPC(type=name)) for name in _CAPABILITIES]
        )

    def CreateVolume(self, request: csi.CreateVolumeRequest) -> csi.CreateVolumeResponse:
        if not request.name:
            raise invalid("a volume needs a name")
        if complaint := access_modes_complaint(request.volume_capabilities):
            raise invalid(complaint)
        self._check_topology(request)
        identifier, origin = make_id("vol", self._node, request.name), _origin_of(request)
        with self._pool.locks.hold(identifier, origin):
            volume = self._pool.volumes.get(identifier)
            if volume is None:
                volume = self._make_volume(identifier, origin, request)
            elif volume.origin != origin or not fits(volume.size, request.capacity_range):
                raise exists(f"{request.name} exists with another size or another source")
        return csi.CreateVolumeResponse(volume=self._describe_volume(volume))

    def _make_volume(self, identifier: str, origin: str, request: csi.CreateVolumeRequest) -> Record:
        wish, ceiling = request.capacity_range, self._pool.settings.pool_bytes
        with self._source(origin) as source:
            if source and 0 < wish.required_bytes < source.size:
                raise out_of_range(f"the source has {source.size} bytes; a copy cannot be smaller")
            size = choose_size(wish, source.size if source else SMALLEST, ceiling)
            volume = Record(identifier, request.name, size, time.time(), origin)

            def make_image(image: Path) -> None:
                if source is None:
                    linux.make_filesystem(image, size)
                else:
                    source.write_to(image)
                    linux.grow(image, size, None)  # its file system follows when it is staged

            self._pool.volumes.create(volume, make_image)
        return volume

    @contextlib.contextmanager
    def _source(self, origin: str) -> Iterator[Source | None]:
        """Find what to copy: here, on the node that the id names, or nothing for an empty id."""
        holder, record = node_of(origin), self._pool.store_of(origin).get(origin)
        if not origin:
            yield None
        elif record is not None:
            yield _Local(record.size, lambda image: self._clone(record, image))
        elif holder is None or holder == self._node:
            raise not_found(f"there is no {origin} to make the volume from")
        elif self._peers is None:
            raise exhausted(f"the source is in the pool of node {holder}: only there can it be cloned")
        else:
            with self._peers.open(holder, origin) as remote:
                yield remote

    def _clone(self, source: Record, image: Path) -> None:
        """Make ``image`` share the blocks of a volume, held still if it is mounted, or of a snapshot."""
        store = self._pool.store_of(source.id)
        point = self._pool.mounted_at(source) if store is self._pool.volumes else None
        with linux.frozen(point):
            linux.clone_file(store.image(source.id), image)

    def DeleteVolume(self, request: csi.DeleteVolumeRequest) -> csi.DeleteVolumeResponse:
        if not request.volume_id:
            raise invalid("no volume_id")
        self._refuse_foreign(request.volume_id)
        with self._pool.locks.hold(request.volume_id):
            volume = self._pool.volumes.get(request.volume_id)
            if volume is not None:
                if point := self._pool.mounted_at(volume):
                    raise precondition(f"{volume.id} is mounted at {point}")
                self._pool.volumes.delete(volume.id)
        return csi.DeleteVolumeResponse()

    def ValidateVolumeCapabilities(
        self, request: csi.ValidateVolumeCapabilitiesRequest
    ) -> csi.ValidateVolumeCapabilitiesResponse:
        if not request.volume_id:
            raise invalid("no volume_id")
        if not request.volume_capabilities:
            raise invalid("no volume_capabilities")
        if self._pool.volumes.get(request.volume_id) is None:
            raise not_found(f"there is no volume {request.volume_id} on this node")
        complaints = [c for wish in request.volume_capabilities if (c := capability_complaint(wish))]
        if complaints:
            return csi.ValidateVolumeCapabilitiesResponse(message="; ".join(complaints))
        confirmed = csi.ValidateVolumeCapabilitiesResponse.Confirmed(
            volume_context=request.volume_context,
            volume_capabilities=request.volume_capabilities,
            parameters=request.parameters,
        )
        return csi.ValidateVolumeCapabilitiesResponse(confirmed=confirmed)

    def ListVolumes(self, request: csi.ListVolumesRequest) -> csi.ListVolumesResponse:
        volumes, token = page(self._pool.volumes.records(), request.starting_token, request.max_entries)
        entry = csi.ListVolumesResponse.Entry
        entries = [entry(volume=self._describe_volume(volume)) for volume in volumes]
        return csi.ListVolumesResponse(entries=entries, next_token=token)

    def GetCapacity(self, request: csi.GetCapacityRequest) -> csi.GetCapacityResponse:
        wanted = dict(request.accessible_topology.segments)
        if any(self._pool.settings.topology.get(key) != value for key, value in wanted.items()):
            return csi.GetCapacityResponse(available_capacity=0)
        if access_modes_complaint(request.volume_capabilities or [_ANY]):
            return csi.GetCapacityResponse(available_capacity=0)
        return csi.GetCapacityResponse(available_capacity=self._pool.available())

    def CreateSnapshot(self, request: csi.CreateSnapshotRequest) -> csi.CreateSnapshotResponse:
        if not request.name or not request.source_volume_id:
            raise invalid("a snapshot needs a name and a source_volume_id")
        self._refuse_foreign(request.source_volume_id)
        identifier = make_id("snap", self._node, request.name)
        with self._pool.locks.hold(identifier, request.source_volume_id):
            snapshot = self._pool.snapshots.get(identifier)
            if snapshot is None:
                volume = self._pool.volumes.get(request.source_volume_id)
                if volume is None:
                    raise not_found(f"there is no volume {request.source_volume_id}")
                snapshot = Record(identifier, request.name, volume.size, time.time(), volume.id)
                self._pool.snapshots.create(snapshot, lambda image: self._clone(volume, image))
            elif snapshot.origin != request.source_volume_id:
                raise exists(f"{request.name} exists and is of {snapshot.origin}")
        return csi.CreateSnapshotResponse(snapshot=_describe_snapshot(snapshot))

    def DeleteSnapshot(self, request: csi.DeleteSnapshotRequest) -> csi.DeleteSnapshotResponse:
        if not request.snapshot_id:
            raise invalid("no snapshot_id")
        self._refuse_foreign(request.snapshot_id)
        with self._pool.locks.hold(request.snapshot_id):
            self._pool.snapshots.delete(request.snapshot_id)
        return csi.DeleteSnapshotResponse()

    def ListSnapshots(self, request: csi.ListSnapshotsRequest) -> csi.ListSnapshotsResponse:
        chosen = [
            snapshot
            for snapshot in self._pool.snapshots.records()
            if request.snapshot_id in ("", snapshot.id) and request.source_volume_id in ("", snapshot.origin)
        ]
        snapshots, token = page(chosen, request.starting_token, request.max_entries)
        entry = csi.ListSnapshotsResponse.Entry
        entries = [entry(snapshot=_describe_snapshot(snapshot)) for snapshot in snapshots]
        return csi.ListSnapshotsResponse(entries=entries, next_token=token)

    def _check_topology(self, request: csi.CreateVolumeRequest) -> None:
        """Refuse a volume that must be elsewhere, so that the scheduler chooses again."""
        allowed = [dict(topology.segments) for topology in request.accessibility_requirements.requisite]
        mine = self._pool.settings.topology.items()
        if allowed and not any(segments.items() <= mine for segments in allowed):
            raise exhausted(f"node {self._node} is none of the places asked for")

    def _refuse_foreign(self, identifier: str) -> None:
        """Refuse what is in another node's pool: answering "gone" for it would leak it silently."""
        holder = node_of(identifier)
        if holder is not None and holder != self._node:
            raise precondition(f"{identifier} is in the pool of node {holder}, this is {self._node}")

    def _describe_volume(self, volume: Record) -> csi.Volume:
        content = None
        if volume.origin.startswith("snap-"):
            content = csi.VolumeContentSource(snapshot={"snapshot_id": volume.origin})
        elif volume.origin:
            content = csi.VolumeContentSource(volume={"volume_id": volume.origin})
        return csi.Volume(
            volume_id=volume.id,
            capacity_bytes=volume.size,
            content_source=content,
            accessible_topology=[csi.Topology(segments=self._pool.settings.topology)],
        )


_ANY = csi.VolumeCapability(mount={}, access_mode={"mode": "SINGLE_NODE_WRITER"})


def _origin_of(request: csi.CreateVolumeRequest) -> str:
    """Return the id of the snapshot or volume to copy, or an empty text."""
    match request.volume_content_source.WhichOneof("type"):
        case "snapshot":
            origin = request.volume_content_source.snapshot.snapshot_id
        case "volume":
            origin = request.volume_content_source.volume.volume_id
        case _:
            return ""
    if not origin:
        raise invalid("a content source needs an id")
    return str(origin)


def _describe_snapshot(snapshot: Record) -> csi.Snapshot:
    return csi.Snapshot(
        snapshot_id=snapshot.id,
        source_volume_id=snapshot.origin,
        size_bytes=snapshot.size,
        creation_time=Timestamp(seconds=int(snapshot.created), nanos=int(snapshot.created % 1 * 1e9)),
        ready_to_use=True,
    )
