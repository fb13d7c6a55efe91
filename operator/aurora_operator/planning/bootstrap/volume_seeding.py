"""New and replaced copies begin with a snapshot of a volume in their zone, where the storage driver makes any, instead
of an empty volume that pg_basebackup has to fill. The agent finds that the data were another copy's, forgets that one's
promises, and follows the writer from where the snapshot ends.

Only within a zone: elsewhere the driver would have to copy everything as well. And only where there is enough to copy
for a snapshot to be quicker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.planning.bootstrap.seed_candidates import fit_copies, means_for
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.model.plan_model import ObjectRef, Raw, parse_time
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.snapshot import (
    build_volume_snapshot,
    data_source,
    error_of,
    is_usable,
    least_bytes,
)
from aurora_operator.planning.objects.volume import claim_name
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage import VolumeSource

LEAST_USED_BYTES: Final = 256 << 20
PATIENCE: Final = timedelta(seconds=60)
"""How long a driver may take for a snapshot, and then for a volume, before pg_basebackup does it instead. A snapshot
that is older is not used any more: the WAL that must be followed from there may be gone."""


@dataclass(frozen=True)
class Seeding:
    """What is to be done so that new volumes begin with data."""

    objects: tuple[dict[str, Any], ...] = ()
    delete: tuple[ObjectRef, ...] = ()
    sources: Mapping[int, VolumeSource] = field(default_factory=dict)
    """What new volumes are made from, by ordinal."""
    held: frozenset[int] = frozenset()
    """Ordinals whose volume waits for a snapshot."""
    why: tuple[str, ...] = ()


def plan_seeds(members: Members, zones: Mapping[int, str | None], facts: Facts) -> Seeding:
    """For each instance that has no volume yet: a snapshot first, where that helps."""
    if not facts.initialised or facts.leader is None:
        return Seeding()
    objects: list[dict[str, Any]] = []
    delete: list[ObjectRef] = []
    sources: dict[int, VolumeSource] = {}
    held: set[int] = set()
    why: list[str] = []
    for ordinal in members.wanted:
        instance = names.instance_name(facts.name, ordinal)
        copy = facts.copies.get(ordinal)
        claim = copy.claim if copy is not None else None
        seed = _seed(instance, facts)
        if claim is not None:
            if _never_made(claim, facts):
                why.append(f"give up the volume of {instance} that the driver does not make from a snapshot")
                delete.append(_reference("PersistentVolumeClaim", claim))
            elif seed is not None and not is_leaving(seed) and _used(claim):
                delete.append(_reference("VolumeSnapshot", seed))
        elif seed is None:
            made = _take(instance, zones.get(ordinal), facts)
            if made is not None:
                why.append(f"take a snapshot that the volume of {instance} begins with")
                objects.append(made)
                held.add(ordinal)
        elif _fresh(seed, facts):
            if is_usable(seed):
                sources[ordinal] = VolumeSource(data_source(seed["metadata"]["name"]), least_bytes(seed))
            else:
                held.add(ordinal)
    return Seeding(tuple(objects), tuple(delete), sources, frozenset(held), tuple(why))


def _seed(instance: str, facts: Facts) -> Raw | None:
    """What the volume is made from; a release before this one gave it another name."""
    seen = facts.observed
    return seen.child("VolumeSnapshot", names.seed_snapshot(instance)) or seen.child(
        "VolumeSnapshot", f"{instance}-seed"
    )


def _take(instance: str, zone: str | None, facts: Facts) -> dict[str, Any] | None:
    for copy in fit_copies(facts, 0):
        if copy.zone == zone and _worth_it(copy):
            means = means_for(copy, facts.observed.storage_classes, facts.observed.snapshot_classes)
            if not isinstance(means, str):
                return build_volume_snapshot(
                    facts.identity,
                    names.seed_snapshot(instance),
                    claim=claim_name(copy.name),
                    snapshot_class=means.snapshot_class,
                    zone=copy.zone,
                    lsn=0,
                )
    return None


def _worth_it(copy: Copy) -> bool:
    return copy.agent is not None and copy.agent.volume_used_bytes >= LEAST_USED_BYTES


def _fresh(seed: Raw, facts: Facts) -> bool:
    created = seed["metadata"].get("creationTimestamp")
    young = created is None or facts.now - parse_time(created) < PATIENCE
    return young and error_of(seed) is None and not is_leaving(seed)


def _used(claim: Raw) -> bool:
    """Whether the claim does not need its snapshot (any more)."""
    return bool(claim["spec"].get("volumeName")) or not claim["spec"].get("dataSource")


def _never_made(claim: Raw, facts: Facts) -> bool:
    """Whether a volume that was to be made from a seed is overdue. Such a claim holds nothing."""
    source = claim["spec"].get("dataSource") or {}
    created = claim["metadata"].get("creationTimestamp")
    if not str(source.get("name", "")).endswith((".seed", "-seed")) or is_leaving(claim) or created is None:
        return False
    pending = (claim.get("status") or {}).get("phase") == "Pending" and not claim["spec"].get("volumeName")
    return pending and facts.now - parse_time(created) > 2 * PATIENCE


def _reference(kind: str, raw: Raw) -> ObjectRef:
    return ObjectRef(kind, raw["metadata"]["name"], raw["metadata"].get("uid"))
