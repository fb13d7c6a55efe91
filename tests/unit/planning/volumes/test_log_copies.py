"""Log copies: how many there are, where, and when they come and go."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_tests
from hypothesis import strategies as st
from tests.unit.planning.recording import plan
from tests.unit.planning.safety import disruptions
from tests.unit.planning.world import World, cluster, some_supplies

from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Node
from aurora_operator.planning.objects.config import SETTINGS_KEY


def whole(instances: int = 3, zones: tuple[str, ...] = ("a", "b", "c"), **durability: object) -> World:
    world = World(cluster(instances=instances, durability=durability), zones)
    world.settle()
    return world


def settings(world: World) -> Settings:
    return Settings.model_validate_json(world.objects["ConfigMap"]["demo-settings"]["data"][SETTINGS_KEY])


def voters(world: World) -> list[str]:
    return sorted(voter.split("/")[0] for voter in world.config.voters)


def spread(world: World) -> Counter[str]:
    zones = world.all_zones()
    return Counter(zones[name] for name in voters(world))


@pytest.mark.parametrize(
    ("zones", "instances", "logs", "write"),
    [
        (("a", "b", "c"), 3, 3, 4),
        (("a", "b", "c"), 1, 5, 4),
        (("a", "b", "c"), 6, 0, 4),
        (("a", "b", "c", "d", "e"), 3, 3, 4),
        (("a", "b"), 2, 2, 3),
        (("a", "b"), 3, 1, 3),
        (("a",), 3, 0, 2),
        (("a",), 1, 0, 1),
    ],
)
def test_presets_by_zones(zones: tuple[str, ...], instances: int, logs: int, write: int) -> None:
    world = whole(instances, zones)
    assert len(world.instances) == instances and len(world.logs) == logs
    asked = settings(world)
    assert asked.write_quorum == world.config.write_quorum == write
    assert voters(world) == sorted(asked.voters) == sorted([*world.instances, *world.logs])
    assert len(set(spread(world).values())) == 1, "each zone holds as many"
    status = world.resource["status"]
    v = len(asked.voters)
    assert status["ready"] == f"{instances}/{instances}" and status["durability"]["alive"] == f"{v}/{v}"


def test_members_and_status_tell_of_log_copies() -> None:
    world = whole()
    member = settings(world).member("demo-log-1")
    assert member is not None and (member.kind, member.ordinal) == ("log", 0)
    assert member.host == "demo-log-1-0.demo-pods.default.svc"
    status = world.resource["status"]
    assert status["instances"] == 3 and status["phase"] == "Ready"
    found = {m["name"]: (m["kind"], m["role"], m["voting"]) for m in status["members"] if m["kind"] == "log"}
    assert found == {f"demo-log-{n}": ("log", "log", True) for n in (1, 2, 3)}
    durability = status["durability"]
    assert durability["perZone"] == "zone-a 2/2, zone-b 2/2, zone-c 2/2"
    assert (durability["writeAvailable"], durability["readAvailable"], durability["readQuorum"]) == (True, True, 3)


def test_objects_of_a_log_copy() -> None:
    world = whole()
    pod = world.objects["Pod"]["demo-log-1-0"]
    assert pod["metadata"]["labels"][names.LABEL_COMPONENT] == pod["metadata"]["labels"][names.LABEL_ROLE] == "log"
    spec = pod["spec"]
    assert spec["serviceAccountName"] == "demo-log" and spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert {"name": "AURORA_KIND", "value": "log"} in container["env"]
    assert container["resources"]["limits"] == {"memory": "128Mi"}
    mounted = {m["name"] for m in container["volumeMounts"]}
    assert mounted == {v["name"] for v in spec["volumes"]} and "app" not in mounted
    claim = world.objects["PersistentVolumeClaim"]["data-demo-log-1"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi" and "ownerReferences" not in claim["metadata"]
    (rule,) = world.objects["Role"]["demo-log"]["rules"]
    assert rule["resourceNames"] == ["demo-log-1-0", "demo-log-2-0", "demo-log-3-0"]
    assert not any("log" in name for r in world.objects["Role"]["demo"]["rules"] for name in r["resourceNames"])
    services = world.objects["Service"]
    for name in ("demo-ro", "demo-any"):
        assert services[name]["spec"]["selector"][names.LABEL_COMPONENT] == "instance"
    assert services["demo-pods"]["spec"]["selector"] == {names.LABEL_CLUSTER: "demo"}
    budget = world.objects["PodDisruptionBudget"]["demo"]["spec"]
    assert budget["maxUnavailable"] == 2 and budget["selector"]["matchExpressions"][0]["values"] == ["instance", "log"]


def test_a_zone_that_vanishes_makes_nothing_smaller() -> None:
    world = whole()
    before = (world.instances, world.logs, settings(world).voters)
    world.nodes = tuple(node for node in world.nodes if node.zone != "zone-c")
    for _ in range(5):
        made = world.step()
        assert not made.delete
    assert (world.instances, world.logs, settings(world).voters) == before
    # Even if the settings are lost, what exists remembers.
    del world.objects["ConfigMap"]["demo-settings"]
    world.step()
    assert len(settings(world).voters) == 6


def test_more_zones_make_more_copies() -> None:
    world = whole(zones=("a", "b"))
    assert len(voters(world)) == 4
    world.nodes += (Node("node-c", "zone-c"),)
    world.settle()
    assert len(voters(world)) == 6 and sorted(spread(world).values()) == [2, 2, 2]


def test_fewer_zones_on_request_make_fewer_copies() -> None:
    world = whole()
    world.edit(durability={"copies": 3})
    world.settle()
    assert voters(world) == world.instances and not world.logs
    assert not any("log" in name for name in world.objects["PersistentVolumeClaim"])
    assert not any(disruptions(made) for made in world.plans)


def test_instances_take_the_place_of_log_copies() -> None:
    world = whole()
    world.edit(instances=6)
    world.settle()
    assert voters(world) == world.instances and not world.logs
    world.edit(instances=9)
    world.settle()
    assert len(voters(world)) == 6 and len(world.instances) == 9, "those beyond six learn"
    world.edit(instances=2)
    world.settle()
    assert len(world.instances) == 2 and len(world.logs) == 4 and sorted(spread(world).values()) == [2, 2, 2]


def test_no_zone_has_more_than_its_share_of_the_votes() -> None:
    """Whoever puts all instances in one zone does not lose the cluster with it."""
    world = World(
        cluster(instances=3, instanceSettings=[{"instance": n, "availabilityZone": "zone-a"} for n in (1, 2, 3)])
    )
    world.settle()
    assert sorted(spread(world).items()) == [("zone-a", 2), ("zone-b", 2), ("zone-c", 2)]
    assert len(world.logs) == 4


def test_cordoned_zones_take_nothing_new_and_are_no_error() -> None:
    world = World(cluster(instances=3, durability={"availabilityZones": ["zone-a", "zone-b", "zone-c"]}))
    world.nodes = tuple(replace(node, cordoned=node.zone == "zone-c") for node in world.nodes)
    world.settle()
    assert world.condition("SpecAccepted")["status"] == "True"
    assert set(world.all_zones().values()) == {"zone-a", "zone-b"} and len(voters(world)) == 6


def test_log_copies_are_rolled_first_one_at_a_time() -> None:
    world = whole()
    world.edit(image={"name": "aurora-instance:new"})
    world.settle()
    pods = [hit.name for made in world.plans for hit in disruptions(made) if hasattr(hit, "kind")]
    assert set(pods[:3]) == {"demo-log-1-0", "demo-log-2-0", "demo-log-3-0"} and len(pods) == 6
    assert all(len(disruptions(made)) <= 1 for made in world.plans)


def test_log_volumes_grow() -> None:
    world = whole()
    world.edit(durability={"logVolumeSize": "4Gi"})
    world.settle()
    claim = world.objects["PersistentVolumeClaim"]["data-demo-log-1"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "4Gi"


def test_a_volume_stays_until_all_votes_are_where_they_belong() -> None:
    world = whole()
    world.edit(durability={"copies": 3})
    world.until(lambda: any("delete PersistentVolumeClaim" in why for why in world.plans[-1].why))
    removed = [ref.name for made in world.plans for ref in made.delete if ref.kind == "PersistentVolumeClaim"]
    assert removed and all(name.startswith("data-demo-log-") for name in removed)
    assert voters(world) == world.instances


def test_an_earlier_lifes_log_copies_take_part() -> None:
    """What only they hold must not be missed: nobody is told to leave before there is a writer."""
    old = whole()
    again = World(cluster(instances=3, durability={"copies": 3}))
    again.objects["PersistentVolumeClaim"] = old.objects["PersistentVolumeClaim"]
    again.disks, again.config = old.disks, old.config
    for _ in range(3):
        again.step()
    assert len(again.logs) == 3
    again.settle()
    assert not again.logs and voters(again) == again.instances


def test_ready_waits_for_log_copies() -> None:
    world = whole()
    world.frozen = {"demo-log-2"}
    world.kill("demo-log-2")
    for _ in range(4):
        world.step()
    assert world.resource["status"]["phase"] != "Ready"
    assert "demo-log-2" in world.condition("DurabilityMet")["message"]
    assert world.resource["status"]["durability"]["alive"] == "5/6"


@settings_of_tests(max_examples=50)
@given(
    instances=st.integers(1, 9),
    zones=st.lists(st.sampled_from("abcd"), unique=True, min_size=1, max_size=4),
    copies=st.none() | st.integers(1, 6),
)
def test_votes_are_spread_and_as_many_as_asked(instances: int, zones: list[str], copies: int | None) -> None:
    durability = {} if copies is None else {"copies": copies}
    world = World(cluster(instances=instances, durability=durability), tuple(zones))
    for _ in range(4):
        world.carry_out(plan(world.observe(), some_supplies(), world.now))
    asked = settings(world)
    if copies is not None:
        assert len(asked.voters) == copies
    placed = {m.name: m.zone for m in asked.members}
    crowd = Counter(placed[name] for name in asked.voters)
    assert max(crowd.values()) <= -(-len(asked.voters) // min(len(zones), 3))
    assert 2 * asked.write_quorum > len(asked.voters)
