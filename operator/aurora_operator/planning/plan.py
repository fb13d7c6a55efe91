"""`plan`: everything that the operator decides, as one function of what was observed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from aurora_operator.api.base import names, reasons
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.assemble import certificates_of, instances, new_record, objects, removed, unused_gateway
from aurora_operator.planning.backup.rehearsal import plan_rehearsal
from aurora_operator.planning.contribution import calls_in_order, deletions_in_order, in_order
from aurora_operator.planning.decide import Decided, decide
from aurora_operator.planning.deletion import FINALIZER, Deletion, is_deleting, is_protected, plan_deletion
from aurora_operator.planning.membership.copy_count import zones_of
from aurora_operator.planning.model.plan_model import (
    AgentCall,
    EventSpec,
    Observed,
    Plan,
    PushSettings,
    StopWriter,
    Supplies,
)
from aurora_operator.planning.objects.compare import matches
from aurora_operator.planning.objects.config import build_settings
from aurora_operator.planning.power.power import Power, gateway_of
from aurora_operator.planning.recovery.lost_copies import sentences
from aurora_operator.planning.rollout import endpoint
from aurora_operator.planning.rollout.moving import Moves
from aurora_operator.planning.rollout.rollout import Rollout
from aurora_operator.planning.settings import choose_settings
from aurora_operator.planning.spec.validation import Verdict, judge
from aurora_operator.planning.status import progress
from aurora_operator.planning.status.events import events_between
from aurora_operator.planning.status.judgement_model import Picture
from aurora_operator.planning.status.status import make_status
from aurora_operator.planning.status.storage_status import storage_said, storage_status
from aurora_operator.planning.view.facts import Facts

STEADY_SECONDS: Final = 10.0
ILL_SECONDS: Final = 3.0
BUSY_SECONDS: Final = 1.0


def plan(observed: Observed, supplies: Supplies, now: datetime) -> Plan:
    """What to do about a cluster. Equal arguments give equal plans; see `planning.model` for how to carry one out."""
    facts = Facts(observed, now)
    verdict = judge(facts)
    if is_deleting(facts):
        return _going(facts, verdict, supplies)
    if verdict.spec is None:
        calls = () if verdict.check is None else (verdict.check,)
        return _report(facts, Picture(verdict, protected=_refused(facts)), Plan(status={}, calls=calls))
    return _staying(facts, verdict, verdict.spec, supplies)


def _going(facts: Facts, verdict: Verdict, supplies: Supplies) -> Plan:
    step = plan_deletion(facts)
    if step.awaits_snapshot and verdict.spec is not None:
        return _staying(facts, verdict, verdict.spec, supplies, step)
    made = Plan(
        status={},
        create=step.create,
        delete=deletions_in_order(step.delete),
        finalizers=step.finalizers,
        why=step.why,
    )
    return _report(facts, Picture(verdict, deleting=step.message), made)


def _refused(facts: Facts) -> bool:
    return facts.metadata.get("deletionTimestamp") is not None and is_protected(facts)


def _staying(
    facts: Facts, verdict: Verdict, spec: AuroraClusterSpec, supplies: Supplies, end: Deletion | None = None
) -> Plan:
    """`end`: it stays only until its final snapshot is there."""
    decided = decide(facts, spec, supplies)
    spec = decided.spec
    members, rollout, volumes, request = decided.members, decided.rollout, decided.volumes, decided.request
    beginning = decided.beginning
    power = decided.power
    settings = choose_settings(
        spec,
        members,
        decided.zones,
        decided.votes,
        facts,
        beginning.origin,
        power.mode,
        draining=decided.readers.going,
    )
    certificates = certificates_of(facts, supplies)
    wanted = objects(facts, decided, certificates, supplies)
    if settings is not None and verdict.raw is not None:
        wanted.append(build_settings(facts.identity, settings, verdict.raw, zones_of(spec, facts)))
    create = [obj for obj in (new_record(facts), endpoint.new_slice(facts)) if obj is not None]
    wanted += decided.loss.claims
    wanted += [*beginning.objects, *decided.seeding.objects]
    wanted += instances(facts, decided) if beginning.ready else []
    ip = gateway_of(facts).ip
    if power.diverted and ip:
        repaired = endpoint.diverted_slice(facts, ip, waking=power.mode == "on")
    else:
        repaired = endpoint.repaired_slice(facts)
    wanted += volumes.pokes
    why = [*certificates.why]
    if repaired is not None:
        wanted.append(repaired)
        to = "the gateway" if power.diverted else facts.leader.name if facts.leader else "nobody"
        why.append(f"lead the writer endpoint to {to}")
    seen = facts.observed
    apply = in_order(obj for obj in wanted if not matches(seen.child(obj["kind"], obj["metadata"]["name"]), obj))
    delete = [*volumes.delete, *removed(facts, members, decided.readers), *decided.logs.delete]
    delete += decided.loss.delete
    delete += [*beginning.delete, *decided.seeding.delete]
    calls: list[AgentCall] = []
    if verdict.check is not None:
        calls.append(verdict.check)
    if settings is not None:
        calls += [PushSettings(a.name, settings) for a in facts.answering if a.settings_revision < settings.revision]
    if power.stop is not None:
        calls.append(StopWriter(power.stop))
        why.append(f"stop {power.stop} in order: {power.message}")
    why += [*decided.loss.why, *decided.seeding.why, *request.why]
    delete += unused_gateway(facts, power)
    if decided.loss.call is not None:
        calls.append(decided.loss.call)
    if rollout.now is not None:
        delete += [rollout.now.delete] if rollout.now.delete is not None else []
        calls += [rollout.now.call] if rollout.now.call is not None else []
        why.append(rollout.now.why)
    why += [
        *volumes.why,
        *decided.logs.why,
    ]
    backups = decided.backups
    rehearsals = plan_rehearsal(spec, facts, backups.status)
    create += [*rehearsals.create, *(end.create if end is not None else ())]
    delete += rehearsals.delete
    calls += [backups.call] if backups.call is not None else []
    why += [*backups.why, *rehearsals.why]
    finalizers = tuple(facts.metadata.get("finalizers") or ())
    adds = FINALIZER not in finalizers and facts.metadata.get("deletionTimestamp") is None
    picture = Picture(
        verdict=verdict,
        wanted=members.wanted,
        present=members.present,
        zones=decided.zones,
        voters=settings.voters if settings is not None else (),
        asleep=(power.phase, power.message) if power.phase is not None else None,
        power_said=power.conditions,
        votes=decided.votes,
        losses=decided.losses,
        moves=_moved(decided, facts),
        data_loss=decided.loss.statement,
        backup=rehearsals.backup,
        backup_said=backups.said,
        rehearsal_said=rehearsals.said,
        progress=progress.under_way(facts, members, decided.votes, settings, rollout, volumes, verdict, beginning),
        switching=rollout.now is not None and rollout.now.kind == "switchover",
        faults=(
            *([decided.loss.message] if decided.loss.message is not None else []),
            *sentences(spec, decided.losses, facts),
            *progress.faults(facts, spec, members, decided.votes, volumes),
            *backups.faults,
        ),
        readers=decided.readers.status,
        storage=storage_status(volumes.growths, facts, spec.storage.autoscaling),
        storage_said=storage_said(volumes.growths, facts),
        protected=_refused(facts),
        deleting=_until_its_end(end, power, facts) if end is not None else None,
        origin=beginning.status,
    )
    made = Plan(
        status={},
        apply=apply,
        create=in_order(create),
        delete=deletions_in_order(delete),
        calls=calls_in_order(calls),
        annotations={
            **request.annotations,
            **decided.loss.annotations,
            **beginning.annotations,
            **backups.annotations,
            **rehearsals.annotations,
            **({names.ANNOTATION_WAKE: None} if power.woken else {}),
        },
        wakes=beginning.wakes,
        finalizers=(*finalizers, FINALIZER) if adds else None,
        events=(*decided.loss.events, *request.events, *_told(rollout), *backups.events, *rehearsals.events),
        why=(
            *why,
            *(f"create {obj['kind']} {obj['metadata']['name']}" for obj in in_order(create)),
            *(f"apply {obj['kind']} {obj['metadata']['name']}" for obj in apply),
        ),
    )
    return _report(facts, picture, made)


def _until_its_end(end: Deletion, power: Power, facts: Facts) -> str:
    return end.message if facts.leader is not None or power.mode != "on" else f"{end.message} {power.message}"


def _report(facts: Facts, picture: Picture, made: Plan) -> Plan:
    """The plan, with status and events, and when to look again."""
    status = make_status(facts, picture)
    events = (*made.events, *events_between(facts.before, status))
    pause = {"Degraded": ILL_SECONDS, "Unavailable": ILL_SECONDS}
    pause |= dict.fromkeys(("Ready", "Blocked", "Paused", "Stopped"), STEADY_SECONDS)
    seconds = BUSY_SECONDS if made.changes else pause.get(status["phase"], BUSY_SECONDS)
    return replace(made, status=status, events=events, requeue_seconds=seconds)


def _told(rollout: Rollout) -> list[EventSpec]:
    now = rollout.now
    return [EventSpec("Normal", reasons.READER_MOVED, now.why)] if now is not None and now.kind == "move" else []


def _moved(decided: Decided, facts: Facts) -> Moves:
    """With what is done now."""
    now = decided.rollout.now
    if now is None or now.kind != "move":
        return decided.moves
    return replace(decided.moves, tried={**decided.moves.tried, now.instance: facts.now.replace(microsecond=0)})
