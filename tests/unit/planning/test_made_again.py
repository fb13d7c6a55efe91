"""A cluster that was deleted, and made again under its name, on the claims that were kept."""

from __future__ import annotations

from tests.unit.planning.stories import ready
from tests.unit.planning.world import World, cluster
from tests.unit.planning.world_agents import Disk


def made_again(*with_data: str) -> World:
    """Those named hold data of the life before; the other volumes are empty."""
    before = ready(durability={"copies": 6})
    again = World(cluster(instances=3, durability={"copies": 6}))
    again.resource["metadata"]["uid"] = "uid-of-the-second"
    again.objects["PersistentVolumeClaim"] = before.objects["PersistentVolumeClaim"]
    for name, disk in before.disks.items():
        again.disks[name] = Disk(disk.incarnation, has_data=name in with_data)
    return again


def test_one_that_never_had_data_begins_anew() -> None:
    world = made_again()
    world.settle()
    assert world.resource["status"]["phase"] == "Ready"
    assert len(world.objects["PersistentVolumeClaim"]) == 6, "no claim had to be deleted for it"


def test_one_volume_with_data_keeps_everybody_from_beginning_anew() -> None:
    world = made_again("demo-2")
    for _ in range(20):
        assert not any(ref.kind == "ConfigMap" for ref in world.step().delete)
    assert world.leader is None


def test_wal_without_the_data_it_belongs_to_is_named() -> None:
    world = made_again("demo-log-1")
    for _ in range(20):
        assert not any(ref.kind == "ConfigMap" for ref in world.step().delete)
    message = world.resource["status"]["message"]
    assert "data-demo-log-1 may" in message and "delete these claims to begin anew" in message


def test_a_volume_that_cannot_be_looked_at_may_hold_data() -> None:
    world = made_again()
    world.unreachable = {"demo-3"}
    for _ in range(20):
        assert not any(ref.kind == "ConfigMap" for ref in world.step().delete)
    assert world.leader is None
