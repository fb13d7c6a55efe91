"""What is said about the cluster: phase, members, durability, conditions."""

from __future__ import annotations

from typing import Any, Final

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.api.base.conditions import (
    BACKUP_HEALTHY,
    RECONCILED,
    RESTORE_REHEARSED,
    TROUBLES,
    Condition,
    set_condition,
)
from aurora_operator.api.status import AuroraClusterStatus, MemberStatus
from aurora_operator.planning.access.endpoints import endpoints_of
from aurora_operator.planning.autoscaling.readers import TIER as ADDED_TIER
from aurora_operator.planning.status.durability import durability_status
from aurora_operator.planning.status.judgement import Judgement, judge_state
from aurora_operator.planning.status.judgement_model import Picture
from aurora_operator.planning.status.member_status import log_members, member_message, position_of
from aurora_operator.planning.view.facts import Facts

_OPTIONAL: Final = frozenset({BACKUP_HEALTHY, RESTORE_REHEARSED, *TROUBLES})
"""Conditions that are not there while nobody states them."""


def make_status(facts: Facts, picture: Picture) -> dict[str, Any]:
    """The whole status, as Kubernetes stores it."""
    before = facts.before
    durability = durability_status(facts, picture)
    members = _members(facts, picture)
    instances = [member for member in members if member.kind == "instance"]
    judgement = judge_state(facts, picture, before, durability)
    ready = sum(member.ready for member in instances)
    generation = facts.metadata.get("generation")
    leader = facts.leader
    status = AuroraClusterStatus(
        observed_generation=generation,
        phase=judgement.phase,
        message=judgement.message,
        # An epoch never goes back; a writer that we merely cannot see may be there all the same.
        writer=leader.name if leader is not None else (before.writer if facts.blind else None),
        epoch=leader.epoch if leader is not None else before.epoch,
        instances=len(instances),
        ready_instances=ready,
        ready=f"{ready}/{len(picture.wanted)}",
        selector=",".join(f"{key}={value}" for key, value in sorted(facts.identity.pod_selector.items())),
        engine_version=_version(facts) or before.engine_version,
        members=members,
        durability=durability,
        conditions=_conditions(facts, picture, before, judgement),
        **{
            "origin": before.origin,
            "endpoints": endpoints_of(facts),
            "binding": before.binding,
            "rolled_out_generation": before.rolled_out_generation,
            **picture.fields,
        },
    )
    return status.to_kubernetes()


def _conditions(
    facts: Facts, picture: Picture, before: AuroraClusterStatus, judgement: Judgement
) -> tuple[Condition, ...]:
    said = (*judgement.conditions, *picture.conditions)
    # That the operator failed to do something is said by who tried, and only while it fails.
    gone = {RECONCILED, *(_OPTIONAL - {condition.type for condition in said})}
    conditions = tuple(c for c in before.conditions if c.type not in gone)
    for type_, status, reason, message in said:
        conditions = set_condition(
            conditions,
            type_,
            status,
            reason,
            message[:32768],
            now=facts.now,
            observed_generation=facts.metadata.get("generation"),
        )
    return conditions


def _members(facts: Facts, picture: Picture) -> tuple[MemberStatus, ...]:
    spec = picture.verdict.spec
    ordinals = picture.present or tuple(facts.existing)
    voting = facts.voting or set(picture.voters)
    members = []
    for ordinal in ordinals:
        copy = facts.copies.get(ordinal)
        name = names.instance_name(facts.name, ordinal)
        tier = spec.promotion_tier_of(ordinal) if spec is not None else 1
        zone = picture.zones.get(ordinal, copy.zone if copy is not None else None)
        if copy is None:
            members.append(MemberStatus(name=name, role="none", zone=zone, tier=tier, message="It is being created."))
            continue
        position = position_of(facts, copy)
        agent, replica = copy.agent, facts.replicas.get(name)
        tier = ADDED_TIER if copy.added else tier
        lag_bytes = replica.lag_bytes if replica is not None else (agent.lag_bytes if agent is not None else None)
        lag_seconds = replica.lag_seconds if replica is not None else (agent.lag_seconds if agent is not None else None)
        leads = facts.leader is not None and facts.leader.name == name
        members.append(
            MemberStatus(
                name=name,
                role=agent.role if agent is not None else "none",
                zone=zone,
                tier=tier,
                ready=copy.pod_ready and (agent is None or agent.role != "none"),
                voting=name in voting,
                phase=copy.phase,
                lag_bytes=0 if leads else lag_bytes,
                lag_seconds=0 if leads else lag_seconds,
                pending_restart=agent.pending_restart if agent is not None else (),
                position=position,
                ailment=agent.ailment if agent is not None else None,
                missing_since=picture.losses.since.get(name),
                message=member_message(copy),
                too_small_since=picture.moves.since.get(name),
                moved_at=picture.moves.tried.get(name),
                **_capacity(agent),
            )
        )
    return (*members, *log_members(facts, picture, voting))


def _capacity(agent: AgentStatus | None) -> dict[str, Any]:
    capacity = agent.capacity if agent is not None else None
    if capacity is None:
        return {}
    return {
        "capacity": capacity.now,
        "wanted_capacity": capacity.wanted,
        "capacity_reason": capacity.obstacle or capacity.reason or None,
        "capacity_change": capacity.change,
    }


def _version(facts: Facts) -> str | None:
    return facts.leader.server_version if facts.leader is not None else None
