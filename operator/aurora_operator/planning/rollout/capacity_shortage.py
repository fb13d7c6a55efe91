"""What to do when a node has no room for the capacity that a load asks for: say so, and let the writer go where there
is room. Readers that follow the writer ask for the same capacity, so who has it has shown that its node can give it."""

from __future__ import annotations

from typing import Final

from aurora_operator.api.base import reasons
from aurora_operator.api.spec.capacity import CapacityStatus
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.view.facts import Facts

NO_ROOM: Final = "its node has no room for the capacity that the load asks for"
_REASONS: Final = {"Waiting": reasons.WAITING_FOR_SCALING_POINT, "RolledBack": reasons.CAPACITY_CHANGE_ROLLED_BACK}
WORTH: Final = 1.25
"""A switchover costs a moment without writes: only somebody who has so much more is worth it."""


def held_back(facts: Facts) -> tuple[str, ...]:
    """The instances that have less than their load asks for, and what to do about it, two sentences each."""
    return tuple(
        f"{agent.name} has {agent.capacity.now:g} of {agent.capacity.wanted:g} ACU: "
        f"{agent.capacity.obstacle.rstrip('. ')}. {_advice(facts.node_of(agent.name), agent.capacity.obstacle)}"
        for agent in sorted(facts.answering, key=lambda agent: agent.name)
        if agent.capacity is not None and agent.capacity.obstacle is not None
    )


def _advice(node: str | None, obstacle: str) -> str:
    where = f"node {node}" if node is not None else "its node"
    if "Infeasible" in obstacle:
        return (
            f"Even empty, {where} is too small: lower maxCapacity; or add a larger node to its zone, cordon this one, "
            "and delete the instance's pod (the writer's after a switchover)."
        )
    return f"It is asked for again every minute: move other pods off {where}, or add a node to its zone."


def waiting(facts: Facts) -> tuple[str, str] | None:
    """With Serverless v1: why the writer's capacity is not what its load asks for, as a reason and a sentence."""
    leader = facts.leader
    capacity = leader.capacity if leader is not None else None
    if leader is None or capacity is None or capacity.change not in _REASONS:
        return None
    text = f"{leader.name} has {capacity.now:g} of {capacity.wanted:g} ACU: {capacity.reason}."
    return _REASONS[capacity.change], text


def roomier(members: Members, facts: Facts) -> str | None:
    """The reader to which a writer that is held back should hand over, or None."""
    leader = facts.leader
    mine = leader.capacity if leader is not None else None
    if leader is None or mine is None or mine.obstacle is None:
        return None
    able: list[tuple[float, str]] = []
    for ordinal in members.wanted:
        copy = facts.copies.get(ordinal)
        if copy is None or copy.name == leader.name or copy.name not in facts.voting or not facts.healthy(copy):
            continue
        theirs: CapacityStatus | None = copy.agent.capacity if copy.agent is not None else None
        if theirs is not None and theirs.now >= min(mine.wanted, WORTH * mine.now) and theirs.now > mine.now:
            able.append((-theirs.now, copy.name))
    return min(able)[1] if able else None
