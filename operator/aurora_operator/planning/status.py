"""What is said about the cluster: phase, members, durability, conditions."""

from __future__ import annotations

from typing import Any

from aurora_operator.api import names
from aurora_operator.api.agent import AgentStatus
from aurora_operator.api.conditions import RECONCILED, SPEC_ACCEPTED, Condition, set_condition
from aurora_operator.api.status import AuroraClusterStatus, DurabilityStatus, Endpoints, MemberStatus
from aurora_operator.planning.copies import Copy
from aurora_operator.planning.facts import Facts
from aurora_operator.planning.judgement import Judgement, Picture, judge_state


def make_status(facts: Facts, picture: Picture) -> dict[str, Any]:
    """The whole status, as Kubernetes stores it."""
    before = facts.before
    durability = _durability(facts, picture)
    members = _members(facts, picture)
    judgement = judge_state(facts, picture, before, durability)
    ready = sum(member.ready for member in members)
    generation = facts.metadata.get("generation")
    leader = facts.leader
    status = AuroraClusterStatus(
        observed_generation=generation,
        phase=judgement.phase,
        message=judgement.message,
        # An epoch never goes back; a writer that we merely cannot see may be there all the same.
        writer=leader.name if leader is not None else (before.writer if facts.blind else None),
        epoch=leader.epoch if leader is not None else before.epoch,
        instances=len(members),
        ready_instances=ready,
        ready=f"{ready}/{len(picture.wanted)}",
        selector=",".join(f"{key}={value}" for key, value in sorted(facts.identity.pod_selector.items())),
        engine_version=_version(facts) or before.engine_version,
        endpoints=_endpoints(facts),
        members=members,
        durability=durability,
        origin=picture.origin or before.origin,
        storage=picture.storage,
        conditions=_conditions(facts, picture, before, judgement),
    )
    return status.to_kubernetes()


def _conditions(
    facts: Facts, picture: Picture, before: AuroraClusterStatus, judgement: Judgement
) -> tuple[Condition, ...]:
    verdict = picture.verdict
    # That the operator failed to do something is said by who tried, and only while it fails.
    conditions = tuple(c for c in before.conditions if c.type != RECONCILED)
    said = [*judgement.conditions, (SPEC_ACCEPTED, verdict.status, verdict.reason, verdict.message)]
    said += [picture.storage_said] if picture.storage_said is not None else []
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
        agent, replica = copy.agent, facts.replicas.get(name)
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
                message=member_message(copy),
                **_capacity(agent),
            )
        )
    return tuple(members)


def _capacity(agent: AgentStatus | None) -> dict[str, Any]:
    capacity = agent.capacity if agent is not None else None
    if capacity is None:
        return {}
    return {
        "capacity": capacity.now,
        "wanted_capacity": capacity.wanted,
        "capacity_reason": capacity.obstacle or capacity.reason or None,
    }


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


def _durability(facts: Facts, picture: Picture) -> DurabilityStatus | None:
    spec, config = picture.verdict.spec, facts.config
    if spec is None:
        return None
    if config is None:
        return DurabilityStatus(copies=spec.voting_copies, write_quorum=spec.write_quorum, read_quorum=spec.read_quorum)
    alive = {voter for voter in facts.voting if facts.streaming(voter)}
    read_quorum = max(len(facts.voting) - config.write_quorum + 1, 1)
    zones = {copy.zone for copy in facts.copies.values() if copy.name in alive and copy.zone is not None}
    return DurabilityStatus(
        copies=spec.voting_copies,
        alive_copies=len(alive),
        write_quorum=config.write_quorum,
        read_quorum=read_quorum,
        zones=tuple(sorted(zones)),
        write_available=len(alive) >= config.write_quorum,
        read_available=len(alive) >= read_quorum,
    )


def _endpoints(facts: Facts) -> Endpoints:
    end = f".{facts.identity.namespace}.svc"
    return Endpoints(
        writer=names.writer_service(facts.name) + end,
        reader=names.reader_service(facts.name) + end,
        any=names.any_service(facts.name) + end,
        port=names.POSTGRES_PORT,
        secret=names.app_secret(facts.name),
    )


def _version(facts: Facts) -> str | None:
    return facts.leader.server_version if facts.leader is not None else None
