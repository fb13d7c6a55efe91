"""Who goes, and the conditions for it, one at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planning.recording import plan
from tests.unit.planning.stories import calls, ready
from tests.unit.planning.world import World, some_supplies

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Observed, Plan, Restart, Switchover, Unreachable


def removal_of(world: World, seen: Observed) -> list[str]:
    made = plan(seen, some_supplies(), world.now)
    return [f"{ref.kind} {ref.name}" for ref in made.delete]


def scaled_down() -> World:
    """demo-3 is out of the membership, and its StatefulSet may go."""
    world = ready()
    world.edit(instances=2)
    world.until(lambda: "StatefulSet demo-3" in removal_of(world, world.observe()))
    return world


def without_statefulset() -> World:
    """The StatefulSet and the pod are gone too, and the volume may go."""
    world = scaled_down()
    world.until(lambda: "PersistentVolumeClaim data-demo-3" in removal_of(world, world.observe()))
    return world


def leader_says(seen: Observed, **changed: Any) -> Observed:
    agent = seen.agents["demo-1"]
    assert isinstance(agent, AgentStatus) and agent.config is not None
    config: dict[str, Any] = {k: changed.pop(k) for k in ("voters", "next_voters") if k in changed}
    update = {**changed, "config": agent.config.model_copy(update=config)}
    return replace(seen, agents={**seen.agents, "demo-1": agent.model_copy(update=update)})


BLOCKERS: list[dict[str, Any]] = [
    {"phase": "Electing"},
    {"replicas": ()},
    {"voters": ("demo-1/x", "demo-2/x", "demo-3/x")},
    {"next_voters": ("demo-1/x", "demo-2/x", "demo-3/x")},
]


@pytest.mark.parametrize("blocker", [*BLOCKERS, {"settings_revision": 1}])
def test_an_instance_stays_while_anything_speaks_against_its_removal(blocker: dict[str, Any]) -> None:
    world = scaled_down()
    assert removal_of(world, leader_says(world.observe(), **blocker)) == []


@pytest.mark.parametrize("blocker", BLOCKERS)
def test_a_volume_stays_while_anything_speaks_against_its_deletion(blocker: dict[str, Any]) -> None:
    world = without_statefulset()
    assert removal_of(world, leader_says(world.observe(), **blocker)) == []


def test_a_volume_stays_while_its_leader_is_silent() -> None:
    world = without_statefulset()
    seen = world.observe()
    assert removal_of(world, replace(seen, agents={**seen.agents, "demo-1": Unreachable("silent")})) == []


def test_the_writer_is_the_last_to_go_whatever_its_number() -> None:
    world = ready()
    world.resource["metadata"]["annotations"] = {names.ANNOTATION_SWITCHOVER: "demo-3"}
    world.settle()
    world.edit(instances=1)
    world.settle()
    assert world.instances == ["demo-3"] and len(calls(world, Switchover)) == 1


def test_a_reader_that_does_not_work_goes_first() -> None:
    world = ready()
    world.frozen = {"demo-2"}
    world.kill("demo-2")
    world.step()
    world.edit(instances=2)
    world.settle()
    assert world.instances == ["demo-1", "demo-3"]


def test_a_changed_mind_brings_back_who_was_about_to_leave() -> None:
    world = ready()
    world.edit(instances=2)
    world.until(lambda: any(c["metadata"]["annotations"]["aurorapg.io/retired"] == "Delete" for c in claims(world)))
    world.edit(instances=3)
    world.settle()
    assert world.instances == ["demo-1", "demo-2", "demo-3"]
    assert not any(ref.kind == "StatefulSet" for made in world.plans for ref in made.delete)
    assert all(c["metadata"]["annotations"]["aurorapg.io/retired"] == "No" for c in claims(world))


def claims(world: World) -> list[dict[str, Any]]:
    return list(world.objects["PersistentVolumeClaim"].values())


def test_readers_that_are_least_likely_to_lead_restart_first() -> None:
    world = ready(instanceSettings=[{"instance": 2, "promotionTier": 5}, {"instance": 3, "promotionTier": 0}])
    world.edit(parameters={"max_connections": "200"})
    world.settle()
    restarts = [c.instance for made in world.plans for c in made.calls if isinstance(c, Restart)]
    assert list(dict.fromkeys(restarts)) == ["demo-2", "demo-3"]
    assert [c.target for c in calls(world, Switchover)] == ["demo-3"]


def test_a_pod_is_replaced_only_once_its_statefulset_has_the_new_template() -> None:
    world = ready()
    world.edit(image={"name": "new"})
    made: Plan = plan(world.observe(), some_supplies(), world.now)
    assert {o["kind"] for o in made.apply} >= {"StatefulSet"} and not made.delete
    world.carry_out(made)
    # Applied, but its controller has not seen it yet, and would make the pod anew from the old template.
    assert not plan(world.observe(), some_supplies(), world.now).delete
    world.live()
    assert len(plan(world.observe(), some_supplies(), world.now).delete) == 1


def test_a_volume_stays_while_a_pod_may_still_use_it() -> None:
    world = without_statefulset()
    seen = world.observe()
    pod = {"metadata": {"name": "demo-3-0", "deletionTimestamp": "2026-03-01T12:00:00Z"}, "status": {}}
    pods = {**seen.children["Pod"], "demo-3-0": pod}
    assert removal_of(world, replace(seen, children={**seen.children, "Pod": pods})) == []
