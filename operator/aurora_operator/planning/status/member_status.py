"""What is said about single copies."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.api.status import MemberStatus
from aurora_operator.planning.status.judgement_model import Picture
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.view.position import parse_position, position_text

POSITION_BYTES: Final = 16 << 20
"""A position is written anew when it has moved so far: an idle or steadily writing cluster causes few writes."""


def log_members(facts: Facts, picture: Picture, voting: Collection[str]) -> tuple[MemberStatus, ...]:
    """The log copies, by number."""
    members = []
    votes = picture.votes
    numbers = votes.present_logs if votes is not None else tuple(n for n, c in facts.log_copies.items() if c.exists)
    for number in numbers:
        copy, name = facts.log_copies.get(number), names.log_name(facts.name, number)
        zone = votes.logs.get(number) if votes is not None else None
        if copy is None:
            message = "It is being created."
            members.append(MemberStatus(name=name, kind="log", role="none", zone=zone, message=message))
            continue
        agent, replica = copy.agent, facts.replicas.get(name)
        behind = facts.leader.lsn - replica.flush_lsn if facts.leader is not None and replica is not None else None
        members.append(
            MemberStatus(
                name=name,
                kind="log",
                role="log" if agent is not None else "none",
                zone=copy.zone or zone,
                tier=0,
                ready=copy.pod_ready,
                voting=name in voting,
                phase=copy.phase,
                lag_bytes=max(behind, 0) if behind is not None else None,
                position=position_of(facts, copy),
                ailment=agent.ailment if agent is not None else None,
                missing_since=picture.losses.since.get(name),
                message=member_message(copy),
            )
        )
    return tuple(members)


def position_of(facts: Facts, copy: Copy) -> str | None:
    """How far the copy's WAL is known to go; of one that cannot be asked, how far it was known to."""
    before = next((m.position for m in facts.before.members if m.name == copy.name), None)
    agent = copy.agent
    if agent is None or not (agent.position_epoch or agent.position_lsn):
        return before
    old = parse_position(before)
    moved = abs(agent.position_lsn - old[1]) >= POSITION_BYTES if old is not None else True
    if old is not None and old[0] == agent.position_epoch and not moved and facts.leader is not None:
        return before
    return position_text(agent.position_epoch, agent.position_lsn)


def member_message(copy: Copy) -> str | None:
    """More about an instance, in a sentence, or None."""
    agent = copy.agent
    if agent is None:
        if copy.stuck is not None:
            return copy.stuck
        if copy.error is not None:
            return f"Unknown, because its agent cannot be reached: {copy.error}"
        return "Its pod is starting." if copy.pod is not None else "It has no pod yet."
    task = agent.task
    if task is not None and task.total_bytes > 0:
        percent = min(100, 100 * task.done_bytes // task.total_bytes)
        source = f" from {task.source}" if task.source else ""
        return f"{task.kind}{source}: {percent}% of {task.total_bytes >> 20} MiB in {task.seconds:.0f} s"
    if task is not None:
        return f"{task.kind} for {task.seconds:.0f} s"
    return agent.message or None
