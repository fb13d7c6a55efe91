"""What must never happen, whatever the world."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.unit.planning.world_agents import Agents, is_log

from aurora_operator.api.base import names
from aurora_operator.planning.disruptions import disruptions as planned_disruptions
from aurora_operator.planning.model.plan_model import ObjectRef, Plan, Restart, Switchover
from aurora_operator.planning.view.facts import Facts


def check_plan(made: Plan, view: Facts) -> None:
    """What holds for every plan: one disruption at most, and no object is written twice."""
    hits = planned_disruptions(made, view)
    assert len(hits) <= 1, f"several disruptions at once: {', '.join(hits)}"
    written = Counter((obj["kind"], obj["metadata"]["name"]) for obj in (*made.apply, *made.create))
    deleted = Counter((ref.kind, ref.name) for ref in made.delete)
    twice = [key for key, count in (written + deleted).items() if count > 1]
    assert not twice, f"two rooms decide about the same object: {twice}"


def disruptions(made: Plan) -> list[Any]:
    """The calls and deletions of pods in a plan that interrupt an instance."""
    pods = [ref for ref in made.delete if ref.kind == "Pod"]
    return [*pods, *(call for call in made.calls if isinstance(call, (Restart, Switchover)))]


def check_safety(world: Agents, resource: dict[str, Any], unreachable: set[str], made: Plan) -> None:
    """What no plan may ever do, whatever the world."""
    hits = disruptions(made)
    assert len(hits) <= 1, made.why
    members = {voter.split("/")[0] for voter in world.config.voters}
    serving = {n for n, a in world.agents.items() if a.phase in ("Leading", "Following")}
    for hit in hits:
        target = hit.name.removesuffix("-0") if isinstance(hit, ObjectRef) else getattr(hit, "instance", None)
        if target in serving:
            assert members <= serving, f"{made.why} while {members - serving} are down"
            others = [name for name in serving if name != world.leader and not is_log(name)]
            assert target != world.leader or not others, f"the writer is interrupted: {made.why}"
        if isinstance(hit, (Restart, Switchover)):
            assert world.leader not in unreachable
    if "deletionTimestamp" in resource["metadata"]:
        return
    if names.ANNOTATION_ACCEPT_DATA_LOSS in resource["metadata"].get("annotations", {}):
        # Somebody gives copies up: those that run, and all volumes, stay.
        assert not any(ref.kind == "PersistentVolumeClaim" or ref.name in serving for ref in made.delete), made.why
        return
    for ref in made.delete:
        if ref.kind == "StatefulSet":
            assert ref.name != world.leader and ref.name not in members, made.why
        if ref.kind == "PersistentVolumeClaim":
            assert ref.name.removeprefix("data-") not in members, made.why
