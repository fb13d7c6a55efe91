"""Volumes that grow by themselves, in the life of a cluster: what is asked for, refused, said."""

from __future__ import annotations

from typing import Any

from tests.unit.planning.recording import plan
from tests.unit.planning.stories import ready, reasons
from tests.unit.planning.world import World, some_supplies

from aurora_operator.api.base.quantity import to_bytes
from aurora_operator.api.base.volume import SlotUse, VolumeUse
from aurora_operator.planning.model.plan_model import StorageClass
from aurora_operator.planning.volumes.volume_expansion import POKE

GIB = 1 << 30


def fill(world: World, name: str, used: int, **more: Any) -> None:
    """That much of the volume of `name` is used from now on."""
    claim = world.objects["PersistentVolumeClaim"][f"data-{name}"]
    size = to_bytes(claim["status"]["capacity"]["storage"])
    world.disks[name].use = VolumeUse(size_bytes=size, used_bytes=used, wal_target_bytes=GIB, **more)


def sizes(world: World) -> dict[str, str]:
    claims = world.objects["PersistentVolumeClaim"]
    return {n.removeprefix("data-"): c["spec"]["resources"]["requests"]["storage"] for n, c in sorted(claims.items())}


def refresh(world: World, name: str) -> None:
    """The file system is as large as the claim."""
    use = world.disks[name].use
    assert use is not None
    fill(world, name, use.used_bytes)


def test_every_copy_grows_with_the_writers_data() -> None:
    world = ready()
    fill(world, "demo-1", 9 * GIB)
    world.step()
    assert sizes(world) == {"demo-1": "20Gi", "demo-2": "20Gi", "demo-3": "20Gi"}
    refresh(world, "demo-1")
    world.settle()
    assert sizes(world) == {"demo-1": "20Gi", "demo-2": "20Gi", "demo-3": "20Gi"}
    assert {"VolumeGrowing", "VolumeGrown"} <= set(reasons(world))
    storage = world.resource["status"]["storage"]
    assert (storage["usedBytes"], storage["bytesLeft"]) == (9 * GIB, 64 * 1024 * GIB - 9 * GIB)
    assert storage["volumes"][0]["freeBytes"] == 11 * GIB
    assert world.condition("StorageHealthy")["reason"] == "RoomLeft"


def test_a_reader_grows_alone_by_its_own_need() -> None:
    world = ready()
    fill(world, "demo-1", GIB)
    fill(world, "demo-3", 9 * GIB)
    world.step()
    assert sizes(world) == {"demo-1": "10Gi", "demo-2": "10Gi", "demo-3": "20Gi"}


def test_a_new_reader_starts_large_enough() -> None:
    world = ready()
    fill(world, "demo-1", 9 * GIB)
    world.step()
    refresh(world, "demo-1")
    fill(world, "demo-1", 15 * GIB)
    world.edit(instances=4)
    world.until(lambda: "data-demo-4" in world.objects["PersistentVolumeClaim"])
    assert sizes(world)["demo-4"] == "20Gi"


def test_a_volume_whose_agent_is_silent_follows_the_writers_data() -> None:
    world = ready()
    fill(world, "demo-1", 9 * GIB)
    world.unreachable.add("demo-3")
    world.step()
    assert sizes(world)["demo-3"] == "20Gi"


def test_a_volume_grows_while_postgresql_is_down() -> None:
    world = ready()
    world.agents["demo-1"].phase = "Waiting"
    fill(world, "demo-1", 10 * GIB, brake="held")
    world.leader = None
    world.step()
    assert sizes(world)["demo-1"] == "20Gi"
    assert "PostgreSQL waits until it has grown" in world.condition("StorageHealthy")["message"]
    assert world.condition("StorageHealthy")["status"] == "False"


def test_the_maximum_is_said() -> None:
    world = ready(storage={"size": "10Gi", "autoscaling": {"max": "15Gi"}})
    fill(world, "demo-1", 9 * GIB)
    world.step()
    assert sizes(world)["demo-1"] == "15Gi"
    world.step()
    fill(world, "demo-1", 14 * GIB)
    world.step()
    assert sizes(world)["demo-1"] == "15Gi"
    condition = world.condition("StorageHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "MaximumReached")
    assert "storage.autoscaling.max is 15Gi: raise it" in condition["message"]
    assert world.resource["status"]["phase"] == "Degraded"
    assert reasons(world).count("MaximumReached") == 1
    world.edit(storage={"size": "10Gi", "autoscaling": {"max": "64Ti"}})
    world.until(lambda: sizes(world)["demo-1"] == "25Gi")


def test_switched_off_it_only_warns() -> None:
    world = ready(storage={"size": "10Gi", "autoscaling": {"enabled": False}})
    fill(world, "demo-1", 9 * GIB)
    world.step()
    assert sizes(world)["demo-1"] == "10Gi"
    assert "raise storage.size" in world.condition("StorageHealthy")["message"]


def test_a_class_that_cannot_expand_is_named_only_when_it_matters() -> None:
    world = ready()
    world.classes = (StorageClass("standard", default=True, expandable=False),)
    world.settle()
    assert world.condition("StorageHealthy")["status"] == "True"
    fill(world, "demo-1", 9 * GIB)
    world.step()
    condition = world.condition("StorageHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "ExpansionNotSupported")
    assert "allowVolumeExpansion" in condition["message"]
    assert sizes(world)["demo-1"] == "10Gi"


def test_a_quota_is_named_and_asked_again_less_and_less_often() -> None:
    world = ready()
    world.quota = 10 * GIB
    fill(world, "demo-1", 9 * GIB)

    def asked() -> bool:
        made = world.step()
        return any(o["metadata"]["name"] == "data-demo-1" for o in made.apply)

    times = [second for second in range(120) if asked()]
    assert times == [0, 5, 15, 35, 75]
    condition = world.condition("StorageHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "ExpansionRefused")
    assert "exceeded quota" in condition["message"] and "Raise the ResourceQuota" in condition["message"]
    assert reasons(world).count("ExpansionRefused") == 1
    volume = world.resource["status"]["storage"]["volumes"][0]
    assert (volume["wanted"], volume["attempts"]) == ("20Gi", 5)
    world.quota = None
    world.until(lambda: sizes(world)["demo-1"] == "20Gi")
    refresh(world, "demo-1")
    world.settle()
    assert world.condition("StorageHealthy")["status"] == "True"
    assert all(c["type"] != "Reconciled" for c in world.resource["status"]["conditions"])


def test_a_resize_that_fails_half_way_is_said() -> None:
    world = ready()
    world.resizer_broken = True
    fill(world, "demo-1", 9 * GIB)
    world.step()
    error = {"type": "ControllerResizeError", "status": "True", "message": "the pool is full"}
    world.objects["PersistentVolumeClaim"]["data-demo-1"]["status"]["conditions"] = [error]
    world.step()
    condition = world.condition("StorageHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "ExpansionFailed")
    assert "data-demo-1 20Gi large" in condition["message"] and "the pool is full" in condition["message"]
    world.resizer_broken = False
    world.step()
    refresh(world, "demo-1")
    world.settle()
    assert world.condition("StorageHealthy")["status"] == "True"


def test_what_piles_up_is_named_and_not_paid_for() -> None:
    world = ready()
    dead = SlotUse(name="feed", logical=True, active=False, retained_bytes=6 * GIB)
    fill(world, "demo-1", 9 * GIB, wal_bytes=7 * GIB, slots=(dead,))
    world.settle()
    assert set(sizes(world).values()) == {"10Gi"}
    condition = world.condition("StorageHealthy")
    assert (condition["status"], condition["reason"]) == ("False", "SlotRetainsWal")
    assert world.resource["status"]["phase"] == "Ready"


def test_the_kubelet_is_poked_while_a_file_system_waits_for_it() -> None:
    world = ready()
    claim = world.objects["PersistentVolumeClaim"]["data-demo-2"]
    claim["status"]["conditions"] = [{"type": "FileSystemResizePending", "status": "True"}]
    pods = [o for o in plan(world.observe(), some_supplies(), world.now).apply if o["kind"] == "Pod"]
    assert [pod["metadata"]["name"] for pod in pods] == ["demo-2-0"]
    assert pods[0]["metadata"]["uid"] == world.objects["Pod"]["demo-2-0"]["metadata"]["uid"]
    assert pods[0]["metadata"]["annotations"][POKE].startswith("10Gi at 2026-")
    claim["status"]["conditions"] = []
    assert not [o for o in plan(world.observe(), some_supplies(), world.now).apply if o["kind"] == "Pod"]


def with_logs(**spec: Any) -> World:
    world = ready(durability={"copies": 6}, **spec)
    assert world.logs == ["demo-log-1", "demo-log-2", "demo-log-3"]
    return world


def test_a_log_copy_grows_by_what_is_on_it_and_by_nothing_else() -> None:
    world = with_logs(storage={"size": "10Gi", "autoscaling": {"step": "2Gi"}})
    fill(world, "demo-1", 9 * GIB)
    fill(world, "demo-log-1", 17 * GIB // 10)
    world.step()
    assert sizes(world) == {
        "demo-1": "12Gi",
        "demo-2": "12Gi",
        "demo-3": "12Gi",
        "demo-log-1": "4Gi",
        "demo-log-2": "2Gi",
        "demo-log-3": "2Gi",
    }
    refresh(world, "demo-1")
    refresh(world, "demo-log-1")
    world.settle()
    assert sizes(world)["demo-log-1"] == "4Gi"
    told = {v["name"]: v for v in world.resource["status"]["storage"]["volumes"]}
    assert told["demo-log-1"]["capacity"] == "4Gi" and told["demo-log-1"]["usedBytes"] > GIB
    assert "VolumeGrown" in reasons(world)


def test_a_log_copy_lets_go_of_wal_before_it_grows_whatever_the_threshold() -> None:
    world = with_logs(storage={"size": "10Gi", "autoscaling": {"thresholdPercent": 50}})
    fill(world, "demo-log-1", 3 * GIB // 2)
    world.step()
    assert sizes(world)["demo-log-1"] == "2Gi"


def test_a_silent_log_copy_does_not_follow_the_writers_data() -> None:
    world = with_logs()
    fill(world, "demo-1", 9 * GIB)
    world.unreachable.add("demo-log-2")
    world.step()
    assert (sizes(world)["demo-3"], sizes(world)["demo-log-2"]) == ("20Gi", "2Gi")


def test_a_full_log_copy_that_may_not_grow_says_which_field_to_raise() -> None:
    world = with_logs(storage={"size": "10Gi", "autoscaling": {"enabled": False}})
    fill(world, "demo-log-1", 19 * GIB // 10)
    world.step()
    assert sizes(world)["demo-log-1"] == "2Gi"
    message = world.condition("StorageHealthy")["message"]
    assert "demo-log-1" in message and "raise durability.logVolumeSize" in message
    world.edit(durability={"copies": 6, "logVolumeSize": "4Gi"})
    world.until(lambda: sizes(world)["demo-log-1"] == "4Gi")


def test_the_kubelet_is_believed_while_the_agent_is_silent() -> None:
    """Here a reader's volume that fills by what is its own, and then the writer's with PostgreSQL and agent down."""
    world = ready()
    fill(world, "demo-1", GIB)
    world.unreachable.add("demo-3")
    world.volume_stats = {"demo-3": VolumeUse(size_bytes=10 * GIB, used_bytes=9 * GIB)}
    for _ in range(5):
        world.step()
    assert sizes(world) == {"demo-1": "10Gi", "demo-2": "10Gi", "demo-3": "20Gi"}, "once, though it says so for long"
    volume = next(v for v in world.resource["status"]["storage"]["volumes"] if v["name"] == "demo-3")
    assert volume["usedBytes"] == 9 * GIB
    world.volume_stats["demo-1"] = VolumeUse(size_bytes=10 * GIB, used_bytes=10 * GIB)
    world.step()
    assert sizes(world)["demo-1"] == "10Gi", "its agent answers, and knows better"
    world.unreachable.add("demo-1")
    world.step()
    assert sizes(world)["demo-1"] == "20Gi"
