"""The driver on the real kernel: loop devices, reflinks, freezing. Needs root and xfsprogs."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kind.csi.driver import csi_pb2 as csi
from tests.kind.csi.driver import linux
from tests.kind.csi.driver.controller import Controller
from tests.kind.csi.driver.errors import CsiError
from tests.kind.csi.driver.node import Node
from tests.kind.csi.driver.pool import Pool, Settings

MIB = 1024**2
CAPABILITY = csi.VolumeCapability(mount={}, access_mode={"mode": "SINGLE_NODE_WRITER"})


class Machine:
    """One node: its pool, both services, and where the test mounts volumes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings(f"node-{uuid.uuid4().hex[:12]}", root, 4 * 1024 * MIB, {})
        self.start()

    def start(self) -> None:
        """Start the driver (again)."""
        self.pool = Pool(self.settings)
        self.pool.open()
        self.controller, self.node = Controller(self.pool), Node(self.pool)

    def create(self, name: str, mib: int = 320, **content: dict[str, str]) -> str:
        source = (
            csi.VolumeContentSource(snapshot=content.get("snapshot"), volume=content.get("volume")) if content else None
        )
        request = csi.CreateVolumeRequest(
            name=name,
            capacity_range={"required_bytes": mib * MIB},
            volume_capabilities=[CAPABILITY],
            volume_content_source=source,
        )
        return str(self.controller.CreateVolume(request).volume.volume_id)

    def snapshot(self, volume: str, name: str) -> str:
        request = csi.CreateSnapshotRequest(name=name, source_volume_id=volume)
        return str(self.controller.CreateSnapshot(request).snapshot.snapshot_id)

    def mount(self, volume: str, name: str) -> Path:
        staging, target = self.root / "staging" / name, self.root / "pods" / name
        self.node.NodeStageVolume(
            csi.NodeStageVolumeRequest(volume_id=volume, staging_target_path=str(staging), volume_capability=CAPABILITY)
        )
        self.node.NodePublishVolume(
            csi.NodePublishVolumeRequest(
                volume_id=volume,
                staging_target_path=str(staging),
                target_path=str(target),
                volume_capability=CAPABILITY,
            )
        )
        return target

    def unmount(self, volume: str, name: str) -> None:
        staging, target = self.root / "staging" / name, self.root / "pods" / name
        self.node.NodeUnpublishVolume(csi.NodeUnpublishVolumeRequest(volume_id=volume, target_path=str(target)))
        self.node.NodeUnstageVolume(csi.NodeUnstageVolumeRequest(volume_id=volume, staging_target_path=str(staging)))

    def delete(self, volume: str) -> None:
        self.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume))

    def expand(self, volume: str, path: Path, mib: int) -> int:
        request = csi.NodeExpandVolumeRequest(
            volume_id=volume, volume_path=str(path), capacity_range={"required_bytes": mib * MIB}
        )
        return int(self.node.NodeExpandVolume(request).capacity_bytes)

    def loops(self) -> list[str]:
        """Backing files of the loop devices that belong to this machine."""
        texts = []
        for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                texts.append(entry.read_text().strip())
            except OSError:
                continue
        return [text for text in texts if str(self.root) in text or self.settings.node in text]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine whose mounts are all gone after the test, however it ended."""
    made = Machine(tmp_path)
    yield made
    for mount in reversed(linux.mounts()):
        if tmp_path in mount.point.parents:
            linux.run("umount", "--lazy", mount.point)
    eventually(lambda: made.loops() == [])


def eventually(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is so; fail if it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.02)


def fill(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
        os.fsync(file.fileno())


def test_a_volume_grows_under_a_writer(machine: Machine) -> None:
    volume = machine.create("pvc", 320)
    path = machine.mount(volume, "pod")
    before = os.statvfs(path)
    written, failures, stop = [0], [], threading.Event()

    def write() -> None:
        try:
            with (path / "log").open("wb") as file:
                while not stop.is_set():
                    file.write(b"x" * 65536)
                    file.flush()
                    os.fsync(file.fileno())
                    written[0] += 65536
        except OSError as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    eventually(lambda: written[0] > 0)
    assert machine.expand(volume, path, 640) == 640 * MIB
    at_growth = written[0]
    eventually(lambda: written[0] > at_growth)
    stop.set()
    writer.join()
    assert failures == []
    after = os.statvfs(path)
    assert (after.f_blocks - before.f_blocks) * after.f_frsize > 300 * MIB
    assert (path / "log").stat().st_size >= written[0]
    # The same call again, as after a driver that died before it could answer.
    assert machine.expand(volume, path, 640) == 640 * MIB


def test_snapshot_and_clone_hold_what_was_acknowledged_and_nothing_later(machine: Machine) -> None:
    volume = machine.create("pvc")
    path = machine.mount(volume, "pod")
    (path / "early").write_text("before")  # not even fsynced: freezing flushes it
    snapshot = machine.snapshot(volume, "s")
    clone = machine.create("clone", volume={"volume_id": volume})
    (path / "early").write_text("after")
    (path / "late").write_text("x")
    restored = machine.create("restored", 640, snapshot={"snapshot_id": snapshot})
    for copy, name in ((restored, "restored"), (clone, "cloned")):
        where = machine.mount(copy, name)  # all three are mounted at once, with one UUID
        assert (where / "early").read_text() == "before"
        assert not (where / "late").exists()
        (where / "own").write_text(name)
    assert not (path / "own").exists()
    # Its blocks are shared now; it must still mount (see linux._SECTOR).
    machine.unmount(volume, "pod")
    assert (machine.mount(volume, "pod") / "late").read_text() == "x"
    usage = os.statvfs(machine.root / "pods/restored")
    assert usage.f_blocks * usage.f_frsize > 500 * MIB  # the file system took the larger size


def test_copies_take_no_space_and_deleting_gives_it_back_to_the_disk(machine: Machine) -> None:
    image = machine.root / "pool.img"
    volume = machine.create("pvc", 640)
    path = machine.mount(volume, "pod")
    empty, on_disk = machine.pool.available(), image.stat().st_blocks * 512
    fill(path / "data", 200)
    full = machine.pool.available()
    assert empty - full > 190 * MIB
    clone = machine.create("clone", 640, volume={"volume_id": volume})
    assert full - machine.pool.available() < 20 * MIB
    machine.unmount(volume, "pod")
    machine.delete(volume)
    assert machine.pool.available() < empty - 190 * MIB  # the clone still has the blocks
    machine.delete(clone)

    def given_back() -> bool:
        os.sync()
        return machine.pool.available() > empty and image.stat().st_blocks * 512 < on_disk + 60 * MIB

    eventually(given_back)


def test_files_deleted_in_a_volume_give_their_space_back(machine: Machine) -> None:
    path = machine.mount(machine.create("pvc", 640), "pod")
    empty = machine.pool.available()
    fill(path / "data", 200)
    assert empty - machine.pool.available() > 190 * MIB
    (path / "data").unlink()

    def given_back() -> bool:
        os.sync()  # or the file system's log would wait half a minute before it discards
        return empty - machine.pool.available() < 40 * MIB

    eventually(given_back)


def test_a_restarted_driver_finds_everything_and_thaws_what_its_predecessor_froze(machine: Machine) -> None:
    volume = machine.create("pvc")
    path = machine.mount(volume, "pod")
    frozen = linux.frozen(path)
    frozen.__enter__()  # and then the driver is killed
    done = threading.Event()

    def write() -> None:
        (path / "file").write_text("waited")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert not done.wait(0.3)
    machine.start()
    assert done.wait(5)
    writer.join()
    with pytest.raises(OSError):
        frozen.__exit__(None, None, None)  # it is not frozen any more
    assert machine.mount(volume, "pod") == path  # every call of the predecessor may be repeated
    assert (path / "file").read_text() == "waited"


def test_a_growth_that_was_not_noted_is_noticed(machine: Machine) -> None:
    volume = machine.create("pvc", 320)
    image = machine.pool.volumes.image(volume)
    linux.grow(image, 640 * MIB, None)
    machine.start()
    found = machine.pool.volumes.get(volume)
    assert found is not None and found.size == 640 * MIB


def test_after_a_reboot_the_pool_and_its_volumes_are_back(machine: Machine) -> None:
    volume = machine.create("pvc")
    path = machine.mount(volume, "pod")
    fill(path / "data", 4)
    content = (path / "data").read_bytes()
    # What the end of a node container does to its mounts, in the order the kernel happens to choose.
    for mount in linux.mounts():
        if machine.root in mount.point.parents:
            linux.run("umount", "--lazy", mount.point)
    eventually(lambda: machine.loops() == [])
    machine.start()
    assert (machine.mount(volume, "pod") / "data").read_bytes() == content


def test_nothing_outside_a_volume_is_ever_frozen_or_measured(machine: Machine) -> None:
    volume = machine.create("pvc")
    folder = machine.root / "pool" / "volumes"
    with pytest.raises(OSError, match="not a mount point"), linux.frozen(folder):
        pass
    request = csi.NodeGetVolumeStatsRequest(volume_id=volume, volume_path=str(folder))
    with pytest.raises(CsiError, match="is not mounted at"):
        machine.node.NodeGetVolumeStats(request)
    with pytest.raises(CsiError, match="is not mounted at"):
        machine.expand(volume, folder, 640)


def test_an_unmounted_volume_leaves_no_loop_device(machine: Machine) -> None:
    volume = machine.create("pvc")
    machine.mount(volume, "pod")
    assert len(machine.loops()) == 2  # the pool's and the volume's
    machine.unmount(volume, "pod")
    eventually(lambda: len(machine.loops()) == 1)
    machine.unmount(volume, "pod")
    machine.pool.close()
    eventually(lambda: machine.loops() == [])


def test_one_image_never_has_two_devices(machine: Machine) -> None:
    volume = machine.create("pvc")
    first, second = machine.mount(volume, "first"), machine.mount(volume, "second")
    assert len(machine.loops()) == 2  # the pool's and the volume's
    (first / "file").write_text("seen by both")
    assert (second / "file").read_text() == "seen by both"
    # The same for a pool whose mount a driver does not see.
    linux.mount_image(machine.root / "pool.img", machine.root / "staging")
    assert len(machine.loops()) == 2
    linux.unmount(machine.root / "staging")
