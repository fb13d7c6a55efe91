"""The settings document: who is a member, who votes, what the user asks of PostgreSQL; its revision, and its way to the
agents. Beside it the record of the cluster, which is made once and then the leader's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aurora_operator.api.agent.origin import Origin
from aurora_operator.api.agent.settings import AutoPause, Member, PowerMode, Settings
from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.backup.backup import backup_settings
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.membership.copy_count import zones_of
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.model.plan_model import ObjectRef, PushSettings, Raw
from aurora_operator.planning.objects.config import build_record, build_settings
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts


def bootstrap_of(members: Members, facts: Facts) -> int:
    """The ordinal of the instance that brings the first data: once chosen, it stays as long as it is there."""
    old = facts.settings
    for ordinal in members.present if old is not None else ():
        if old is not None and old.bootstrap == names.instance_name(facts.name, ordinal):
            return ordinal
    return members.wanted[0]


def choose_settings(
    spec: AuroraClusterSpec,
    members: Members,
    zones: Mapping[int, str | None],
    votes: Votes,
    facts: Facts,
    origin: Origin | None = None,
    power: PowerMode = "on",
    *,
    draining: frozenset[int] = frozenset(),
    closed: bool = False,
) -> Settings | None:
    """The document that should be in force, or None while its revision cannot be told: the ConfigMap is gone, and
    of those who may hold a newer one none has answered."""
    old = facts.settings
    if old is None and facts.blind:
        return None
    present = members.present
    bootstrap = names.instance_name(facts.name, bootstrap_of(members, facts))
    revision = max([old.revision if old is not None else 0, *(a.settings_revision for a in facts.answering)])
    if old is None and facts.record is None and facts.observed.children.get("PersistentVolumeClaim"):
        # Volumes of an earlier life may hold any revision: begin above what counting could have reached.
        revision = max(revision, int(facts.now.timestamp()))
    document = Settings(
        cluster=facts.name,
        namespace=facts.identity.namespace,
        cluster_uid=facts.identity.uid,
        revision=max(revision, 1),
        engine_version=spec.engine_version,
        bootstrap=bootstrap,
        members=(
            *(_member(spec, o, zones[o], facts, draining=o in draining) for o in present),
            *(_log_member(number, votes, facts) for number in votes.present_logs),
        ),
        voters=votes.voters,
        write_quorum=spec.write_quorum(len(votes.voters)),
        database_name=spec.database_name,
        master_username=spec.master_username,
        parameters=dict(sorted(spec.parameters.items())),
        power=power,
        auto_pause=AutoPause(
            ignore_users=spec.auto_pause_ignore.users, ignore_applications=spec.auto_pause_ignore.applications
        )
        if spec.pauses
        else None,
        origin=origin,
        backup=backup_settings(spec, facts),
        closed=closed,
        proxy=spec.proxy is not None,
        repair_delay_seconds=spec.durability.repair_delay_seconds,
    )
    if old is not None and old.revision == revision and document == old:
        return old
    return document.model_copy(update={"revision": revision + 1})


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def raw(self) -> Raw | None: ...
    @property
    def members(self) -> Members: ...
    @property
    def votes(self) -> Votes: ...
    @property
    def settings(self) -> Settings | None: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """The ConfigMaps; and every agent that has older settings hears of the new ones."""
    settings, raw = choices.settings, choices.raw
    late = [a.name for a in view.answering if settings is not None and a.settings_revision < settings.revision]
    kept = () if settings is None or raw is None else (_kept(view, choices.spec, settings, raw),)
    record, vain = new_record(view), vain_record(view)
    return Contribution(
        apply=kept,
        create=() if record is None else (record,),
        delete=() if vain is None else (vain,),
        why=() if vain is None else ("the volumes of an earlier cluster of this name hold nothing: it begins anew",),
        calls=() if settings is None else tuple(PushSettings(name, settings) for name in late),
        progress=(
            *((f"New settings are on their way to {', '.join(sorted(late))}.",) if late else ()),
            *_earlier_life(view),
            *_membership(view, choices),
        ),
    )


def new_record(view: Facts) -> dict[str, Any] | None:
    """The record, where there is none yet."""
    if view.observed.child("ConfigMap", names.record_configmap(view.name)) is not None:
        return None
    return build_record(view.identity, volumes=bool(_with_data(view)))


def vain_record(view: Facts) -> ObjectRef | None:
    """The record that speaks of data, where no volume has any: a cluster that was deleted before it had some, or in
    the middle of a restore, and was made again."""
    if not _nobody_ever_led(view) or _with_data(view):
        return None
    live = view.observed.child("ConfigMap", names.record_configmap(view.name)) or {}
    return ObjectRef("ConfigMap", names.record_configmap(view.name), live["metadata"].get("uid"))


def _nobody_ever_led(view: Facts) -> bool:
    """Whether the record was made for volumes that were there before, and nobody has led since."""
    record = view.record
    if record is None or record.state != "initialised" or view.leader is not None:
        return False
    return record.epoch == 0 and record.leader is None and record.config is None


def _with_data(view: Facts) -> tuple[str, ...]:
    """The claims that hold data, or may: only their own agent can tell that one does not."""
    copies = (copy for copy in view.all_copies.values() if _empty(copy))
    empty = {copy.claim["metadata"]["name"] for copy in copies if copy.claim is not None}
    return tuple(sorted(set(view.observed.children.get("PersistentVolumeClaim", {})) - empty))


def _empty(copy: Copy) -> bool:
    return copy.agent is not None and copy.agent.holds_data is False


def _earlier_life(view: Facts) -> tuple[str, ...]:
    """What stands in the way of a cluster whose instances have nothing, while other volumes hold something."""
    if not _nobody_ever_led(view) or not view.copies or not all(_empty(copy) for copy in view.copies.values()):
        return ()
    found = ", ".join(_with_data(view))
    sentence = (
        f"No instance holds data of the earlier cluster of this name, but {found} may: bring back the volumes of its "
        "instances, or delete these claims to begin anew."
    )
    return (sentence,) if found else ()


def _kept(view: Facts, spec: AuroraClusterSpec, settings: Settings, raw: Raw) -> dict[str, Any]:
    return build_settings(view.identity, settings, raw, zones_of(spec, view))


def _membership(view: Facts, choices: _Needs) -> list[str]:
    """Who comes and who goes, a sentence each."""
    found = []
    leaving = [names.instance_name(view.name, o) for o in choices.members.leaving]
    leaving += [names.log_name(view.name, number) for number in choices.votes.leaving_logs]
    if leaving:
        found.append(f"Being removed: {', '.join(leaving)}.")
    settings = choices.settings
    if settings is None or view.config is None:
        return found
    joining = sorted(set(settings.voters) - view.voting)
    if joining:
        found.append(f"Joining: {', '.join(joining)}.")
    elif not view.votes_settled:
        found.append("The membership is changing.")
    return found


def _member(spec: AuroraClusterSpec, ordinal: int, zone: str | None, facts: Facts, *, draining: bool) -> Member:
    name = names.instance_name(facts.name, ordinal)
    return Member(
        name=name,
        ordinal=ordinal,
        host=names.pod_host(facts.name, facts.identity.namespace, name),
        zone=zone,
        promotion_tier=spec.promotion_tier_of(ordinal),
        memory_bytes=spec.resources_of(ordinal).memory_bytes,
        capacity=spec.capacity_of(ordinal),
        draining=draining,
    )


def _log_member(number: int, votes: Votes, facts: Facts) -> Member:
    name = names.log_name(facts.name, number)
    zone = votes.logs[number] if number in votes.logs else facts.log_copies[number].zone
    host = names.pod_host(facts.name, facts.identity.namespace, name)
    return Member(name=name, ordinal=0, kind="log", host=host, zone=zone)
