"""The settings document: who is a member, who votes, what the user asks of PostgreSQL; and its revision."""

from __future__ import annotations

from collections.abc import Mapping

from aurora_operator.api.agent.origin import Origin
from aurora_operator.api.agent.settings import AutoPause, Member, PowerMode, Settings
from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.backup.backup import backup_settings
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.membership.voting import Votes
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
        repair_delay_seconds=spec.durability.repair_delay_seconds,
    )
    if old is not None and old.revision == revision and document == old:
        return old
    return document.model_copy(update={"revision": revision + 1})


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
