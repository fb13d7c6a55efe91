"""Which ways of using a volume this driver offers."""

from __future__ import annotations

from collections.abc import Iterable

from . import csi_pb2 as csi

_MODE = csi.VolumeCapability.AccessMode
# Volumes are node-local: nothing that involves a second node.
_MODES = frozenset(
    (
        _MODE.SINGLE_NODE_WRITER,
        _MODE.SINGLE_NODE_READER_ONLY,
        _MODE.SINGLE_NODE_SINGLE_WRITER,
        _MODE.SINGLE_NODE_MULTI_WRITER,
    )
)


def capability_complaint(wish: csi.VolumeCapability) -> str:
    """Return why a capability cannot be had, or an empty text."""
    if wish.WhichOneof("access_type") != "mount":
        return "only file system volumes are to be had here"
    if wish.mount.fs_type not in ("", "xfs"):
        return f"only XFS is to be had here, not {wish.mount.fs_type}"
    if wish.access_mode.mode not in _MODES:
        return f"not for node-local volumes: {_MODE.Mode.Name(wish.access_mode.mode)}"
    return ""


def access_modes_complaint(wishes: Iterable[csi.VolumeCapability]) -> str:
    """Return why no volume can have all these capabilities, or an empty text."""
    complaints = [capability_complaint(wish) for wish in wishes]
    return next((c for c in complaints if c), "") if complaints else "no volume_capabilities"
