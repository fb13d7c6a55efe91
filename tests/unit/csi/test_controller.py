"""Creating, copying and removing volumes, called as the sidecars call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.kind.csi.driver import csi_pb2 as csi
from tests.kind.csi.driver.controller import Controller
from tests.kind.csi.driver.errors import CsiError
from tests.kind.csi.driver.pool import Pool
from tests.kind.csi.driver.store import make_id
from tests.kind.csi.driver.wishes import SMALLEST

from .conftest import GIB, NODE, Kernel


def wish(
    name: str = "pvc-1", size: int = GIB, *, source: str = "", limit: int = 0, **segments: str
) -> csi.CreateVolumeRequest:
    """A request as external-provisioner makes it; ``segments``: required topology, dots written as __."""
    content = None
    if source.startswith("snap-"):
        content = csi.VolumeContentSource(snapshot={"snapshot_id": source})
    elif source:
        content = csi.VolumeContentSource(volume={"volume_id": source})
    requisite = [csi.Topology(segments=segments)] if segments else []
    return csi.CreateVolumeRequest(
        name=name,
        capacity_range=csi.CapacityRange(required_bytes=size, limit_bytes=limit),
        volume_capabilities=[
            csi.VolumeCapability(mount={"fs_type": "xfs"}, access_mode={"mode": "SINGLE_NODE_WRITER"})
        ],
        volume_content_source=content,
        accessibility_requirements=csi.TopologyRequirement(requisite=requisite),
    )


def volume_of(controller: Controller, name: str = "pvc-1", size: int = GIB, source: str = "") -> csi.Volume:
    return controller.CreateVolume(wish(name, size, source=source)).volume


def snapshot_of(controller: Controller, volume_id: str, name: str = "snapshot-1") -> csi.Snapshot:
    request = csi.CreateSnapshotRequest(name=name, source_volume_id=volume_id)
    return controller.CreateSnapshot(request).snapshot


def code_of(error: pytest.ExceptionInfo[CsiError]) -> str:
    return str(error.value.code.name)


def test_a_volume_says_where_it_is_and_is_not_made_twice(controller: Controller, pool: Pool) -> None:
    first, second = volume_of(controller), volume_of(controller)
    assert first == second
    assert [dict(topology.segments) for topology in first.accessible_topology] == [pool.settings.topology]
    assert len(pool.volumes.records()) == 1
    assert pool.volumes.image(first.volume_id).stat().st_size == GIB == first.capacity_bytes


def test_the_same_name_for_something_else_is_refused(controller: Controller) -> None:
    volume_of(controller)
    with pytest.raises(CsiError) as error:
        volume_of(controller, size=2 * GIB)
    assert code_of(error) == "ALREADY_EXISTS"
    snapshot = snapshot_of(controller, volume_of(controller).volume_id)
    with pytest.raises(CsiError) as error:
        volume_of(controller, source=snapshot.snapshot_id)
    assert code_of(error) == "ALREADY_EXISTS"


def test_a_small_wish_becomes_the_smallest_file_system(controller: Controller) -> None:
    assert volume_of(controller, size=1).capacity_bytes == SMALLEST


@pytest.mark.parametrize(
    ("required", "limit", "code"),
    [(100 * GIB, 0, "OUT_OF_RANGE"), (1, SMALLEST - 1, "OUT_OF_RANGE"), (2, 1, "INVALID_ARGUMENT")],
)
def test_sizes_that_cannot_be(controller: Controller, required: int, limit: int, code: str) -> None:
    with pytest.raises(CsiError) as error:
        controller.CreateVolume(wish(size=required, limit=limit))
    assert code_of(error) == code


def test_a_volume_for_another_node_goes_back_to_the_scheduler(controller: Controller) -> None:
    request = wish()
    for node, accepted in (("worker-2", False), (NODE, True)):
        del request.accessibility_requirements.requisite[:]
        request.accessibility_requirements.requisite.add().segments["kubernetes.io/hostname"] = node
        if accepted:
            assert controller.CreateVolume(request).volume.volume_id
        else:
            with pytest.raises(CsiError) as error:
                controller.CreateVolume(request)
            assert code_of(error) == "RESOURCE_EXHAUSTED"


def test_only_a_mounted_source_is_frozen_and_only_at_its_mount_point(controller: Controller, kernel: Kernel) -> None:
    volume = volume_of(controller)
    snapshot_of(controller, volume.volume_id, "idle")
    assert kernel.frozen == [None]
    kernel.mounted[volume.volume_id] = Path("/staging/pvc-1")
    snapshot = snapshot_of(controller, volume.volume_id, "busy")
    volume_of(controller, "clone", source=volume.volume_id)
    volume_of(controller, "restored", source=snapshot.snapshot_id)
    assert kernel.frozen == [None, Path("/staging/pvc-1"), Path("/staging/pvc-1"), None]


def test_copies_carry_the_content_and_may_be_larger_but_not_smaller(controller: Controller, pool: Pool) -> None:
    origin = volume_of(controller)
    with pool.volumes.image(origin.volume_id).open("r+b") as image:
        image.write(b"precious")
    snapshot = snapshot_of(controller, origin.volume_id)
    assert (snapshot.size_bytes, snapshot.ready_to_use) == (GIB, True)
    for name, source in (("restored", snapshot.snapshot_id), ("clone", origin.volume_id)):
        copy = volume_of(controller, name, 2 * GIB, source)
        assert copy.capacity_bytes == 2 * GIB
        path = pool.volumes.image(copy.volume_id)
        assert path.stat().st_size == 2 * GIB
        with path.open("rb") as image:
            assert image.read(8) == b"precious"
        with pytest.raises(CsiError) as error:
            volume_of(controller, name + "-smaller", GIB // 2, source)
        assert code_of(error) == "OUT_OF_RANGE"


def test_a_source_on_another_node_is_told_apart_from_one_that_is_gone(controller: Controller) -> None:
    for holder, code in (("worker-2", "RESOURCE_EXHAUSTED"), (NODE, "NOT_FOUND")):
        with pytest.raises(CsiError) as error:
            volume_of(controller, source=make_id("snap", holder, "s"))
        assert code_of(error) == code


def test_a_snapshot_outlives_its_volume(controller: Controller, pool: Pool) -> None:
    volume = volume_of(controller)
    snapshot = snapshot_of(controller, volume.volume_id)
    controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume.volume_id))
    assert pool.volumes.records() == []
    assert volume_of(controller, "restored", source=snapshot.snapshot_id).capacity_bytes == GIB
    controller.DeleteSnapshot(csi.DeleteSnapshotRequest(snapshot_id=snapshot.snapshot_id))
    assert pool.snapshots.records() == []


def test_a_snapshot_of_another_volume_under_the_same_name_is_refused(controller: Controller) -> None:
    first, second = volume_of(controller, "pvc-1"), volume_of(controller, "pvc-2")
    assert snapshot_of(controller, first.volume_id) == snapshot_of(controller, first.volume_id)
    with pytest.raises(CsiError) as error:
        snapshot_of(controller, second.volume_id)
    assert code_of(error) == "ALREADY_EXISTS"


def test_a_mounted_volume_is_not_deleted(controller: Controller, pool: Pool, kernel: Kernel) -> None:
    volume = volume_of(controller)
    kernel.mounted[volume.volume_id] = Path("/staging/pvc-1")
    with pytest.raises(CsiError) as error:
        controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume.volume_id))
    assert code_of(error) == "FAILED_PRECONDITION"
    assert len(pool.volumes.records()) == 1


def test_deleting_is_idempotent_but_never_answers_for_another_node(controller: Controller) -> None:
    controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=make_id("vol", NODE, "gone")))
    controller.DeleteSnapshot(csi.DeleteSnapshotRequest(snapshot_id="anything"))
    with pytest.raises(CsiError) as error:
        controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=make_id("vol", "worker-2", "there")))
    assert code_of(error) == "FAILED_PRECONDITION"


def test_pages_cover_everything_once(controller: Controller) -> None:
    made = {volume_of(controller, f"pvc-{number}").volume_id for number in range(7)}
    seen: list[str] = []
    token = ""
    while True:
        answer = controller.ListVolumes(csi.ListVolumesRequest(max_entries=3, starting_token=token))
        seen += [entry.volume.volume_id for entry in answer.entries]
        token = answer.next_token
        if not token:
            break
    assert len(seen) == 7 and set(seen) == made
    with pytest.raises(CsiError) as error:
        controller.ListVolumes(csi.ListVolumesRequest(starting_token="never given out"))
    assert error.value.code is grpc.StatusCode.ABORTED


def test_snapshots_are_listed_by_id_and_by_volume(controller: Controller) -> None:
    first, second = volume_of(controller, "pvc-1"), volume_of(controller, "pvc-2")
    of_first = snapshot_of(controller, first.volume_id, "s1")
    of_second = snapshot_of(controller, second.volume_id, "s2")

    def listed(**criteria: Any) -> list[str]:
        entries = controller.ListSnapshots(csi.ListSnapshotsRequest(**criteria)).entries
        return sorted(entry.snapshot.snapshot_id for entry in entries)

    assert listed() == sorted([of_first.snapshot_id, of_second.snapshot_id])
    assert listed(snapshot_id=of_first.snapshot_id) == [of_first.snapshot_id]
    assert listed(source_volume_id=second.volume_id) == [of_second.snapshot_id]
    assert listed(snapshot_id="unknown") == []


@pytest.mark.parametrize(
    "capability",
    [
        csi.VolumeCapability(block={}, access_mode={"mode": "SINGLE_NODE_WRITER"}),
        csi.VolumeCapability(mount={"fs_type": "ext4"}, access_mode={"mode": "SINGLE_NODE_WRITER"}),
        csi.VolumeCapability(mount={}, access_mode={"mode": "MULTI_NODE_MULTI_WRITER"}),
    ],
    ids=["block", "ext4", "shared"],
)
def test_what_node_local_xfs_cannot_be(controller: Controller, capability: csi.VolumeCapability) -> None:
    request = wish()
    request.volume_capabilities.append(capability)
    with pytest.raises(CsiError) as error:
        controller.CreateVolume(request)
    assert code_of(error) == "INVALID_ARGUMENT"
    volume = volume_of(controller)
    check = csi.ValidateVolumeCapabilitiesRequest(volume_id=volume.volume_id, volume_capabilities=[capability])
    answer = controller.ValidateVolumeCapabilities(check)
    assert answer.message and not answer.HasField("confirmed")
