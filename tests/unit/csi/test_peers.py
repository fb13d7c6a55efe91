"""Copying from another node: over a real connection, with the kernel's part replaced by plain files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.kind.csi.driver import csi_pb2 as csi
from tests.kind.csi.driver.controller import Controller
from tests.kind.csi.driver.errors import CsiError
from tests.kind.csi.driver.peers import Client, Server, extents
from tests.kind.csi.driver.pool import Pool, Settings

from .conftest import GIB, NODE, Kernel

CAPABILITY = csi.VolumeCapability(mount={}, access_mode={"mode": "SINGLE_NODE_WRITER"})


def request(name: str, size: int, *, snapshot: str = "", volume: str = "") -> csi.CreateVolumeRequest:
    source = None
    if snapshot:
        source = csi.VolumeContentSource(snapshot={"snapshot_id": snapshot})
    elif volume:
        source = csi.VolumeContentSource(volume={"volume_id": volume})
    return csi.CreateVolumeRequest(
        name=name,
        capacity_range={"required_bytes": size},
        volume_capabilities=[CAPABILITY],
        volume_content_source=source,
    )


@pytest.fixture
def elsewhere(tmp_path: Path, kernel: Kernel) -> Pool:
    """The pool of a second node."""
    made = Pool(Settings("worker-2", tmp_path / "second", 10 * GIB, {"kubernetes.io/hostname": "worker-2"}))
    made.mount_point.mkdir(parents=True)
    made.snapshots.prepare()
    made.volumes.prepare()
    return made


@pytest.fixture
def address(pool: Pool) -> Iterator[str]:
    """Where the first node's driver can be reached."""
    server = Server(pool, "secret")
    port = server.start("127.0.0.1:0")
    yield f"127.0.0.1:{port}"
    server.stop()


def test_a_copy_on_another_node_has_the_content_and_stays_sparse(
    controller: Controller, pool: Pool, elsewhere: Pool, address: str, kernel: Kernel
) -> None:
    volume = controller.CreateVolume(request("pvc", GIB)).volume.volume_id
    with pool.volumes.image(volume).open("r+b") as image:
        image.write(b"first")
    snapshot = controller.CreateSnapshot(csi.CreateSnapshotRequest(name="s", source_volume_id=volume)).snapshot
    with pool.snapshots.image(snapshot.snapshot_id).open("r+b") as image:
        image.seek(GIB - 5)
        image.write(b"last!")
    kernel.mounted[volume] = Path("/staging/pvc")
    remote = Controller(elsewhere, Client("secret", lambda node: address if node == NODE else ""))
    for name, source in (("r", {"snapshot": snapshot.snapshot_id}), ("c", {"volume": volume})):
        made = remote.CreateVolume(request(name, 2 * GIB, **source)).volume
        assert made.capacity_bytes == 2 * GIB
        path = elsewhere.volumes.image(made.volume_id)
        assert path.stat().st_size == 2 * GIB
        assert path.stat().st_blocks * 512 < 4 * 1024**2
        with path.open("rb") as image:
            assert image.read(5) == b"first"
            image.seek(GIB - 5)
            assert image.read(5) == (b"last!" if name == "r" else bytes(5))
    assert kernel.frozen[-1] == Path("/staging/pvc")  # the volume was held still, on its own node
    assert list((pool.mount_point / "scratch").iterdir()) == []


def test_failures_of_the_other_node_reach_the_caller_and_leave_nothing(
    controller: Controller, elsewhere: Pool, address: str
) -> None:
    volume = controller.CreateVolume(request("pvc", GIB)).volume.volume_id
    gone = volume.replace("vol-", "snap-")
    for token, where, source, code in (
        ("secret", address, {"snapshot": gone}, grpc.StatusCode.NOT_FOUND),
        ("wrong", address, {"volume": volume}, grpc.StatusCode.UNAVAILABLE),
        ("secret", "127.0.0.1:1", {"volume": volume}, grpc.StatusCode.UNAVAILABLE),
        ("secret", "", {"volume": volume}, grpc.StatusCode.UNAVAILABLE),
    ):
        remote = Controller(elsewhere, Client(token, {NODE: where}.__getitem__))
        with pytest.raises(CsiError) as error:
            remote.CreateVolume(request("copy", GIB, **source))
        assert error.value.code is code
    assert elsewhere.volumes.records() == []
    assert list((elsewhere.mount_point / "scratch").iterdir()) == []


def test_a_copy_is_not_smaller_than_a_remote_source(controller: Controller, elsewhere: Pool, address: str) -> None:
    volume = controller.CreateVolume(request("pvc", GIB)).volume.volume_id
    remote = Controller(elsewhere, Client("secret", lambda _node: address))
    with pytest.raises(CsiError) as error:
        remote.CreateVolume(request("copy", GIB // 2, volume=volume))
    assert error.value.code is grpc.StatusCode.OUT_OF_RANGE


@pytest.mark.parametrize("holes", [[], [(0, 1)], [(1, 2)], [(0, 1), (3, 4)], [(0, 4)]])
def test_extents_are_the_data_in_pieces(tmp_path: Path, holes: list[tuple[int, int]]) -> None:
    block = 3 * 1024**2  # more than one piece
    path = tmp_path / "sparse"
    wanted = bytearray(os.urandom(4 * block))
    for start, end in holes:
        wanted[start * block : end * block] = bytes((end - start) * block)
    with path.open("wb") as file:
        file.truncate(len(wanted))
        for index in range(4):
            if not any(start <= index < end for start, end in holes):
                file.seek(index * block)
                file.write(wanted[index * block : (index + 1) * block])
    rebuilt = bytearray(len(wanted))
    with path.open("rb") as file:
        for offset, length in extents(file.fileno(), len(wanted)):
            assert 0 < length <= 1024**2
            rebuilt[offset : offset + length] = os.pread(file.fileno(), length, offset)
            assert not any(start * block <= offset < end * block for start, end in holes)
    assert rebuilt == wanted
