"""Voluntary disruptions: at most one at a time, and none while anything is wrong or unknown.

Log copies and readers first, each waiting for the one before to be back and up to date; then a switchover away from
the writer; then the old writer, which is a reader by then. Only a pod that cannot run as it is may be replaced at any
time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.model.plan_model import AgentCall, ObjectRef, Restart, Switchover
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.instance import ANNOTATION_TEMPLATE
from aurora_operator.planning.rollout.moving import Moves
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts

_BUSY: Final = frozenset({"Initialising", "Cloning", "Recovering", "Rewinding", "Promoting", "Electing", "Resigning"})
"""Phases that lead somewhere, and would begin again after an interruption."""

Kind = Literal["replace", "restart", "switchover", "move"]


@dataclass(frozen=True)
class Disruption:
    """One deliberate interruption."""

    kind: Kind
    instance: str
    why: str
    delete: ObjectRef | None = None
    call: AgentCall | None = None


@dataclass(frozen=True)
class Rollout:
    """What is to be interrupted now, and what still waits."""

    now: Disruption | None = None
    outdated: tuple[str, ...] = ()
    """Instances whose pod or PostgreSQL has yet to be restarted."""
    waits_for: str | None = None
    """What stands in the way."""
    lacks: str | None = None
    """What new pods need that does not exist, see `rollout.prerequisites`."""


def plan_rollout(
    spec: AuroraClusterSpec,
    members: Members,
    votes: Votes,
    templates: Mapping[str, str],
    facts: Facts,
    *,
    requested: str | None = None,
    requested_because: str = "it was asked for",
    moves: Moves | None = None,
    held: str | None = None,
    lacking: Collection[str] = (),
) -> Rollout:
    """The one thing to do next. `templates` are the fingerprints that pods should have, by name; `requested` is the
    instance that should be the writer, and why; `moves` are pods that would be better off on another node. `held` says
    what pods that are merely out of date have to wait for. The pods of those `lacking` could not be made again: they
    are not taken down."""
    logs = _logs(votes, facts)
    copies = [*_copies(facts, members.present), *logs]
    outdated = [copy for copy in _outdated(copies, templates) if copy.name not in lacking]
    pending = [c for c in copies if c not in outdated and c.agent is not None and c.agent.pending_restart]
    due = [] if held is not None else outdated
    todo = tuple(c.name for c in (*due, *pending))
    for copy in outdated:
        if copy.stuck is not None and _will_be_new(copy, templates):
            return Rollout(_replace(copy, f"its pod cannot run: {copy.stuck}"), todo)
        if _given_up(copy) and _will_be_new(copy, templates):
            return Rollout(_replace(copy, "it is out of date, and its agent has given up"), todo)
    for copy in copies:
        if moves is not None and copy.name in moves.smaller and copy.name not in lacking:
            return Rollout(_replace(copy, moves.smaller[copy.name]), todo)
    leader = facts.leader
    needed = bool(todo or requested or members.writer_leaving is not None)
    if leader is None:
        return Rollout(None, todo, "no open writer is known" if needed else None)
    if requested is not None and requested != leader.name:
        return _hand_over(spec, members, facts, todo, requested_because, requested)
    blocked = _unsettled(members, votes, facts)
    if blocked is not None:
        down = [c for c in outdated if not facts.healthy(c) and c.name != leader.name and c.phase not in _BUSY]
        for copy in down:
            if _will_be_new(copy, templates) and not is_leaving(copy.pod) and _others_fine(copy, copies, facts):
                return Rollout(_replace(copy, "it is out of date, and down anyway"), todo)
        return Rollout(None, todo, blocked if needed else None)
    readers = sorted(
        (c for c in copies if c.name != leader.name and c.kind == "instance"),
        key=lambda c: (-spec.promotion_tier_of(c.ordinal), -c.ordinal),
    )
    # Log copies first: nobody is connected to them, and what is wrong with an image shows where it hurts least.
    for copy in (*logs, *readers):
        if copy in due:
            if not _will_be_new(copy, templates):
                return Rollout(None, todo, f"the StatefulSet of {copy.name} is being updated")
            return Rollout(_replace(copy, "its pod is out of date"), todo)
        if copy in pending:
            parameters = ", ".join(copy.agent.pending_restart) if copy.agent is not None else ""
            why = f"PostgreSQL of {copy.name} restarts for {parameters}"
            return Rollout(Disruption("restart", copy.name, why, call=Restart(copy.name)), todo)
    if members.writer_leaving is not None:
        return _hand_over(spec, members, facts, todo, "the writer is to be removed")
    if leader.name in todo:
        if readers:
            return _hand_over(spec, members, facts, todo, "the writer has to be restarted")
        writer = facts.copies[members.wanted[0]]
        if writer in due and not _will_be_new(writer, templates):
            return Rollout(None, todo, f"the StatefulSet of {writer.name} is being updated")
        return Rollout(_replace(writer, "it has to be restarted, and no other instance can take over"), todo)
    for copy in readers:
        if moves is not None and copy.name in moves.elsewhere and copy.name not in lacking:
            return Rollout(replace(_replace(copy, moves.elsewhere[copy.name]), kind="move"), todo)
    return Rollout(None, todo)


def outdated_copies(members: Members, votes: Votes, templates: Mapping[str, str], facts: Facts) -> tuple[str, ...]:
    """The copies whose pod is not what it should be."""
    copies = [*_copies(facts, members.present), *_logs(votes, facts)]
    return tuple(copy.name for copy in _outdated(copies, templates))


def _outdated(copies: Iterable[Copy], templates: Mapping[str, str]) -> list[Copy]:
    return [c for c in copies if c.pod is not None and c.name in templates and c.template != templates[c.name]]


def _logs(votes: Votes, facts: Facts) -> list[Copy]:
    there = (n for n in votes.present_logs if n in facts.log_copies and n not in votes.leaving_logs)
    return [facts.log_copies[n] for n in there]


def best_target(spec: AuroraClusterSpec, members: Members, facts: Facts) -> Copy | None:
    """Who should take over: among those that can, the lowest tier, then the largest, then the least behind."""
    able = [c for c in _copies(facts, members.wanted) if _able(c, facts)]

    def order(copy: Copy) -> tuple[int, int, int, int]:
        replica = facts.replicas.get(copy.name)
        size = spec.resources_of(copy.ordinal).memory_bytes
        lag = replica.lag_bytes if replica is not None else 0
        return (spec.promotion_tier_of(copy.ordinal), -size, lag, copy.ordinal)

    return min(able, key=order, default=None)


def _able(copy: Copy, facts: Facts) -> bool:
    leader = facts.leader
    return leader is not None and copy.name != leader.name and facts.healthy(copy) and copy.name in facts.voting


def _hand_over(
    spec: AuroraClusterSpec,
    members: Members,
    facts: Facts,
    todo: tuple[str, ...],
    why: str,
    requested: str | None = None,
) -> Rollout:
    leader = facts.leader
    if requested is None:
        target = best_target(spec, members, facts)
    else:
        target = next((c for c in _copies(facts, members.wanted) if c.name == requested and _able(c, facts)), None)
    if leader is None or target is None or not facts.quorum_streams:
        who = requested or "any other instance"
        return Rollout(None, todo, f"a switchover waits until {who} is healthy and up to date")
    call = Switchover(leader.name, target.name)
    text = f"switch over from {leader.name} to {target.name}: {why}"
    return Rollout(Disruption("switchover", leader.name, text, call=call), todo)


def _unsettled(members: Members, votes: Votes, facts: Facts) -> str | None:
    """What is not as it should be, so that nothing may be interrupted on purpose."""
    settings, leader, config = facts.settings, facts.leader, facts.config
    for ordinal in members.wanted:
        copy = facts.copies.get(ordinal)
        if copy is None or not facts.healthy(copy):
            return f"{names.instance_name(facts.name, ordinal)} is not up to date yet"
    for number in votes.logs:
        log_copy = facts.log_copies.get(number)
        if log_copy is None or not facts.healthy(log_copy):
            return f"{names.log_name(facts.name, number)} is not up to date yet"
    if members.leaving:
        return "instances are being removed"
    if votes.leaving_logs or votes.stand_ins:
        return "log copies are being removed"
    if settings is None or leader is None or config is None or leader.settings_revision < settings.revision:
        return "the writer has not taken the newest settings yet"
    if not facts.votes_settled:
        return "the membership is changing"
    return None if facts.quorum_streams else "too few copies are up to date"


def _others_fine(copy: Copy, copies: Iterable[Copy], facts: Facts) -> bool:
    if not facts.quorum_streams or facts.streaming(copy.name):
        return False
    return all(c is copy or facts.healthy(c) or not _serves(c) for c in copies)


def _given_up(copy: Copy) -> bool:
    return copy.agent is not None and copy.agent.phase == "Failed" and not _serves(copy) and not is_leaving(copy.pod)


def _serves(copy: Copy) -> bool:
    return copy.agent is not None and copy.agent.role != "none"


def _will_be_new(copy: Copy, templates: Mapping[str, str]) -> bool:
    """Whether the StatefulSet controller would make the next pod from the template that we want."""
    statefulset = copy.statefulset
    if statefulset is None or is_leaving(statefulset):
        return False
    annotations = statefulset["spec"]["template"]["metadata"].get("annotations") or {}
    seen = (statefulset.get("status") or {}).get("observedGeneration")
    generation = statefulset["metadata"].get("generation")
    return annotations.get(ANNOTATION_TEMPLATE) == templates.get(copy.name) and seen == generation


def _replace(copy: Copy, why: str) -> Disruption:
    metadata = copy.pod["metadata"] if copy.pod is not None else {}
    reference = ObjectRef("Pod", names.pod_name(copy.name), metadata.get("uid"))
    return Disruption("replace", copy.name, f"replace the pod of {copy.name}: {why}", delete=reference)


def _copies(facts: Facts, ordinals: Iterable[int]) -> list[Copy]:
    return [facts.copies[o] for o in ordinals if o in facts.copies]
