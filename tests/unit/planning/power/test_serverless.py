"""Serverless instances as plans make them: sizes that do not restart pods, permissions, room on another node."""

from __future__ import annotations

from typing import Any

from tests.unit.planning.world import World, cluster

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.api.spec.capacity import CapacityChange, CapacityStatus, ScalingPoint
from aurora_operator.planning.model.plan_model import Switchover

RANGE = {"minCapacity": 0.5, "maxCapacity": 8}


class Serverless(World):
    """A world whose agents tell a capacity."""

    def __init__(self, **spec: Any) -> None:
        super().__init__(cluster(serverlessV2ScalingConfiguration=RANGE, **spec))
        self.capacities: dict[str, CapacityStatus] = {}

    def status_of(self, name: str) -> AgentStatus:
        return super().status_of(name).model_copy(update={"capacity": self.capacities.get(name)})

    def container(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.objects["StatefulSet"][name]["spec"]["template"]["spec"]["containers"][0]
        return found


def capacity(now: float, wanted: float | None = None, obstacle: str | None = None) -> CapacityStatus:
    return CapacityStatus(now=now, wanted=wanted or now, reason="CPU", obstacle=obstacle, most=8)


def test_another_size_replaces_no_pod() -> None:
    world = Serverless(instances=3, instanceClass="db.serverless")
    world.settle()
    pods = {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()}
    assert world.container("demo-1")["resources"]["limits"] == {"cpu": "1000m", "memory": "1024Mi"}
    assert {p["resourceName"] for p in world.container("demo-1")["resizePolicy"]} == {"cpu", "memory"}
    world.capacities = {f"demo-{n}": capacity(6) for n in (1, 2, 3)}
    world.settle()
    assert world.container("demo-1")["resources"]["limits"] == {"cpu": "3000m", "memory": "12288Mi"}
    assert {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()} == pods
    world.edit(serverlessV2ScalingConfiguration={"minCapacity": 0.5, "maxCapacity": 4})
    world.settle()
    assert world.container("demo-1")["resources"]["limits"] == {"cpu": "2000m", "memory": "8192Mi"}
    assert {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()} == pods


def test_a_mixed_cluster() -> None:
    """Provisioned and serverless side by side: only those that scale may resize, each by its own rule."""
    settings = [
        {"instance": 2, "instanceClass": "db.serverless"},
        {"instance": 3, "instanceClass": "db.serverless", "promotionTier": 9},
    ]
    world = Serverless(instances=3, resources={"limits": {"memory": "2Gi"}}, instanceSettings=settings)
    world.settle()
    assert world.container("demo-1")["resources"]["limits"] == {"memory": "2Gi"}
    assert "resizePolicy" not in world.container("demo-1")
    rules = world.objects["Role"]["demo"]["rules"]
    assert [r["resourceNames"] for r in rules if r["resources"] == ["pods/resize"]] == [["demo-2-0", "demo-3-0"]]
    pushed = world.disks["demo-1"].settings
    assert pushed is not None
    members = {m.name: m.capacity for m in pushed.members}
    assert members["demo-1"] is None
    second, third = members["demo-2"], members["demo-3"]
    assert second is not None and second.follows_writer
    assert third is not None and not third.follows_writer


def test_each_change_is_told_and_shown() -> None:
    world = Serverless(instances=2, instanceClass="db.serverless")
    world.capacities = {"demo-1": capacity(0.5), "demo-2": capacity(0.5)}
    world.settle()
    assert world.condition("CapacityMet")["status"] == "True"
    world.capacities["demo-2"] = capacity(2.5)
    made = world.step()
    assert [(e.reason, e.message) for e in made.events] == [
        ("CapacityChanged", "demo-2 has 2.5 ACU instead of 0.5: CPU.")
    ]
    assert [m["capacity"] for m in world.resource["status"]["members"] if m["kind"] == "instance"] == [0.5, 2.5]


def test_a_writer_whose_node_is_too_small_hands_over_to_a_reader_with_room() -> None:
    world = Serverless(instances=3, instanceClass="db.serverless")
    world.settle()
    assert world.leader == "demo-1"
    world.capacities = {
        "demo-1": capacity(2, 6, "6 ACU cannot be had: Infeasible: Node didn't have enough capacity"),
        "demo-2": capacity(2, 6, "likewise"),
        "demo-3": capacity(6),
    }
    made = world.step()
    assert [c for c in made.calls if isinstance(c, Switchover)] == [Switchover("demo-1", "demo-3")]
    assert any("no room" in why for why in made.why)
    assert world.condition("CapacityMet")["reason"] == "NodeTooSmall"
    assert any(e.reason == "NodeTooSmall" and "Infeasible" in e.message for e in made.events)
    assert "add a larger node to its zone" in world.condition("CapacityMet")["message"]
    world.capacities = {f"demo-{n}": capacity(6) for n in (1, 2, 3)}
    world.settle()
    assert world.leader == "demo-3"


def test_without_a_roomier_node_nothing_is_moved() -> None:
    world = Serverless(instances=3, instanceClass="db.serverless")
    world.settle()
    world.capacities = {f"demo-{n}": capacity(2, 6, "no room") for n in (1, 2, 3)}
    made = world.step()
    assert not any(isinstance(c, Switchover) for c in made.calls)
    assert world.leader == "demo-1"


V1 = {"minCapacity": 2, "maxCapacity": 8, "secondsBeforeTimeout": 60}


class ServerlessV1(Serverless):
    """The same with engineMode serverless."""

    def __init__(self, **spec: Any) -> None:
        World.__init__(self, cluster(engineMode="serverless", scalingConfiguration=V1, **spec))
        self.capacities = {}


def test_v1_has_one_writer_and_no_endpoint_of_readers() -> None:
    world = ServerlessV1(instances=3)
    world.settle()
    assert world.container("demo-2")["resources"]["limits"] == {"cpu": "1000m", "memory": "4096Mi"}
    for service in ("demo-ro", "demo-any"):
        assert world.objects["Service"][service]["spec"]["selector"][names.LABEL_ROLE] == "writer"
    pushed = world.disks["demo-2"].settings
    assert pushed is not None and pushed.auto_pause is not None, "autoPause is the default, as in Aurora"
    ranges = {m.capacity for m in pushed.members if m.kind == "instance"}
    assert {(r.least, r.most, r.follows_writer, r.sizes) for r in ranges if r is not None} == {
        (2, 8, True, (2, 4, 8)),
    }
    points = {r.scaling_point for r in ranges if r is not None}
    assert points == {ScalingPoint(seconds_before_timeout=60, timeout_action="RollbackCapacityChange")}


def test_v1_tells_what_a_change_waits_for_and_how_it_ended() -> None:
    world = ServerlessV1(instances=1)
    world.capacities = {"demo-1": capacity(2)}
    world.settle()
    assert world.condition("CapacityMet")["status"] == "True"

    def tell(now: float, change: CapacityChange | None, reason: str) -> list[tuple[str, str]]:
        world.capacities["demo-1"] = CapacityStatus(now=now, wanted=4, reason=reason, most=8, change=change)
        return [(e.type, e.reason) for e in world.step().events]

    waits = "CPU; a scaling point is waited for: a transaction is open"
    assert tell(2, "Waiting", waits) == [("Normal", "WaitingForScalingPoint")]
    said = world.condition("CapacityMet")
    assert (said["status"], said["message"]) == ("False", f"demo-1 has 2 of 4 ACU: {waits}.")
    assert tell(2, "Waiting", waits) == []
    assert tell(2, "RolledBack", "CPU; given up") == [("Warning", "CapacityChangeRolledBack")]
    assert tell(2, "Waiting", waits) == [("Normal", "WaitingForScalingPoint")]
    assert tell(4, "Forced", "CPU; forced") == [("Normal", "CapacityChanged"), ("Warning", "CapacityChangeForced")]
    assert world.resource["status"]["members"][0]["capacityChange"] == "Forced"
    assert tell(4, None, "CPU") == []
    assert world.condition("CapacityMet")["status"] == "True"


def test_v1_becomes_v2() -> None:
    """The way of those who migrate: the same volumes, another rule."""
    world = ServerlessV1(instances=2)
    world.settle()
    volumes = set(world.objects["PersistentVolumeClaim"])
    del world.resource["spec"]["scalingConfiguration"]
    world.edit(engineMode="provisioned", instanceClass="db.serverless", serverlessV2ScalingConfiguration=RANGE)
    world.settle()
    assert set(world.objects["PersistentVolumeClaim"]) == volumes
    pushed = world.disks["demo-1"].settings
    assert pushed is not None
    assert [(m.capacity.least, m.capacity.scaling_point) for m in pushed.members if m.capacity is not None] == [
        (0.5, None),
        (0.5, None),
    ]
    assert world.objects["Service"]["demo-ro"]["spec"]["selector"][names.LABEL_ROLE] == "reader"
