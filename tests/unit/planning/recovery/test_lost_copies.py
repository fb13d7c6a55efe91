"""A zone, a node or a volume is lost: who is replaced, when, and what becomes of it when it is back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from tests.unit.planning.stories import reasons
from tests.unit.planning.world import World, cluster

from aurora_operator.api.base import names
from aurora_operator.planning.objects.volume import ANNOTATION_GIVEN_UP, ANNOTATION_RETIRED

DELAY = 10


def whole(**spec: Any) -> World:
    world = World(cluster(**{"instances": 3, "durability": {"repairDelaySeconds": DELAY}, **spec}))
    world.settle()
    return world


def voters(world: World) -> list[str]:
    return sorted(voter.split("/")[0] for voter in world.config.voters)


def spread(world: World) -> Counter[str]:
    zones = world.all_zones()
    return Counter(zones[name] for name in voters(world))


def steps(world: World, count: int) -> None:
    for _ in range(count):
        world.step()


def test_a_lost_zone_is_waited_for_then_replaced_and_taken_back() -> None:
    world = whole()
    before = voters(world)
    world.lose_zone("zone-c")
    steps(world, DELAY - 2)
    assert voters(world) == before and len(world.logs) == 3, "nothing is replaced before the delay is over"
    message = world.condition("Degraded")["message"]
    assert "demo-3 in zone-c is missing, its node node-c is not ready" in message and "goes elsewhere at" in message
    durability = world.resource["status"]["durability"]
    assert (durability["alive"], durability["perZone"]) == ("4/6", "zone-a 2/2, zone-b 2/2, zone-c 0/2")
    assert durability["writeAvailable"] and "CopyLost" in reasons(world)
    world.until(lambda: spread(world) == {"zone-a": 3, "zone-b": 3})
    assert world.instances == ["demo-1", "demo-2", "demo-3"], "the instance comes back with its zone"
    assert "demo-3" not in voters(world) and "data-demo-3" in world.objects["PersistentVolumeClaim"]
    steps(world, 3)
    assert world.resource["status"]["durability"]["alive"] == "6/6"
    assert "a log copy has its vote until it is back" in world.condition("Degraded")["message"]
    world.find_zone("zone-c")
    world.settle()
    assert spread(world) == {"zone-a": 2, "zone-b": 2, "zone-c": 2} and "demo-3" in voters(world)
    assert len(world.logs) == 3 and "CopyBack" in reasons(world)
    claims = {name for name in world.objects["PersistentVolumeClaim"] if "-log-" in name}
    assert claims == {f"data-{name}" for name in world.logs}


def test_membership_never_has_fewer_copies_than_asked_on_the_way_back() -> None:
    world = whole()
    world.lose_zone("zone-c")
    world.until(lambda: spread(world) == {"zone-a": 3, "zone-b": 3})
    world.find_zone("zone-c")
    for _ in range(40):
        world.step()
        assert len(world.config.voters) >= 6 and world.config.write_quorum >= 4
    assert spread(world) == {"zone-a": 2, "zone-b": 2, "zone-c": 2}


def test_a_short_outage_changes_nothing() -> None:
    world = whole()
    before = voters(world)
    for _ in range(3):
        world.lose_zone("zone-c")
        steps(world, DELAY - 3)
        world.find_zone("zone-c")
        steps(world, 8)
    assert voters(world) == before and world.logs == ["demo-log-1", "demo-log-2", "demo-log-3"]


def test_a_broken_image_is_no_loss() -> None:
    """Another copy would not start either."""
    world = whole()
    world.broken_images = {"bad"}
    world.edit(image={"name": "bad"})
    steps(world, 4 * DELAY)
    assert len(world.objects["StatefulSet"]) == 6 and not any(n.startswith("demo-log-4") for n in world.logs)
    assert "CopyLost" not in reasons(world)


def test_a_log_copy_whose_volume_is_ill_is_replaced_in_its_zone() -> None:
    world = whole()
    zone = world.all_zones()["demo-log-2"]
    world.ailments["demo-log-2"] = "corruption"
    world.until(lambda: "demo-log-2" not in voters(world) and len(voters(world)) == 6)
    assert spread(world) == {"zone-a": 2, "zone-b": 2, "zone-c": 2}
    (new,) = [name for name in world.logs if name not in ("demo-log-1", "demo-log-2", "demo-log-3")]
    assert world.all_zones()[new] == zone
    world.settle()
    assert "data-demo-log-2" not in world.objects["PersistentVolumeClaim"]
    assert any(e.reason == "CopyLost" and "corruption" in e.message for made in world.plans for e in made.events)
    why = [line for made in world.plans for line in made.why]
    assert why.count("another log copy takes the place of demo-log-2: its volume is ill (corruption)") == 1


def test_a_log_copy_that_is_full_has_time_to_grow() -> None:
    world = whole()
    before = voters(world)
    world.ailments["demo-log-2"] = "full"
    world.frozen.add("demo-log-2")
    steps(world, DELAY // 2)
    assert voters(world) == before and world.logs == ["demo-log-1", "demo-log-2", "demo-log-3"]
    del world.ailments["demo-log-2"]
    steps(world, 2 * DELAY)
    assert voters(world) == before
    world.ailments["demo-log-2"] = "full"
    world.until(lambda: "demo-log-2" not in voters(world) and len(voters(world)) == 6, steps=2 * DELAY)


def test_an_instance_whose_volume_is_lost_is_replaced_and_the_volume_kept() -> None:
    world = whole()
    world.kill("demo-3")
    world.frozen.add("demo-3")
    world.unreachable.add("demo-3")
    world.lost_claims.add("data-demo-3")
    world.until(lambda: world.instances == ["demo-1", "demo-2", "demo-4"], steps=120)
    claim = world.objects["PersistentVolumeClaim"]["data-demo-3"]["metadata"]["annotations"]
    assert claim[ANNOTATION_RETIRED] == "Retain" and claim[ANNOTATION_GIVEN_UP] == "its volume is lost"
    world.edit(instances=4)
    world.settle(steps=120)
    assert world.instances == ["demo-1", "demo-2", "demo-4", "demo-5"], "its number is not used again"


def test_a_named_instance_is_not_replaced_but_told_of() -> None:
    world = whole(instanceSettings=[{"instance": 3}])
    world.kill("demo-3")
    world.frozen.add("demo-3")
    world.unreachable.add("demo-3")
    world.lost_claims.add("data-demo-3")
    steps(world, 3 * DELAY)
    assert world.instances == ["demo-1", "demo-2", "demo-3"] and "demo-3" not in voters(world)
    assert "remove instance 3 from instanceSettings" in world.condition("Degraded")["message"]


def test_no_copy_is_given_up_while_no_writer_is_known() -> None:
    world = whole()
    world.lose_zone("zone-c")
    steps(world, 2)
    before = world.objects["ConfigMap"]["demo-settings"]["data"]
    world.unreachable = {"demo-1", "demo-2", "demo-3"}
    for _ in range(3 * DELAY):
        made = world.step()
        assert not made.delete
    assert world.objects["ConfigMap"]["demo-settings"]["data"] == before and len(world.logs) == 3


def test_a_zone_that_is_deleted_is_replaced_too() -> None:
    world = whole()
    world.lose_zone("zone-c")
    world.nodes = tuple(node for node in world.nodes if node.zone != "zone-c")
    world.until(lambda: spread(world) == {"zone-a": 3, "zone-b": 3})
    assert world.resource["status"]["durability"]["copies"] == 6


def test_labels_of_nodes_are_read_as_they_are() -> None:
    world = whole()
    world.nodes = tuple(replace(node, ready=node.zone != "zone-b") for node in world.nodes)
    steps(world, 3 * DELAY)
    assert len(world.logs) == 3, "a node that is said to be ill, whose agents answer, is no loss"
    assert names.LABEL_ZONE in world.objects["StatefulSet"]["demo-1"]["metadata"]["labels"]
