"""Serverless instances and the nodes that they are on: a reader whose node is too small for what it needs begins again
on a larger one, and a pod that finds no node begins smaller. Pure.

The scheduler chooses the node: a pod that asks for more than a node has cannot come back to it. What was tried is
remembered in the status of the members.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from aurora_operator.api.spec.capacity import ACU_BYTES, ACU_CPU_MILLIS, STEP, CapacityRange
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.model.plan_model import Node, parse_time
from aurora_operator.planning.objects.instance import capacity_of_pod, start_of
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts

LASTING: Final = timedelta(minutes=5)
"""A reader begins again elsewhere only when its node has been too small for so long."""
AGAIN: Final = timedelta(days=1)
"""Each time costs its sessions: where it did not help, it is not tried again for so long."""
PATIENCE: Final = timedelta(seconds=15)
"""A pod that finds no node for so long begins smaller."""
_LACKS: Final = ("Insufficient memory", "Insufficient cpu")
_INFEASIBLE: Final = "Infeasible"


@dataclass(frozen=True)
class Moves:
    """What is to be done."""

    starts: Mapping[int, float] = field(default_factory=dict)
    """With what the next pod of an instance should start, in ACU, by ordinal."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Readers whose pod is to be replaced once nothing else is under way, and why."""
    smaller: Mapping[str, str] = field(default_factory=dict)
    """Instances whose pod, which has no node, is to be replaced at once, and why."""
    since: Mapping[str, datetime] = field(default_factory=dict)
    """Since when nodes have been too small."""
    tried: Mapping[str, datetime] = field(default_factory=dict)
    """When instances began again elsewhere last."""


NONE: Final = Moves()


def plan_moves(spec: AuroraClusterSpec, members: Members, facts: Facts) -> Moves:
    """At most one reader moves."""
    starts: dict[int, float] = {}
    elsewhere: dict[str, str] = {}
    smaller: dict[str, str] = {}
    since: dict[str, datetime] = {}
    before = {m.name: m for m in facts.before.members}
    tried = {name: m.moved_at for name, m in before.items() if m.moved_at is not None}
    for ordinal in sorted(members.wanted, key=lambda o: (-spec.promotion_tier_of(o), -o)):
        copy, limits = facts.copies.get(ordinal), spec.capacity_of(ordinal)
        if copy is None or limits is None:
            continue
        recently = copy.name in tried and facts.now - tried[copy.name] < AGAIN
        # Where it was before it moved it had less than the least: rather that than no reader.
        less = _smaller(copy, limits.model_copy(update={"least": STEP}) if recently else limits, facts.now)
        if less is not None:
            starts[ordinal] = less
            if _starts_with(copy, less):
                smaller[copy.name] = f"no node has room for it, so it starts with {less:g} ACU"
            continue
        known = before.get(copy.name)
        begun = _too_small_since(copy, known.too_small_since if known is not None else None, facts.now)
        if begun is None:
            continue
        since[copy.name] = begun
        if elsewhere or recently or facts.now - begun < LASTING or not _may_move(copy, facts):
            continue
        wanted = limits.at_least(copy.agent.capacity.wanted) if copy.agent and copy.agent.capacity else 0.0
        node = larger_node(facts, copy, wanted)
        if node is not None:
            starts[ordinal] = wanted
            if _starts_with(copy, wanted):
                elsewhere[copy.name] = f"its node is too small for {wanted:g} ACU, and {node.name} is not"
            break
    return Moves(starts, elsewhere, smaller, since, tried)


def larger_node(facts: Facts, copy: Copy, acu: float) -> Node | None:
    """A node of the same zone that is large enough for that capacity, if it were empty; the largest."""
    here = facts.node_of(copy.name)
    memory, cpu = acu * ACU_BYTES, acu * ACU_CPU_MILLIS
    zone = next((n.zone for n in facts.observed.nodes if n.name == here), copy.zone)
    able = [
        n
        for n in facts.nodes
        if n.name != here and n.zone == zone and n.ready and not n.cordoned
        if n.memory_bytes >= memory and n.cpu_millis >= cpu
    ]
    return max(able, key=lambda n: (n.memory_bytes, n.name), default=None)


def _may_move(copy: Copy, facts: Facts) -> bool:
    return facts.leader is not None and copy.name != facts.leader.name and facts.healthy(copy)


def _too_small_since(copy: Copy, before: datetime | None, now: datetime) -> datetime | None:
    """The agent asks again every minute; until it has what it wants, its node is too small."""
    capacity = copy.agent.capacity if copy.agent is not None else None
    if capacity is None or capacity.now >= capacity.wanted:
        return None
    if before is not None:
        return before
    return now.replace(microsecond=0) if _INFEASIBLE in (capacity.obstacle or "") else None


def _smaller(copy: Copy, limits: CapacityRange, now: datetime) -> float | None:
    """With what a pod should start that is too large for any node that it may be on: half; None if it is not, or
    cannot be smaller."""
    asked = capacity_of_pod(copy.pod)
    if copy.stuck is None or copy.pod is None or asked is None or not any(text in copy.stuck for text in _LACKS):
        return None
    for condition in (copy.pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("lastTransitionTime"):
            if now - parse_time(condition["lastTransitionTime"]) < PATIENCE:
                return None
            half = limits.at_least(asked / 2)
            return half if half < asked else None
    return None


def _starts_with(copy: Copy, acu: float) -> bool:
    """Whether the StatefulSet's controller would make the next pod with it."""
    statefulset = copy.statefulset
    if statefulset is None or start_of(statefulset) != acu:
        return False
    return bool(
        (statefulset.get("status") or {}).get("observedGeneration") == statefulset["metadata"].get("generation")
    )
