"""A node's pool: an XFS file system with reflinks, itself in one sparse image file on the node's disk."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from . import linux
from .locks import Locks
from .store import Record, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What a driver is started with.

    ``root`` is the folder with the pool's image and mount point, ``pool_bytes`` how large the pool may
    become, ``topology`` the labels of the node that its volumes are bound to.
    """

    node: str
    root: Path
    pool_bytes: int
    topology: dict[str, str]


class Pool:
    """The volumes and snapshots of one node."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.mount_point = settings.root / "pool"
        self.volumes = Store(self.mount_point, "volumes")
        self.snapshots = Store(self.mount_point, "snapshots")
        self.locks = Locks()

    def open(self) -> None:
        """Make, mount and grow the pool as needed, and undo what a crash may have left half-done.

        Raises OSError or linux.CommandError if there cannot be a pool here.
        """
        image = self.settings.root / "pool.img"
        self.mount_point.mkdir(parents=True, exist_ok=True)
        if not image.exists():
            draft = image.with_suffix(".new")
            draft.unlink(missing_ok=True)
            linux.make_filesystem(draft, self.settings.pool_bytes)
            draft.rename(image)
            linux.sync_folder(image.parent)
        if linux.mount_at(self.mount_point) is None:
            linux.mount_image(image, self.mount_point)
        linux.grow(image, self.settings.pool_bytes, self.mount_point)
        self.snapshots.prepare()
        self.volumes.prepare()
        for volume in self.volumes.records():
            self._recover(volume)

    def _recover(self, volume: Record) -> None:
        point = self.mounted_at(volume)
        if point is not None and linux.thaw(point):
            log.warning("%s was left frozen by a driver that died; thawed", volume.id)
        actual = self.volumes.image(volume.id).stat().st_size
        if actual > volume.size:  # died between growing the image and noting it
            self.volumes.resize(volume, actual)

    def mounted_at(self, volume: Record) -> Path | None:
        """Return one place where a volume is mounted now, asking the kernel, or None."""
        device = linux.loop_of(self.volumes.image(volume.id))
        if device is None:
            return None
        return next(iter(linux.points_of(device)), None)

    def store_of(self, identifier: str) -> Store:
        """Return the store that an id belongs to by its form."""
        return self.snapshots if identifier.startswith("snap-") else self.volumes

    def available(self) -> int:
        """Return the bytes that are free in the pool. Volumes are thin: their sizes may add up to more."""
        usage = os.statvfs(self.mount_point)
        return usage.f_bavail * usage.f_frsize

    def close(self) -> None:
        """Unmount the pool, if nothing in it is in use any more; its loop device goes with it."""
        linux.unmount(self.mount_point)
