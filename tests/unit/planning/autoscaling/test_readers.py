"""Readers that come and go, in the life of a cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.planning.stories import ready, reasons
from tests.unit.planning.world import World

from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base.load import Load
from aurora_operator.planning.objects.volume import ANNOTATION_ADDED
from aurora_operator.planning.view.facts import Facts

TARGET = {"metric": "DatabaseConnections", "value": 50}
POLICY = {"minCapacity": 1, "maxCapacity": 4, "target": TARGET}


def busy(world: World, connections: int) -> None:
    """Every copy has so many sessions, and has had them for a while."""
    for disk in world.disks.values():
        disk.load = Load(seconds=100, connections=connections, connections_60s=connections)


def scaled(**spec: Any) -> World:
    """demo-3 and demo-4 were added to demo-1 and demo-2."""
    world = ready(**({"instances": 2, "readerAutoscaling": POLICY, "durability": {"copies": 2}} | spec))
    busy(world, 140)
    world.step()
    busy(world, 50)
    world.settle()
    return world


def settings(world: World) -> Settings:
    found = Facts(world.observe(), world.now).settings
    assert found is not None
    return found


def later(world: World, seconds: int = 301) -> None:
    world.now += timedelta(seconds=seconds)


def test_readers_are_added_like_the_writer_in_tier_15_and_without_votes() -> None:
    world = scaled(resources={"requests": {"cpu": "300m"}})
    assert world.instances == ["demo-1", "demo-2", "demo-3", "demo-4"]
    status = world.resource["status"]
    assert status["readerAutoscaling"]["added"] == ["demo-3", "demo-4"]
    assert {m["name"]: m["tier"] for m in status["members"]} == {"demo-1": 1, "demo-2": 1, "demo-3": 15, "demo-4": 15}
    assert (settings(world).voters, settings(world).write_quorum) == (("demo-1", "demo-2"), 2)
    claim = world.objects["PersistentVolumeClaim"]["data-demo-4"]
    assert claim["metadata"]["annotations"][ANNOTATION_ADDED] == "demo-1"
    container = world.objects["StatefulSet"]["demo-4"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"]["cpu"] == "300m"
    assert reasons(world).count("ReadersScaledOut") == 1


def test_a_reader_that_goes_takes_no_new_sessions_and_waits_for_those_it_has() -> None:
    world = scaled()
    later(world)
    busy(world, 5)
    world.until(lambda: any(m.draining for m in settings(world).members))
    assert [m.name for m in settings(world).members if m.draining] == ["demo-4"]
    for _ in range(20):
        world.step()
    assert "demo-4" in world.instances, "its sessions are still there"
    world.disks["demo-4"].load = Load(seconds=100, connections=0)
    world.until(lambda: "demo-4" not in world.instances)
    world.until(lambda: "data-demo-4" not in world.objects["PersistentVolumeClaim"])
    assert world.instances == ["demo-1", "demo-2", "demo-3"]
    assert reasons(world).count("ReadersScaledIn") == 1


def test_sessions_that_do_not_end_have_their_time_and_no_more() -> None:
    world = scaled()
    later(world)
    busy(world, 5)
    world.until(lambda: any(m.draining for m in settings(world).members))
    world.now += timedelta(seconds=290)
    world.step()
    assert "demo-4" in world.instances
    world.now += timedelta(seconds=20)
    world.until(lambda: "demo-4" not in world.instances, steps=10)


def test_only_what_was_added_is_removed() -> None:
    world = scaled()
    for _ in range(5):
        later(world, 700)
        busy(world, 0)
        for _ in range(20):
            world.step()
    assert world.instances == ["demo-1", "demo-2"]
    assert world.resource["status"]["phase"] == "Ready"


def test_a_new_operator_goes_on_where_the_old_one_was() -> None:
    """Even without the status: what was added has a mark of its own."""
    world = scaled()
    del world.resource["status"]
    busy(world, 50)
    world.settle()
    assert world.resource["status"]["readerAutoscaling"]["readers"] == 3
    assert world.instances == ["demo-1", "demo-2", "demo-3", "demo-4"]


def test_switched_off_what_was_added_goes() -> None:
    world = scaled()
    busy(world, 0)
    world.resource["spec"].pop("readerAutoscaling")
    world.resource["metadata"]["generation"] += 1
    world.settle()
    assert world.instances == ["demo-1", "demo-2"]
    assert "readerAutoscaling" not in world.resource["status"]


def test_the_users_own_number_changes_beside_it() -> None:
    world = scaled()
    world.edit(instances=3)
    world.settle()
    assert world.instances == ["demo-1", "demo-2", "demo-3", "demo-4"], "the load asks for three, whoever made them"
    assert world.resource["status"]["readerAutoscaling"]["added"] == ["demo-3"]
    world.edit(instances=1)
    world.settle()
    assert len(world.instances) == 4


def test_without_a_leader_nobody_comes_or_goes() -> None:
    world = scaled()
    later(world)
    busy(world, 500)
    world.leader = None
    world.frozen |= set(world.agents)
    before = list(world.instances)
    for agent in world.agents.values():
        agent.phase = "Electing"
    made = world.step()
    assert [o["metadata"]["name"] for o in made.apply if o["kind"] == "StatefulSet"] == []
    assert world.instances == before


def test_log_copies_and_votes_stay_as_they_are() -> None:
    world = ready(instances=2, readerAutoscaling=POLICY, durability={"copies": 6})
    before = (settings(world).voters, settings(world).write_quorum)
    busy(world, 140)
    world.step()
    busy(world, 50)
    world.settle()
    assert len(world.instances) == 4
    assert (settings(world).voters, settings(world).write_quorum) == before
    assert len(before[0]) == 6
