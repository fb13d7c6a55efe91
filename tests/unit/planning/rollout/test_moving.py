"""Readers whose node is too small, and pods that find no node."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.planning.power.test_serverless import Serverless, capacity

from aurora_operator.api.spec.capacity import ACU_BYTES
from aurora_operator.planning.model.plan_model import Node, Plan
from aurora_operator.planning.objects.instance import start_of
from aurora_operator.planning.rollout.moving import AGAIN, LASTING

INFEASIBLE = "6 ACU cannot be had: Infeasible: Node didn't have enough capacity"
DEFERRED = "6 ACU cannot be had: Deferred: Node didn't have enough resource"
LACKS = "0/4 nodes are available: 3 Insufficient memory, 1 node(s) had untolerated taint(s)."
LARGE = Node("large", "zone-c", memory_bytes=16 * ACU_BYTES, cpu_millis=8000)


class Nodes(Serverless):
    """A world in which some pods find no node."""

    def __init__(self, *more: Node) -> None:
        super().__init__(instances=3, instanceClass="db.serverless")
        self.nodes = (*(replace(n, memory_bytes=3 * ACU_BYTES, cpu_millis=1000) for n in self.nodes), *more)
        self.unschedulable: dict[str, str] = {}
        self.seconds = timedelta(seconds=1)
        self.settle()
        assert self.leader == "demo-1"

    def _run(self, pod: dict[str, Any]) -> None:
        message = self.unschedulable.get(pod["metadata"]["name"].removesuffix("-0"))
        if message is None:
            super()._run(pod)
            return
        before = pod["status"].get("conditions") or [{}]
        moment = before[0].get("lastTransitionTime", self.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        pod["spec"].pop("nodeName", None)
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        pod["status"] = {"phase": "Pending", "conditions": [waiting | {"lastTransitionTime": moment}]}

    def uid(self, name: str) -> str:
        return str(self.objects["Pod"][f"{name}-0"]["metadata"]["uid"])

    def member(self, name: str) -> dict[str, Any]:
        return next(m for m in self.resource["status"]["members"] if m["name"] == name)

    def during(self, span: timedelta, step: timedelta = timedelta(seconds=30)) -> list[Plan]:
        made = [self.step()]
        end = self.now + span
        while self.now < end:
            self.now += step
            made.append(self.step())
        return made


def short(world: Nodes, name: str, obstacle: str | None = INFEASIBLE) -> None:
    world.capacities = {f"demo-{n}": capacity(6) for n in (1, 2, 3)}
    world.capacities[name] = capacity(3, 6, obstacle)


def test_a_reader_begins_again_on_a_larger_node_of_its_zone() -> None:
    world = Nodes(LARGE)
    short(world, "demo-3")
    uid = world.uid("demo-3")
    world.during(LASTING - timedelta(seconds=60))
    assert world.uid("demo-3") == uid and world.member("demo-3")["tooSmallSince"]
    # The agent asks again every minute, and says nothing meanwhile.
    short(world, "demo-3", None)
    made = world.during(timedelta(seconds=120))
    assert world.uid("demo-3") != uid
    assert start_of(world.objects["StatefulSet"]["demo-3"]) == 6
    assert any(e.reason == "ReaderMoved" and "large is not" in e.message for plan in made for e in plan.events)
    world.capacities["demo-3"] = capacity(6)
    uid = world.uid("demo-3")
    world.settle()
    assert "tooSmallSince" not in world.member("demo-3") and world.member("demo-3")["movedAt"]
    assert world.uid("demo-3") == uid


def test_one_that_moved_and_finds_no_node_comes_back_with_less_than_the_least() -> None:
    """Its volume is bound to the node that it was on, where it ran with less than what a new pod begins with."""
    world = Nodes(LARGE)
    world.edit(serverlessV2ScalingConfiguration={"minCapacity": 6, "maxCapacity": 8})
    world.settle()
    short(world, "demo-3")
    uid = world.uid("demo-3")
    world.during(LASTING - timedelta(seconds=60))
    world.until(lambda: world.uid("demo-3") != uid, steps=300)
    world.unschedulable["demo-3"] = LACKS
    assert start_of(world.objects["StatefulSet"]["demo-3"]) == 6
    world.until(lambda: start_of(world.objects["StatefulSet"]["demo-3"]) == 1.5)


def test_where_it_did_not_help_it_is_not_tried_again_for_a_day() -> None:
    world = Nodes(LARGE)
    short(world, "demo-3")
    world.during(LASTING + timedelta(seconds=60))
    tried = world.member("demo-3")["movedAt"]
    uid = world.uid("demo-3")
    world.during(timedelta(hours=2), step=timedelta(minutes=10))
    assert world.uid("demo-3") == uid and world.member("demo-3")["movedAt"] == tried
    world.during(AGAIN, step=timedelta(hours=3))
    assert world.uid("demo-3") != uid


@pytest.mark.parametrize(
    "node",
    [
        None,
        replace(LARGE, zone="zone-a"),
        replace(LARGE, ready=False),
        replace(LARGE, cordoned=True),
        replace(LARGE, schedulable=False),
        replace(LARGE, memory_bytes=5 * ACU_BYTES),
        replace(LARGE, cpu_millis=1000),
        replace(LARGE, memory_bytes=0),
    ],
)
def test_without_a_larger_node_it_stays(node: Node | None) -> None:
    world = Nodes(*([node] if node is not None else []))
    short(world, "demo-3")
    uid = world.uid("demo-3")
    world.during(2 * LASTING)
    assert world.uid("demo-3") == uid


def test_who_may_get_it_when_others_leave_stays_and_so_does_a_writer() -> None:
    world = Nodes(LARGE, replace(LARGE, name="larger", zone="zone-a"))
    short(world, "demo-3", DEFERRED)
    uids = {name: world.uid(name) for name in world.instances}
    world.during(2 * LASTING)
    short(world, "demo-1")
    world.capacities |= {"demo-2": capacity(3), "demo-3": capacity(3)}
    world.during(2 * LASTING)
    assert world.leader == "demo-1" and {name: world.uid(name) for name in world.instances} == uids


def test_readers_move_one_at_a_time() -> None:
    world = Nodes(LARGE, replace(LARGE, name="larger", zone="zone-b"))
    short(world, "demo-3")
    world.capacities["demo-2"] = capacity(3, 6, INFEASIBLE)
    made = world.during(3 * LASTING)
    deleted = [[ref.name for ref in plan.delete if ref.kind == "Pod"] for plan in made]
    assert sorted(name for names in deleted for name in names) == ["demo-2-0", "demo-3-0"]
    assert all(len(names) <= 1 for names in deleted)


def test_a_pod_that_finds_no_node_begins_smaller_until_it_does() -> None:
    world = Nodes()
    world.capacities = {f"demo-{n}": capacity(6) for n in (1, 2, 3)}
    world.settle()
    assert start_of(world.objects["StatefulSet"]["demo-3"]) == 6
    world.unschedulable["demo-3"] = LACKS
    world.kill("demo-3")
    world.during(timedelta(seconds=10), step=timedelta(seconds=2))
    assert start_of(world.objects["StatefulSet"]["demo-3"]) == 6, "somebody may be making room"
    world.until(lambda: start_of(world.objects["StatefulSet"]["demo-3"]) == 3)
    world.until(lambda: start_of(world.objects["StatefulSet"]["demo-3"]) == 1.5)
    del world.unschedulable["demo-3"]
    world.settle()


def test_what_a_smaller_pod_does_not_help_stays() -> None:
    world = Nodes()
    world.settle()
    world.unschedulable["demo-3"] = "0/4 nodes are available: 4 node(s) had volume node affinity conflict."
    world.kill("demo-3")
    world.step()
    uid = world.uid("demo-3")
    world.during(timedelta(minutes=2))
    world.unschedulable["demo-3"] = LACKS
    world.during(timedelta(minutes=2))
    assert world.uid("demo-3") == uid, "it is as small as may be"
