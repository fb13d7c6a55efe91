"""The CSI node service: mounting, expanding and measuring the volumes of this node."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from . import csi_pb2 as csi
from . import linux
from .capabilities import capability_complaint
from .errors import exists, invalid, not_found, precondition
from .pool import Pool
from .store import Record
from .wishes import choose_size

_CAPABILITIES = ("STAGE_UNSTAGE_VOLUME", "GET_VOLUME_STATS", "EXPAND_VOLUME", "SINGLE_NODE_MULTI_WRITER")
_SINGLE_WRITER = csi.VolumeCapability.AccessMode.SINGLE_NODE_SINGLE_WRITER


class Node:
    """The calls of csi.v1.Node; method names are the protocol's."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @staticmethod
    def NodeGetCapabilities(
        _request: csi.NodeGetCapabilitiesRequest,
    ) -> csi.NodeGetCapabilitiesResponse:
        service = csi.NodeServiceCapability
        return csi.NodeGetCapabilitiesResponse(
            capabilities=[service(rpc=service.RPC(type=name)) for name in _CAPABILITIES]
        )

    def NodeGetInfo(self, _request: csi.NodeGetInfoRequest) -> csi.NodeGetInfoResponse:
        settings = self._pool.settings
        topology = csi.Topology(segments=settings.topology)
        return csi.NodeGetInfoResponse(node_id=settings.node, accessible_topology=topology)

    def NodeStageVolume(self, request: csi.NodeStageVolumeRequest) -> csi.NodeStageVolumeResponse:
        staging = _path(request.staging_target_path, "staging_target_path")
        _check_capability(request)
        with self._pool.locks.hold(request.volume_id):
            volume = self._find(request.volume_id)
            image = self._pool.volumes.image(volume.id)
            mount = linux.mount_at(staging)
            if mount is None:
                staging.mkdir(parents=True, exist_ok=True)
                linux.mount_image(image, staging, *request.volume_capability.mount.mount_flags)
            elif mount.device != linux.loop_of(image):
                raise exists(f"something else is mounted at {staging}")
            # A clone may be larger than what it was cloned from: its file system grows at first sight.
            linux.grow(image, volume.size, staging)
        return csi.NodeStageVolumeResponse()

    def NodeUnstageVolume(self, request: csi.NodeUnstageVolumeRequest) -> csi.NodeUnstageVolumeResponse:
        _volume_id(request)
        staging = _path(request.staging_target_path, "staging_target_path")
        with self._pool.locks.hold(request.volume_id):
            linux.unmount(staging)
        return csi.NodeUnstageVolumeResponse()

    def NodePublishVolume(self, request: csi.NodePublishVolumeRequest) -> csi.NodePublishVolumeResponse:
        _volume_id(request)
        target = _path(request.target_path, "target_path")
        _check_capability(request)
        with self._pool.locks.hold(request.volume_id):
            volume = self._find(request.volume_id)
            staging = Path(request.staging_target_path)
            device = linux.loop_of(self._pool.volumes.image(volume.id))
            staged = linux.mount_at(staging)
            if device is None or staged is None or staged.device != device:
                raise precondition(f"{volume.id} is not staged at {request.staging_target_path!r}")
            published = linux.mount_at(target)
            if published is not None and published.device != device:
                raise exists(f"something else is mounted at {target}")
            if request.volume_capability.access_mode.mode == _SINGLE_WRITER:
                elsewhere = linux.points_of(device) - {staging, target}
                if elsewhere:
                    raise precondition(f"{volume.id} is for one pod, and is published at {elsewhere.pop()}")
            target.mkdir(parents=True, exist_ok=True)
            linux.bind(staging, target, readonly=request.readonly)
        return csi.NodePublishVolumeResponse()

    def NodeUnpublishVolume(self, request: csi.NodeUnpublishVolumeRequest) -> csi.NodeUnpublishVolumeResponse:
        _volume_id(request)
        target = _path(request.target_path, "target_path")
        with self._pool.locks.hold(request.volume_id):
            linux.unmount(target)
            with contextlib.suppress(FileNotFoundError):
                target.rmdir()
        return csi.NodeUnpublishVolumeResponse()

    def NodeExpandVolume(self, request: csi.NodeExpandVolumeRequest) -> csi.NodeExpandVolumeResponse:
        _volume_id(request)
        path = _path(request.volume_path, "volume_path")
        with self._pool.locks.hold(request.volume_id):
            volume = self._find(request.volume_id)
            self._check_mounted(volume, path)
            ceiling = self._pool.settings.pool_bytes
            size = choose_size(request.capacity_range, volume.size, ceiling)
            # Repeated in full even if the size is right: the last attempt may have died in the middle.
            linux.grow(self._pool.volumes.image(volume.id), size, path)
            if size != volume.size:
                self._pool.volumes.resize(volume, size)
        return csi.NodeExpandVolumeResponse(capacity_bytes=size)

    def NodeGetVolumeStats(self, request: csi.NodeGetVolumeStatsRequest) -> csi.NodeGetVolumeStatsResponse:
        _volume_id(request)
        path = _path(request.volume_path, "volume_path")
        self._check_mounted(self._find(request.volume_id), path)
        stats = os.statvfs(path)
        bytes_used = (stats.f_blocks - stats.f_bfree) * stats.f_frsize
        usage = csi.VolumeUsage
        return csi.NodeGetVolumeStatsResponse(
            usage=[
                usage(
                    unit=usage.BYTES,
                    total=stats.f_blocks * stats.f_frsize,
                    used=bytes_used,
                    available=stats.f_bavail * stats.f_frsize,
                ),
                usage(
                    unit=usage.INODES,
                    total=stats.f_files,
                    used=stats.f_files - stats.f_ffree,
                    available=stats.f_favail,
                ),
            ]
        )

    def _find(self, identifier: str) -> Record:
        if not identifier:
            raise invalid("no volume_id")
        volume = self._pool.volumes.get(identifier)
        if volume is None:
            raise not_found(f"there is no volume {identifier} on node {self._pool.settings.node}")
        return volume

    def _check_mounted(self, volume: Record, path: Path) -> None:
        mount = linux.mount_at(path)
        if mount is None or mount.device != linux.loop_of(self._pool.volumes.image(volume.id)):
            raise not_found(f"{volume.id} is not mounted at {path}")


def _volume_id(request: csi.NodeUnpublishVolumeRequest) -> None:
    if not request.volume_id:
        raise invalid("no volume_id")


def _path(value: str, field: str) -> Path:
    if not value:
        raise invalid(f"no {field}")
    return Path(value)


def _check_capability(request: csi.NodeStageVolumeRequest | csi.NodePublishVolumeRequest) -> None:
    if not request.HasField("volume_capability"):
        raise invalid("no volume_capability")
    if complaint := capability_complaint(request.volume_capability):
        raise invalid(complaint)
