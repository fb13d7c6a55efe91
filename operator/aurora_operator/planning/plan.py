"""`plan`: everything that the operator decides, as one function of what was observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from aurora_operator.api import names, reasons
from aurora_operator.api.capacity import capacity_resources
from aurora_operator.api.origin import Origin, RestoreOrigin
from aurora_operator.api.spec import AuroraClusterSpec
from aurora_operator.planning import endpoint, progress
from aurora_operator.planning.backup import BackupPlan, backup_settings, plan_backup
from aurora_operator.planning.beginning import Beginning
from aurora_operator.planning.capacity import start_capacity
from aurora_operator.planning.certificates import Certificates, plan_certificates, server_hosts
from aurora_operator.planning.clone import plan_clone
from aurora_operator.planning.compare import matches
from aurora_operator.planning.dataloss import Acceptance, judge_loss
from aurora_operator.planning.deletion import FINALIZER, is_deleting, is_protected, plan_deletion
from aurora_operator.planning.events import events_between
from aurora_operator.planning.facts import Facts
from aurora_operator.planning.judgement_model import Picture
from aurora_operator.planning.logcopies import LogCopies, plan_log_copies
from aurora_operator.planning.members import Members, choose_members
from aurora_operator.planning.model import (
    AgentCall,
    EventSpec,
    ObjectRef,
    Observed,
    Plan,
    PushSettings,
    StopWriter,
    Supplies,
)
from aurora_operator.planning.moving import NONE as NO_MOVES
from aurora_operator.planning.moving import Moves, plan_moves
from aurora_operator.planning.objects import repositories
from aurora_operator.planning.objects.access import build_access, build_disruption_budget, build_log_access
from aurora_operator.planning.objects.common import decode_data, is_leaving
from aurora_operator.planning.objects.config import build_record, build_settings
from aurora_operator.planning.objects.gateway import build_gateway, build_gateway_access
from aurora_operator.planning.objects.instance import Instance, build_statefulset, start_of, template_of
from aurora_operator.planning.objects.network import build_network_policy, build_services
from aurora_operator.planning.objects.pod import LOG
from aurora_operator.planning.objects.repositories import Mount
from aurora_operator.planning.objects.secrets import build_app_secret, build_certificates
from aurora_operator.planning.placement import place
from aurora_operator.planning.power import Power, gateway_of, plan_power
from aurora_operator.planning.preset import zones_of
from aurora_operator.planning.readers import Readers, plan_readers
from aurora_operator.planning.rehearsal import plan_rehearsal
from aurora_operator.planning.relief import NO_ROOM, roomier
from aurora_operator.planning.repair import Losses, find_losses, sentences
from aurora_operator.planning.restore import plan_restore
from aurora_operator.planning.restored import plan_restored
from aurora_operator.planning.rollout import Rollout, plan_rollout
from aurora_operator.planning.seeding import Seeding, plan_seeds
from aurora_operator.planning.settings import bootstrap_of, choose_settings
from aurora_operator.planning.status import make_status
from aurora_operator.planning.storage import Volumes, VolumeSource, may_remove, plan_volumes
from aurora_operator.planning.storage_status import storage_said, storage_status
from aurora_operator.planning.switchover import Request, read_request
from aurora_operator.planning.validation import Verdict, judge
from aurora_operator.planning.voting import Votes, choose_votes
from aurora_operator.planning.waking import woken

STEADY_SECONDS: Final = 10.0
ILL_SECONDS: Final = 3.0
BUSY_SECONDS: Final = 1.0


@dataclass(frozen=True)
class _Decided:
    """The parts of the decision about a cluster that stays."""

    spec: AuroraClusterSpec
    members: Members
    zones: Mapping[int, str | None]
    statefulsets: Mapping[int, dict[str, Any]]
    volumes: Volumes
    losses: Losses
    loss: Acceptance
    votes: Votes
    logs: LogCopies
    rollout: Rollout
    request: Request
    power: Power
    backups: BackupPlan
    beginning: Beginning
    seeding: Seeding
    readers: Readers
    moves: Moves


def plan(observed: Observed, supplies: Supplies, now: datetime) -> Plan:
    """What to do about a cluster. Equal arguments give equal plans; see `planning.model` for how to carry one out."""
    facts = Facts(observed, now)
    verdict = judge(facts)
    if is_deleting(facts):
        return _going(facts, verdict)
    if verdict.spec is None:
        calls = () if verdict.check is None else (verdict.check,)
        return _report(facts, Picture(verdict, protected=_refused(facts)), Plan(status={}, calls=calls))
    return _staying(facts, verdict, verdict.spec, supplies)


def _going(facts: Facts, verdict: Verdict) -> Plan:
    step = plan_deletion(facts)
    made = Plan(status={}, create=step.create, delete=step.delete, finalizers=step.finalizers, why=step.why)
    return _report(facts, Picture(verdict, deleting=step.message), made)


def _refused(facts: Facts) -> bool:
    return facts.metadata.get("deletionTimestamp") is not None and is_protected(facts)


def _staying(facts: Facts, verdict: Verdict, spec: AuroraClusterSpec, supplies: Supplies) -> Plan:
    decided = _decide(facts, spec, supplies)
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
    certificates = _certificates(facts, supplies)
    wanted = _objects(facts, decided, certificates, supplies)
    if settings is not None and verdict.raw is not None:
        wanted.append(build_settings(facts.identity, settings, verdict.raw, zones_of(spec, facts)))
    create = [obj for obj in (_new_record(facts), endpoint.new_slice(facts)) if obj is not None]
    wanted += decided.loss.claims
    wanted += [*beginning.objects, *decided.seeding.objects]
    wanted += _instances(facts, decided) if beginning.ready else []
    ip = gateway_of(facts).ip
    repaired = endpoint.diverted_slice(facts, ip) if power.diverted and ip else endpoint.repaired_slice(facts)
    apply = [obj for obj in wanted if not matches(facts.observed.child(obj["kind"], obj["metadata"]["name"]), obj)]
    why = [*certificates.why, *(f"apply {obj['kind']} {obj['metadata']['name']}" for obj in apply)]
    apply += volumes.pokes
    if repaired is not None:
        apply.append(repaired)
        to = "the gateway" if power.diverted else facts.leader.name if facts.leader else "nobody"
        why.append(f"lead the writer endpoint to {to}")
    delete = [*volumes.delete, *_removed(facts, members, decided.readers), *decided.logs.delete]
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
    delete += _unused_gateway(facts, power)
    if decided.loss.call is not None:
        calls.append(decided.loss.call)
    if rollout.now is not None:
        delete += [rollout.now.delete] if rollout.now.delete is not None else []
        calls += [rollout.now.call] if rollout.now.call is not None else []
        why.append(rollout.now.why)
    why += [
        *(f"create {obj['kind']} {obj['metadata']['name']}" for obj in create),
        *volumes.why,
        *decided.logs.why,
        *decided.loss.why,
        *decided.seeding.why,
        *request.why,
    ]
    backups = decided.backups
    rehearsals = plan_rehearsal(spec, facts, backups.status)
    create += rehearsals.create
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
        origin=beginning.status,
    )
    made = Plan(
        status={},
        apply=tuple(apply),
        create=tuple(create),
        delete=tuple(delete),
        calls=tuple(calls),
        annotations={
            **request.annotations,
            **decided.loss.annotations,
            **beginning.annotations,
            **backups.annotations,
            **rehearsals.annotations,
            **({names.ANNOTATION_WAKE: None} if power.woken else {}),
        },
        finalizers=(*finalizers, FINALIZER) if adds else None,
        events=(*request.events, *decided.loss.events, *backups.events, *rehearsals.events, *_told(rollout)),
        why=tuple(why),
    )
    return _report(facts, picture, made)


def _report(facts: Facts, picture: Picture, made: Plan) -> Plan:
    """The plan, with status and events, and when to look again."""
    status = make_status(facts, picture)
    events = (*made.events, *events_between(facts.before, status))
    pause = {"Degraded": ILL_SECONDS, "Unavailable": ILL_SECONDS}
    pause |= dict.fromkeys(("Ready", "Blocked", "Paused", "Stopped"), STEADY_SECONDS)
    seconds = BUSY_SECONDS if made.changes else pause.get(status["phase"], BUSY_SECONDS)
    return replace(made, status=status, events=events, requeue_seconds=seconds)


def _decide(facts: Facts, own: AuroraClusterSpec, supplies: Supplies) -> _Decided:
    """`own` is the user's spec, without the readers that the load asks for."""
    readers = plan_readers(own, facts)
    spec = readers.spec
    losses, loss = find_losses(own, facts), judge_loss(facts)
    members = choose_members(readers.stay, facts, losses.broken, loss.given_up)
    beginning = _first_data(facts, spec, bootstrap_of(members, facts), supplies)
    placed = {o: copy.zone for o, copy in facts.copies.items() if copy.placed}
    sources: dict[int, VolumeSource] = {}
    if beginning.bootstrap is not None and (beginning.data_source is not None or beginning.least_bytes):
        if beginning.data_source is not None and beginning.pinned:
            placed.setdefault(beginning.bootstrap, beginning.zone)
        sources[beginning.bootstrap] = VolumeSource(beginning.data_source, beginning.least_bytes)
    zones = place(
        spec, members.present, placed, facts.zones, usable=facts.usable_zones or None, leaving=members.leaving
    )
    backups = plan_backup(spec, facts)
    power = plan_power(
        spec,
        members,
        facts,
        facts.observed.operator.auto_pause_seconds,
        backing_up=backups.call is not None,
    )
    if power.mode != "on":
        backups = replace(backups, call=None, why=())
    if power.for_backup:
        backups = replace(backups, status=woken(backups.status, facts.now))
    moves = plan_moves(spec, members, facts) if power.mode == "on" else NO_MOVES
    statefulsets = {
        o: build_statefulset(facts.identity, _instance(facts, spec, o, zones[o], beginning.origin, moves))
        for o in members.present
    }
    votes = choose_votes(own, readers.without(members, facts), zones, facts, losses.lost, loss.given_up)
    logs = plan_log_copies(spec, votes, facts)
    made = (*statefulsets.values(), *logs.statefulsets.values())
    for statefulset in made:
        statefulset["spec"]["replicas"] = power.replicas
    templates = {obj["metadata"]["name"]: template_of(obj) for obj in made}
    request = read_request(spec, members, facts)
    room = roomier(members, facts) if request.target is None else None
    rollout = plan_rollout(
        spec,
        members,
        votes,
        templates,
        facts,
        requested=room or request.target,
        requested_because=NO_ROOM if room is not None else "it was asked for",
        moves=moves,
    )
    if power.mode != "on":
        rollout = Rollout()
    seeding = plan_seeds(members, zones, facts)
    volumes = plan_volumes(
        spec,
        members,
        zones,
        facts,
        {**seeding.sources, **sources},
        held=seeding.held,
        marks=readers.marks,
        given_up=losses.why,
    )
    volumes = replace(volumes, growths=(*volumes.growths, *logs.growths), pokes=(*volumes.pokes, *logs.pokes))
    return _Decided(
        spec,
        members,
        zones,
        statefulsets,
        volumes,
        losses,
        loss,
        votes,
        logs,
        rollout,
        request,
        power,
        backups,
        beginning,
        seeding,
        readers,
        moves,
    )


def _told(rollout: Rollout) -> list[EventSpec]:
    now = rollout.now
    return [EventSpec("Normal", reasons.READER_MOVED, now.why)] if now is not None and now.kind == "move" else []


def _moved(decided: _Decided, facts: Facts) -> Moves:
    """With what is done now."""
    now = decided.rollout.now
    if now is None or now.kind != "move":
        return decided.moves
    return replace(decided.moves, tried={**decided.moves.tried, now.instance: facts.now.replace(microsecond=0)})


def _first_data(facts: Facts, spec: AuroraClusterSpec, bootstrap: int, supplies: Supplies) -> Beginning:
    before = facts.before.origin
    if spec.restore_from is not None and spec.restore_from.snapshot is not None:
        return plan_restored(spec, spec.restore_from.snapshot, bootstrap, facts, before)
    if spec.restore_from is not None:
        return plan_restore(spec.restore_from, bootstrap, facts, before)
    return plan_clone(spec, bootstrap, facts, supplies, before)


def _mounts(facts: Facts, spec: AuroraClusterSpec, ordinal: int, origin: Origin | None) -> tuple[Mount, ...]:
    """What the pods need of repositories: that of backups, and that of a restore until it is done."""
    found: tuple[Mount, ...] = ()
    settings = backup_settings(spec, facts)
    if settings is not None:
        found = repositories.mounts(settings.repository, repositories.BACKUP)
    if isinstance(origin, RestoreOrigin):
        return (*found, *repositories.mounts(origin.repository, repositories.RESTORE))
    copy = facts.copies.get(ordinal)
    return (*found, *repositories.kept(copy.statefulset if copy is not None else None, repositories.RESTORE))


def _instance(
    facts: Facts, spec: AuroraClusterSpec, ordinal: int, zone: str | None, origin: Origin | None, moves: Moves
) -> Instance:
    capacity, copy = spec.capacity_of(ordinal), facts.copies.get(ordinal)
    resources = spec.resources_of(ordinal)
    if capacity is not None:
        seen = copy.agent.capacity if copy is not None and copy.agent is not None else None
        before = start_of(copy.statefulset) if copy is not None else None
        start = moves.starts.get(ordinal)
        if start is None:
            start = start_capacity(before, seen.now if seen is not None else None, capacity)
        resources = capacity_resources(start)
    return Instance(
        ordinal=ordinal,
        image=spec.image.name or facts.observed.operator.default_image,
        zone=zone,
        resources=resources,
        scales=capacity is not None,
        image_settings=spec.image,
        scheduling=spec.scheduling,
        has_origin=spec.clone_from is not None,
        mounts=_mounts(facts, spec, ordinal, origin),
    )


def _certificates(facts: Facts, supplies: Supplies) -> Certificates:
    seen, name = facts.observed, facts.name
    hosts = server_hosts(name, facts.identity.namespace, seen.operator.cluster_domain)
    ca = decode_data(seen.child("Secret", names.ca_secret(name)))
    tls = decode_data(seen.child("Secret", names.tls_secret(name)))
    return plan_certificates(name, hosts, ca, tls, supplies.private_keys, facts.now)


def _new_record(facts: Facts) -> dict[str, Any] | None:
    if facts.observed.child("ConfigMap", names.record_configmap(facts.name)) is not None:
        return None
    volumes = bool(facts.observed.children.get("PersistentVolumeClaim"))
    return build_record(facts.identity, volumes=volumes)


def _objects(facts: Facts, decided: _Decided, certificates: Certificates, supplies: Supplies) -> list[dict[str, Any]]:
    """All objects but the settings, the record, the slice, and those of single instances."""
    identity, spec, votes = facts.identity, decided.spec, decided.votes
    instances = [names.instance_name(facts.name, ordinal) for ordinal in decided.members.present]
    there = facts.observed.child("Secret", names.app_secret(facts.name))
    app = decode_data(there)
    return [
        *build_certificates(identity, certificates),
        build_app_secret(
            identity,
            database=spec.database_name,
            username=spec.master_username,
            password=app.get("password") or supplies.password,
            instances=instances,
            ca=certificates.tls["ca.crt"],
            kind=(there or {}).get("type", "Opaque"),
        ),
        *build_access(
            identity,
            instances,
            [names.instance_name(facts.name, o) for o in decided.members.present if spec.capacity_of(o) is not None],
            spec.backup.service_account_annotations if spec.backup is not None else None,
        ),
        *build_log_access(identity, [names.log_name(facts.name, number) for number in votes.present_logs]),
        *build_services(
            identity,
            readers=endpoint.has_reader(facts),
            diverted=decided.power.diverted,
            writer_only=spec.serverless_v1 is not None,
        ),
        *_gateway(facts, decided),
        build_network_policy(identity, facts.observed.operator),
        build_disruption_budget(identity, spare=votes.copies - spec.write_quorum(votes.copies)),
    ]


def _instances(facts: Facts, decided: _Decided) -> list[dict[str, Any]]:
    """Claims and StatefulSets; only once the record is there, which must say whether there were volumes before us,
    and only once their pods would find all that they mount."""
    seen, name = facts.observed, facts.name
    needed = [
        ("ConfigMap", names.record_configmap(name)),
        ("ConfigMap", names.settings_configmap(name)),
        ("Secret", names.tls_secret(name)),
        ("Secret", names.app_secret(name)),
        ("ServiceAccount", name),
        ("Service", names.pods_service(name)),
    ]
    if any(seen.child(kind, wanted) is None for kind, wanted in needed):
        return []
    claims = {obj["metadata"]["name"] for obj in decided.volumes.claims}
    built = list(decided.volumes.claims)
    for ordinal, statefulset in decided.statefulsets.items():
        there = ordinal in facts.copies and facts.copies[ordinal].statefulset is not None
        # A claim that is on its way out must be gone before a pod could hold on to it.
        if there or f"data-{names.instance_name(name, ordinal)}" in claims:
            built.append(statefulset)
    # What log copies mount comes a moment after their own access.
    if seen.child("ServiceAccount", LOG.account.format(name)) is not None:
        built += decided.logs.objects
    return built


def _gateway(facts: Facts, decided: _Decided) -> list[dict[str, Any]]:
    spec, power = decided.spec, decided.power
    if not power.gateway:
        return []
    return [
        *build_gateway_access(facts.identity),
        build_gateway(
            facts.identity,
            image=spec.image.name or facts.observed.operator.default_image,
            image_settings=spec.image,
            scheduling=spec.scheduling,
            refuses=power.mode == "stopped",
        ),
    ]


def _unused_gateway(facts: Facts, power: Power) -> list[ObjectRef]:
    there = facts.observed.child("StatefulSet", names.gateway(facts.name))
    if power.gateway or there is None or is_leaving(there):
        return []
    return [ObjectRef("StatefulSet", there["metadata"]["name"], there["metadata"].get("uid"))]


def _removed(facts: Facts, members: Members, readers: Readers) -> list[ObjectRef]:
    removed = []
    for ordinal in members.leaving:
        copy = facts.copies[ordinal]
        if copy.statefulset is not None and ordinal not in readers.draining and may_remove(copy, facts):
            removed.append(ObjectRef("StatefulSet", copy.name, copy.statefulset["metadata"].get("uid")))
    return removed
