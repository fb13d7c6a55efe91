"""What is chosen about a cluster that lives on, before rooms contribute to its plan: an explicit pipeline.

Each choice may read those before it, in this order: readers (how many the load asks for) → losses (which copies are
lost, or were given up) → members (who is there) → first data (where a new cluster's come from) → zones → backups (which
is due) → power (whether it runs at all) → moves (who should be on another node) → votes (who votes, which log copies
there are) → pods (how they should be) → rollout (the one thing that may be interrupted now) → volumes → settings (what
agents are told). What no other room reads is no choice: the room that contributes it decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aurora_operator.api.agent.origin import Origin, RestoreOrigin
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.api.spec.capacity import capacity_resources
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.autoscaling.readers import Readers, plan_readers
from aurora_operator.planning.backup.backup import BackupPlan, backup_settings, plan_backup
from aurora_operator.planning.bootstrap.clone import plan_clone
from aurora_operator.planning.bootstrap.first_data import Beginning
from aurora_operator.planning.bootstrap.from_backup import plan_restore
from aurora_operator.planning.bootstrap.from_snapshot import plan_restored
from aurora_operator.planning.bootstrap.volume_seeding import Seeding, plan_seeds
from aurora_operator.planning.deletion import Deletion, is_deleting
from aurora_operator.planning.membership.members import Members, choose_members
from aurora_operator.planning.membership.placement import place
from aurora_operator.planning.membership.voting import Votes, choose_votes
from aurora_operator.planning.model.plan_model import Raw, Supplies
from aurora_operator.planning.objects import repositories
from aurora_operator.planning.objects.instance import Instance, build_statefulset, start_of, template_of
from aurora_operator.planning.objects.repositories import Mount
from aurora_operator.planning.power.power import Power, plan_power
from aurora_operator.planning.power.waking import woken
from aurora_operator.planning.recovery.dataloss import Acceptance, judge_loss
from aurora_operator.planning.recovery.lost_copies import Losses, find_losses
from aurora_operator.planning.rollout.capacity_shortage import NO_ROOM, roomier
from aurora_operator.planning.rollout.maintenance import Maintenance, judge_maintenance
from aurora_operator.planning.rollout.moving import NONE as NO_MOVES
from aurora_operator.planning.rollout.moving import Moves, plan_moves
from aurora_operator.planning.rollout.prerequisites import judge_prerequisites
from aurora_operator.planning.rollout.rollout import Rollout, outdated_copies, plan_rollout
from aurora_operator.planning.rollout.switchover import Request, read_request
from aurora_operator.planning.settings import bootstrap_of, choose_settings
from aurora_operator.planning.spec.validation import Verdict
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.log_copies import LogCopies, plan_log_copies
from aurora_operator.planning.volumes.storage import Volumes, VolumeSource, plan_volumes
from aurora_operator.policy.capacity import start_capacity


@dataclass(frozen=True)
class Choices:
    """All that was chosen. Rooms read it through protocols of their own, which name what they need."""

    verdict: Verdict
    supplies: Supplies
    spec: AuroraClusterSpec
    """What is carried out: the spec that was accepted, with the readers that the load asks for."""
    readers: Readers
    losses: Losses
    """Copies that are lost."""
    acceptance: Acceptance
    """What is done about a loss of data that somebody accepted."""
    members: Members
    first_data: Beginning
    begins: bool
    """Whether volumes and pods may be made: there is what pods mount, and a clone's or restore's data are at hand."""
    zones: Mapping[int, str | None]
    """Of instances, by ordinal."""
    backups: BackupPlan
    power: Power
    moves: Moves
    votes: Votes
    statefulsets: Mapping[int, dict[str, Any]]
    """Of instances, as they should be, by ordinal; without those that stay as they are for now."""
    logs: LogCopies
    request: Request
    """The switchover that a user asked for."""
    maintenance: Maintenance
    """What restarts that nobody asked for wait for."""
    rollout: Rollout
    """The only room that interrupts a copy that serves."""
    seeding: Seeding
    volumes: Volumes
    settings: Settings | None
    """None while their revision cannot be told."""
    ending: Deletion | None
    """The cluster lives only until its final snapshot is there."""

    @property
    def raw(self) -> Raw | None:
        """The user's spec as it was written."""
        return self.verdict.raw


def choose(
    facts: Facts, verdict: Verdict, own: AuroraClusterSpec, supplies: Supplies, ending: Deletion | None = None
) -> Choices:
    """The pipeline. `own` is the user's spec, without the readers that the load asks for."""
    readers = plan_readers(own, facts)
    spec = readers.spec
    losses, acceptance = find_losses(own, facts), judge_loss(facts)
    members = choose_members(readers.stay, facts, losses.broken, acceptance.given_up)
    first_data = _first_data(facts, spec, bootstrap_of(members, facts), supplies)
    placed = {o: copy.zone for o, copy in facts.copies.items() if copy.placed}
    sources: dict[int, VolumeSource] = {}
    if first_data.bootstrap is not None and (first_data.data_source is not None or first_data.least_bytes):
        if first_data.data_source is not None and first_data.pinned:
            placed.setdefault(first_data.bootstrap, first_data.zone)
        sources[first_data.bootstrap] = VolumeSource(first_data.data_source, first_data.least_bytes)
    zones = place(
        spec,
        members.present,
        placed,
        facts.zones,
        uid=facts.identity.uid,
        usable=facts.usable_zones or None,
        leaving=members.leaving,
    )
    backups = plan_backup(spec, facts)
    power = plan_power(
        spec,
        members,
        facts,
        facts.observed.operator.auto_pause_seconds,
        backing_up=backups.call is not None,
    )
    if power.mode != "on" or spec.stopped or is_deleting(facts):
        # Where it runs for a snapshot only, no backup that is due comes first.
        backups = replace(backups, call=None, why=())
    if power.for_backup:
        backups = replace(backups, status=woken(backups.status, facts.now))
    moves = plan_moves(spec, members, facts) if power.mode == "on" else NO_MOVES
    statefulsets = {
        o: build_statefulset(facts.identity, _instance(facts, spec, o, zones[o], first_data.origin, moves))
        for o in members.present
    }
    votes = choose_votes(own, readers.without(members, facts), zones, facts, losses.lost, acceptance.given_up)
    logs = plan_log_copies(spec, votes, facts, {name: losses.why[name] for name in losses.lost})
    made = (*statefulsets.values(), *logs.statefulsets.values())
    for statefulset in made:
        statefulset["spec"]["replicas"] = 0 if statefulset["metadata"]["name"] in power.held_back else power.replicas
    templates = {obj["metadata"]["name"]: template_of(obj) for obj in made}
    prerequisites = judge_prerequisites(made, facts)
    statefulsets = {o: obj for o, obj in statefulsets.items() if obj["metadata"]["name"] not in prerequisites.unchanged}
    logs = logs.without(prerequisites.unchanged)
    request = read_request(spec, members, facts)
    maintenance = judge_maintenance(spec, outdated_copies(members, votes, templates, facts), facts)
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
        held=maintenance.held,
        lacking=prerequisites.lacking,
    )
    rollout = prerequisites.told(rollout)
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
    settings = choose_settings(
        spec,
        members,
        zones,
        votes,
        facts,
        first_data.origin,
        power.mode,
        draining=readers.going,
        closed=ending is not None,
    )
    return Choices(
        verdict=verdict,
        supplies=supplies,
        spec=spec,
        readers=readers,
        losses=losses,
        acceptance=acceptance,
        members=members,
        first_data=first_data,
        begins=first_data.ready and _mountable(facts),
        zones=zones,
        backups=backups,
        power=power,
        moves=_with_move(moves, rollout, facts),
        votes=votes,
        statefulsets=statefulsets,
        logs=logs,
        request=request,
        maintenance=maintenance,
        rollout=rollout,
        seeding=seeding,
        volumes=volumes,
        settings=settings,
        ending=ending,
    )


def _mountable(facts: Facts) -> bool:
    """Whether pods would find all that they mount; and the record, which must say whether there were volumes before
    us."""
    name = facts.name
    needed = (
        ("ConfigMap", names.record_configmap(name)),
        ("ConfigMap", names.settings_configmap(name)),
        ("Secret", names.tls_secret(name)),
        ("Secret", names.app_secret(name)),
        ("ServiceAccount", name),
        ("Service", names.pods_service(name)),
    )
    return all(facts.observed.child(kind, wanted) is not None for kind, wanted in needed)


def _with_move(moves: Moves, rollout: Rollout, facts: Facts) -> Moves:
    """With the move that is made now."""
    now = rollout.now
    if now is None or now.kind != "move":
        return moves
    return replace(moves, tried={**moves.tried, now.instance: facts.now.replace(microsecond=0)})


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
        pod_metadata=spec.pod_metadata,
        has_origin=spec.clone_from is not None,
        mounts=_mounts(facts, spec, ordinal, origin),
    )
