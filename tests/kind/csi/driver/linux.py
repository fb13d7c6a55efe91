"""The kernel's side of a volume: loop devices, reflinks, freezing, mounts.

Everything is done by ioctl where that is one call, because a freeze should last milliseconds and because
losetup(8) does not see loop devices that appeared after a container's /dev was made.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LOOP_MAJOR = 7
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_FICLONE = 0x40049409
_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878

# Autoclear: the kernel detaches the device with its last mount, so that neither a killed driver nor a
# removed node container can leave one behind. Direct I/O: no second page cache for the same blocks.
_LO_FLAGS_AUTOCLEAR = 4
_LO_FLAGS_DIRECT_IO = 16
# Bytes. Direct I/O to a file whose blocks are shared is only possible in whole blocks, and the kernel would
# raise a loop device's sector size accordingly: what was formatted with smaller sectors would no longer mount
# once it has been cloned.
_SECTOR = 4096

_INFO64 = struct.Struct("=5Q4I64s64s32s2Q")
_CONFIG = struct.Struct(f"=2I{_INFO64.size}s8Q")


class CommandError(Exception):
    """A tool such as mkfs.xfs or mount failed; the message has what it printed."""


def run(*command: str | Path) -> None:
    """Run a tool. Raises CommandError with its output if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        output = (done.stderr or done.stdout).strip()
        raise CommandError(f"{command[0]} exited with {done.returncode}: {output}")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo: the device's number, the mounted folder within it, and where."""

    device: int
    root: str
    point: Path


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Parse the text of /proc/self/mountinfo, in mount order."""
    mounts = []
    for line in mountinfo.splitlines():
        _id, _parent, device, root, point, _rest = line.split(" ", 5)
        major, minor = device.split(":")
        mounts.append(Mount(os.makedev(int(major), int(minor)), _unescape(root), Path(_unescape(point))))
    return mounts


def _unescape(path: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    if "\\" not in path:
        return path
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(escaped, plain)
    return path


def mounts() -> list[Mount]:
    """Return what is mounted in this process's mount namespace."""
    return parse_mounts(Path("/proc/self/mountinfo").read_text())


def mount_at(point: Path) -> Mount | None:
    """Return the topmost mount at exactly ``point``, or None if nothing is mounted there."""
    return next((mount for mount in reversed(mounts()) if mount.point == point), None)


def points_of(device: int) -> set[Path]:
    """Return everywhere that a device is mounted."""
    return {mount.point for mount in mounts() if mount.device == device}


def loop_of(image: Path) -> int | None:
    """Return the device number of the loop device that ``image`` backs, or None.

    Compares inodes, not paths: every node's pool has the same path, and all nodes of a kind cluster share
    the kernel's loop devices.
    """
    wanted = _identity(image)
    for entry in Path("/sys/block").glob("loop[0-9]*"):
        try:
            if Path((entry / "loop/backing_file").read_text().strip()).name != image.name:
                continue
            number = int(entry.name.removeprefix("loop"))
            with _opened(_node(number), os.O_RDONLY) as device:
                found = _backing(device)
        except OSError:
            continue  # not bound, or let go while we looked
        if found == wanted:
            return os.makedev(LOOP_MAJOR, number)
    return None


def _identity(image: Path) -> tuple[int, int]:
    status = image.stat()
    return status.st_dev, status.st_ino


def _backing(device: int) -> tuple[int, int]:
    """Return the device and inode number of the file behind an open loop device."""
    info = _INFO64.unpack(fcntl.ioctl(device, _LOOP_GET_STATUS64, bytes(_INFO64.size)))
    return info[0], info[1]


def mount_image(image: Path, point: Path, *flags: str) -> None:
    """Mount the XFS file system in ``image`` at ``point`` through a loop device that goes away with it.

    ``nouuid`` because clones carry the UUID of what they were cloned from; ``discard`` so that deleted
    files give their blocks back to the pool, and the pool's to the node's disk.
    Raises OSError if there is no loop device to be had, CommandError if the file system does not mount.
    """
    # Never a second device on one image: two would be two file systems that overwrite each other, and nouuid
    # keeps XFS from noticing. One device mounted twice is one file system.
    device, path = _attached(image) or _attach(image)
    try:
        run("mount", "-t", "xfs", "-o", ",".join(("nouuid", "discard", "noatime", *flags)), path, point)
    finally:
        os.close(device)


def _attached(image: Path) -> tuple[int, Path] | None:
    """Return the device that ``image`` is bound to, open, and its path; None if it is not bound."""
    number = loop_of(image)
    if number is None:
        return None
    path = _node(os.minor(number))
    device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    # From here on it cannot be cleared under us; but it may have been before.
    with contextlib.suppress(OSError):
        if _backing(device) == _identity(image):
            return device, path
    os.close(device)
    return None


def _attach(image: Path) -> tuple[int, Path]:
    """Bind ``image`` to a free loop device; return the device, open, and its path."""
    info = _INFO64.pack(
        *(0,) * 5, 0, 0, 0, _LO_FLAGS_AUTOCLEAR | _LO_FLAGS_DIRECT_IO, bytes(image)[-63:], b"", b"", 0, 0
    )
    with _opened(image, os.O_RDWR) as backing:
        config = _CONFIG.pack(backing, _SECTOR, info, *(0,) * 8)
        for _attempt in range(64):
            with _opened(Path("/dev/loop-control"), os.O_RDWR) as control:
                number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = _node(number)
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # EBUSY: another node was quicker
                    raise
            else:
                return device, path
    raise OSError(errno.EBUSY, "other nodes kept taking the free loop devices", str(image))


def _node(number: int) -> Path:
    """Return the device node of a loop device, making it if this container's /dev is older than the device."""
    path = Path(f"/dev/loop{number}")
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(LOOP_MAJOR, number))
    return path


def grow(image: Path, size: int, point: Path | None) -> None:
    """Grow an image to ``size`` bytes and, if it is mounted at ``point``, its file system with it, online.

    Never shrinks. May be repeated after a failure at any step.
    """
    with _opened(image, os.O_RDWR) as backing:
        if os.fstat(backing).st_size < size:
            os.ftruncate(backing, size)
            os.fsync(backing)
    if point is None:
        return
    device = loop_of(image)
    if device is not None:
        with _opened(_node(os.minor(device)), os.O_RDWR) as loop:
            fcntl.ioctl(loop, _LOOP_SET_CAPACITY)
    run("xfs_growfs", "-d", point)


def make_filesystem(image: Path, size: int) -> None:
    """Make ``image`` a sparse file of ``size`` bytes with an empty XFS file system that can reflink."""
    with image.open("xb") as file:
        file.truncate(size)
    run("mkfs.xfs", "-q", "-m", "reflink=1", "-s", f"size={_SECTOR}", image)


def clone_file(source: Path, target: Path) -> None:
    """Make ``target`` share ``source``'s blocks. Raises OSError if the file system cannot (no copying)."""
    with source.open("rb") as read, target.open("xb") as write:
        fcntl.ioctl(write.fileno(), _FICLONE, read.fileno())


@contextlib.contextmanager
def frozen(point: Path | None) -> Iterator[None]:
    """Hold the file system mounted at ``point`` still: everything acknowledged is on the device, no write runs.

    Does nothing for None (not mounted: nothing can write). ``point`` must be a mount point: freezing any
    other folder would freeze the file system that it is in, such as the pool's.
    """
    if point is None:
        yield
        return
    if mount_at(point) is None:
        raise OSError(errno.EINVAL, "not a mount point", str(point))
    with _opened(point, os.O_RDONLY | os.O_DIRECTORY) as folder:
        fcntl.ioctl(folder, _FIFREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(folder, _FITHAW, 0)


def thaw(point: Path) -> bool:
    """Thaw the file system at ``point``; return whether it was frozen."""
    with _opened(point, os.O_RDONLY | os.O_DIRECTORY) as folder:
        try:
            fcntl.ioctl(folder, _FITHAW, 0)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: it is not frozen
                raise
            return False
    return True


def bind(source: Path, target: Path, *, readonly: bool) -> None:
    """Mount the folder ``source`` at ``target`` as well. May be repeated."""
    if mount_at(target) is None:
        run("mount", "--bind", source, target)
    if readonly:
        run("mount", "-o", "remount,bind,ro", target)


def unmount(point: Path) -> None:
    """Unmount everything that is stacked at ``point``; nothing to do is no error."""
    while mount_at(point) is not None:
        run("umount", point)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as opened:
        os.fsync(opened)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
