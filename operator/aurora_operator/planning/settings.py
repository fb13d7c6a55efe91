"""The settings document: who is a member, who votes, what the user asks of PostgreSQL; and its revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from aurora_operator.api import names
from aurora_operator.api.durability import default_write_quorum
from aurora_operator.api.origin import Origin
from aurora_operator.api.settings import Member, Settings
from aurora_operator.api.spec import AuroraClusterSpec
from aurora_operator.planning.facts import Facts
from aurora_operator.planning.members import Members


def choose_voters(
    spec: AuroraClusterSpec, members: Members, zones: Mapping[int, str | None], facts: Facts
) -> tuple[int, ...]:
    """The ordinals that should vote: the writer, those that vote now, then whoever spreads the votes over zones.

    A writer that is to leave goes on voting until it is no longer the writer.
    """
    before = _voting_before(facts)
    chosen: list[int] = []
    crowd: Counter[str | None] = Counter()
    candidates = set(members.wanted)
    while candidates and len(chosen) < spec.voting_copies:

        def order(ordinal: int) -> tuple[bool, bool, int, int, int]:
            name = names.instance_name(facts.name, ordinal)
            tier = spec.promotion_tier_of(ordinal)
            return (ordinal != facts.leader_ordinal, name not in before, crowd[zones[ordinal]], tier, ordinal)

        best = min(candidates, key=order)
        candidates.remove(best)
        chosen.append(best)
        crowd[zones[best]] += 1
    if members.writer_leaving is not None:
        chosen.append(members.writer_leaving)
    return tuple(sorted(chosen))


def _voting_before(facts: Facts) -> set[str]:
    return (set(facts.settings.voters) if facts.settings is not None else set()) | facts.voting


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
    facts: Facts,
    origin: Origin | None = None,
) -> Settings | None:
    """The document that should be in force, or None while its revision cannot be told: the ConfigMap is gone, and
    of those who may hold a newer one none has answered."""
    old = facts.settings
    if old is None and facts.blind:
        return None
    voters = choose_voters(spec, members, zones, facts)
    write_quorum = spec.write_quorum
    if len(voters) != spec.voting_copies:
        write_quorum = min(max(write_quorum, default_write_quorum(len(voters))), len(voters))
    present = members.present
    bootstrap = names.instance_name(facts.name, bootstrap_of(members, facts))
    revision = max([old.revision if old is not None else 0, *(a.settings_revision for a in facts.answering)])
    document = Settings(
        cluster=facts.name,
        namespace=facts.identity.namespace,
        cluster_uid=facts.identity.uid,
        revision=max(revision, 1),
        engine_version=spec.engine_version,
        bootstrap=bootstrap,
        members=tuple(_member(spec, o, zones[o], facts) for o in present),
        voters=tuple(names.instance_name(facts.name, o) for o in voters),
        write_quorum=write_quorum,
        database_name=spec.database_name,
        master_username=spec.master_username,
        parameters=dict(sorted(spec.parameters.items())),
        origin=origin,
    )
    if old is not None and old.revision == revision and document == old:
        return old
    return document.model_copy(update={"revision": revision + 1})


def _member(spec: AuroraClusterSpec, ordinal: int, zone: str | None, facts: Facts) -> Member:
    name = names.instance_name(facts.name, ordinal)
    return Member(
        name=name,
        ordinal=ordinal,
        host=names.pod_host(facts.name, facts.identity.namespace, name),
        zone=zone,
        promotion_tier=spec.promotion_tier_of(ordinal),
        memory_bytes=spec.resources_of(ordinal).memory_bytes,
        capacity=spec.capacity_of(ordinal),
    )
