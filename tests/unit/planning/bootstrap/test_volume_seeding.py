"""New and replaced copies begin with a snapshot, where that helps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World

from aurora_operator.planning.model.plan_model import SnapshotClass

GIB = 1 << 30


def large(**spec: object) -> World:
    world = ready(**spec)
    world.snapshot_classes, world.used_bytes = (SnapshotClass("snaps", "csi.test"),), GIB
    return world


def seeds(world: World) -> list[str]:
    return sorted(world.objects.get("VolumeSnapshot", {}))


def taken(world: World, name: str) -> None:
    raw = world.objects["VolumeSnapshot"][name]
    raw["metadata"]["creationTimestamp"] = world.now.isoformat()
    raw["status"] = {"readyToUse": True, "restoreSize": "10Gi"}


def bind(world: World, instance: str) -> None:
    world.objects["PersistentVolumeClaim"][f"data-{instance}"]["spec"]["volumeName"] = "pv"


def test_a_new_reader_begins_with_a_snapshot_of_its_zone() -> None:
    world = large()
    world.edit(instances=4)
    world.until(lambda: seeds(world) == ["demo-4.seed"])
    assert "demo-4" not in world.instances
    zone = world.zones()["demo-1"]
    seed = world.objects["VolumeSnapshot"]["demo-4.seed"]
    source = seed["spec"]["source"]["persistentVolumeClaimName"].removeprefix("data-")
    taken(world, "demo-4.seed")
    world.until(lambda: "demo-4" in world.instances)
    claim = world.objects["PersistentVolumeClaim"]["data-demo-4"]
    assert claim["spec"]["dataSource"]["name"] == "demo-4.seed"
    assert world.zones()["demo-4"] == world.zones()[source] and zone in world.zones().values()
    bind(world, "demo-4")
    world.settle()
    assert seeds(world) == [] and world.resource["status"]["ready"] == "4/4"


def test_a_lost_volume_comes_back_from_a_snapshot_of_its_zone() -> None:
    world = large(instances=4)
    zone = world.zones()["demo-1"]
    pair = sorted(name for name, z in world.zones().items() if z == zone)
    assert len(pair) == 2
    lost = next(name for name in pair if name != world.leader)
    del world.objects["PersistentVolumeClaim"][f"data-{lost}"]
    del world.disks[lost]
    world.kill(lost)
    world.until(lambda: seeds(world) == [f"{lost}.seed"])
    taken(world, f"{lost}.seed")
    world.until(lambda: f"data-{lost}" in world.objects["PersistentVolumeClaim"])
    assert world.objects["PersistentVolumeClaim"][f"data-{lost}"]["spec"]["dataSource"]["name"] == f"{lost}.seed"


@pytest.mark.parametrize("why", ["small", "no driver", "no copy in the zone"])
def test_where_it_does_not_help_the_volume_begins_empty(why: str) -> None:
    world = large() if why != "no copy in the zone" else large(instances=2)
    world.used_bytes = 50 << 20 if why == "small" else GIB
    if why == "no driver":
        world.snapshot_classes = ()
    world.edit(instances=world.resource["spec"]["instances"] + 1)
    world.settle()
    assert not any("dataSource" in c["spec"] for c in world.objects["PersistentVolumeClaim"].values())
    assert "VolumeSnapshot" not in world.objects


@pytest.mark.parametrize("trouble", ["error", "slow"])
def test_a_snapshot_that_does_not_come_is_not_waited_for(trouble: str) -> None:
    world = large()
    world.edit(instances=4)
    world.until(lambda: seeds(world) == ["demo-4.seed"])
    raw = world.objects["VolumeSnapshot"]["demo-4.seed"]
    raw["metadata"]["creationTimestamp"] = world.now.isoformat()
    if trouble == "error":
        raw["status"] = {"error": {"message": "no"}}
    else:
        world.now += timedelta(minutes=2)
    world.settle()
    assert "dataSource" not in world.objects["PersistentVolumeClaim"]["data-demo-4"]["spec"]
    assert seeds(world) == [] and world.resource["status"]["ready"] == "4/4"


def test_a_volume_that_is_never_made_is_made_empty_instead() -> None:
    world = large()
    world.edit(instances=4)
    world.until(lambda: seeds(world) == ["demo-4.seed"])
    taken(world, "demo-4.seed")
    world.until(lambda: "data-demo-4" in world.objects["PersistentVolumeClaim"])
    claim = world.objects["PersistentVolumeClaim"]["data-demo-4"]
    claim["metadata"]["creationTimestamp"] = world.now.isoformat()
    claim["status"] = {"phase": "Pending"}
    world.kill("demo-4")
    world.disks.pop("demo-4", None)
    world.now += timedelta(minutes=3)
    world.step()
    world.settle()
    again = world.objects["PersistentVolumeClaim"]["data-demo-4"]
    assert "dataSource" not in again["spec"] and seeds(world) == []
