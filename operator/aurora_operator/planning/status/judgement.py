"""The state of a cluster in one word, in a sentence, and in conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import AVAILABLE, CAPACITY_MET, DEGRADED, PROGRESSING, READY
from aurora_operator.api.status import AuroraClusterStatus, ClusterPhase, DurabilityStatus
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.rollout.capacity_shortage import held_back, waiting
from aurora_operator.planning.status.durability import durability_condition, without_writer
from aurora_operator.planning.status.judgement_model import Picture
from aurora_operator.planning.view.facts import Facts


@dataclass(frozen=True)
class Judgement:
    """The verdict on the state."""

    phase: ClusterPhase
    message: str
    conditions: tuple[Condition, ...]


_MOVING: frozenset[ClusterPhase] = frozenset(
    {"Creating", "Updating", "SwitchingOver", "Stopping", "Resuming", "Deleting"}
)
_ILL: frozenset[ClusterPhase] = frozenset({"Degraded", "FailingOver", "Unavailable"})
_HAND_OVER_TIME = timedelta(seconds=30)
"""A switchover that takes longer has become a failover."""


def judge_state(
    facts: Facts, picture: Picture, before: AuroraClusterStatus, durability: DurabilityStatus | None
) -> Judgement:
    """Phase, message and the conditions that are about the whole."""
    phase, message = _phase(facts, picture, before, durability)
    if picture.protected:
        message = (
            "Deletion was asked for, and is refused while deletionProtection is true: set it to false to let the "
            f"cluster go. {message}"
        )
    unknown = facts.blind and picture.deleting is None
    writes = facts.leader is not None and durability is not None and durability.write_available
    ill = phase in _ILL or bool(picture.faults)
    illness = phase if phase in _ILL else reasons.FAULT if ill else reasons.ALL_WELL
    why_ill = (" ".join(picture.faults) or message) if ill else ""
    conditions: list[Condition] = [
        _condition(READY, phase == "Ready", reasons.AS_SPECIFIED if phase == "Ready" else phase, message, unknown),
        _condition(
            AVAILABLE, writes, reasons.WRITER_OPEN if writes else phase, _writer(facts) if writes else message, unknown
        ),
        _condition(PROGRESSING, phase in _MOVING, phase if phase in _MOVING else reasons.SETTLED, message, unknown),
        _condition(DEGRADED, ill, illness, why_ill, unknown),
        durability_condition(facts, picture, durability),
        *_capacity(facts),
    ]
    return Judgement(phase, message, tuple(conditions))


def _condition(type_: str, holds: bool, reason: str, message: str, unknown: bool) -> Condition:
    if unknown:
        return Condition(
            type_, "Unknown", reasons.AGENTS_UNREACHABLE, "No agent can be reached, so the state is not known."
        )
    return Condition(type_, "True" if holds else "False", reason, message)


def _phase(
    facts: Facts, picture: Picture, before: AuroraClusterStatus, durability: DurabilityStatus | None
) -> tuple[ClusterPhase, str]:
    new = before.phase in (None, "Creating") or (before.phase == "Blocked" and not facts.initialised)
    if picture.deleting is not None:
        return "Deleting", picture.deleting
    if picture.verdict.spec is None:
        return "Blocked", picture.verdict.message
    if picture.decided is not None:
        phase, message = picture.decided
        return phase, " ".join((message, *picture.faults))
    if facts.blind:
        errors = "; ".join(sorted({copy.error for copy in facts.all_copies.values() if copy.error is not None}))
        return before.phase or "Creating", f"No agent can be reached, so the state is not known: {errors}"
    if facts.leader is None:
        return _without_leader(facts, picture, before, durability, new)
    assert durability is not None  # noqa: S101  there is an accepted spec
    if not durability.write_available and not new:
        return "Unavailable", f"Writes wait: {_what_for(facts, durability)} Reads go on. {_until(picture)}"
    if picture.switching:
        return "SwitchingOver", " ".join(picture.progress)
    if picture.verdict.status == "False":
        return "Blocked", picture.verdict.message
    wanted = _wanted(facts, picture)
    ill = tuple(name for name in wanted if name in facts.all_copies and not facts.healthy(facts.all_copies[name]))
    missing = [name for name in wanted if name not in facts.all_copies]
    if not ill and not missing and not picture.progress and not picture.faults:
        count = len(picture.wanted)
        return "Ready", f"{_writer(facts)} {count} of {count} instances are ready."
    text = " ".join((*picture.faults, *picture.progress)) or f"Not up to date: {', '.join(ill)}."
    if new:
        return "Creating", text
    if picture.faults:
        return "Degraded", text
    failed = any(facts.all_copies[name].phase == "Failed" for name in wanted if name in facts.all_copies)
    if not failed and (picture.progress or before.phase in ("Updating", "SwitchingOver", "Resuming")):
        return "Updating", text
    return "Degraded", f"Not up to date: {', '.join(ill)}." if ill else text


def _what_for(facts: Facts, durability: DurabilityStatus) -> str:
    """Which of what a commit needs is not there."""
    streaming = len(facts.acknowledging)
    needs = f"a commit needs {durability.write_quorum}"
    if streaming < durability.write_quorum:
        return f"{streaming} copies stream, the writer included, and {needs}."
    waited = facts.leader.commits_wait_seconds if facts.leader is not None else None
    return f"{streaming} copies stream, and {needs}, but for {waited or 0:.0f} s too few of them have acknowledged any."


def _wanted(facts: Facts, picture: Picture) -> list[str]:
    """The copies that should be there and well."""
    logs = picture.votes.logs if picture.votes is not None else {}
    return [
        *(names.instance_name(facts.name, ordinal) for ordinal in picture.wanted),
        *(names.log_name(facts.name, number) for number in sorted(logs)),
    ]


def _without_leader(
    facts: Facts, picture: Picture, before: AuroraClusterStatus, durability: DurabilityStatus | None, new: bool
) -> tuple[ClusterPhase, str]:
    progress = " ".join((*picture.faults, *picture.progress))
    if new:
        return "Creating", progress or "The first writer is being prepared."
    phases = {agent.phase for agent in facts.answering}
    obstacle = without_writer(facts, picture, durability) if durability is not None else None
    if obstacle is not None:
        return "Unavailable", f"{obstacle} {progress}".rstrip()
    if "Resigning" in phases or (before.phase == "SwitchingOver" and facts.closed_for < _HAND_OVER_TIME):
        return "SwitchingOver", "The writer is handing over."
    return "FailingOver", "There is no open writer; the instances are electing one."


def _until(picture: Picture) -> str:
    spec = picture.verdict.spec
    delay = spec.durability.repair_delay_seconds if spec is not None else 60
    return f"After {delay} s without more of them, writes go on with the copies that are left, if those know all."


def _writer(facts: Facts) -> str:
    leader = facts.leader
    return f"{leader.name} is the writer, in epoch {leader.epoch}." if leader is not None else ""


def _capacity(facts: Facts) -> list[Condition]:
    if all(agent.capacity is None for agent in facts.answering):
        return []
    short = held_back(facts)
    if short:
        return [Condition(CAPACITY_MET, "False", reasons.NODE_TOO_SMALL, " ".join(short))]
    held = waiting(facts)
    if held is not None:
        return [Condition(CAPACITY_MET, "False", *held)]
    return [
        Condition(
            CAPACITY_MET, "True", reasons.AS_THE_LOAD_ASKS, "Each instance has the capacity that its load asks for."
        )
    ]
