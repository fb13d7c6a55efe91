"""Volumes: made, grown, marked as retired, and at last deleted, each only when nothing can be lost by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.quantity import to_bytes
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.model.plan_model import ObjectRef, Raw
from aurora_operator.planning.objects.common import annotation, is_leaving, label
from aurora_operator.planning.objects.volume import (
    ANNOTATION_GIVEN_UP,
    ANNOTATION_RETIRED,
    IN_USE,
    RETIRED,
    build_claim,
)
from aurora_operator.planning.ownership.whose import may_delete_claim
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.volume_expansion import Growth, grow, poke

_CAUSES: Final = frozenset({reasons.SLOT_RETAINS_WAL, reasons.ARCHIVE_FAILING, reasons.TEMPORARY_FILES})


@dataclass(frozen=True)
class Volumes:
    """What is to be done about volumes."""

    claims: tuple[dict[str, Any], ...]
    """How the claims should be."""
    delete: tuple[ObjectRef, ...]
    why: tuple[str, ...]
    growths: tuple[Growth, ...] = ()
    """What was decided about the size of each."""
    pokes: tuple[dict[str, Any], ...] = ()
    """Changes to pods that have the kubelet make their file systems larger."""

    @property
    def growing(self) -> tuple[str, ...]:
        """Instances whose volume is not yet as large as it was asked to be."""
        return tuple(growth.status.name for growth in self.growths if growth.pending)

    @property
    def stuck(self) -> tuple[str, ...]:
        """Why volumes that should grow do not."""
        told = (g.trouble.message for g in self.growths if g.trouble is not None and g.trouble.reason not in _CAUSES)
        return tuple(dict.fromkeys(told))


@dataclass(frozen=True)
class VolumeSource:
    """What a new volume is made from, or must have room for."""

    data_source: Mapping[str, str] | None
    least_bytes: int = 0


def plan_volumes(
    spec: AuroraClusterSpec,
    members: Members,
    zones: Mapping[int, str | None],
    facts: Facts,
    sources: Mapping[int, VolumeSource] | None = None,
    held: frozenset[int] = frozenset(),
    marks: Mapping[int, Mapping[str, str]] | None = None,
    given_up: Mapping[str, str] | None = None,
) -> Volumes:
    """Claims of all that are present; retirement of those that leave; deletion of what is safely gone. `sources` is
    what new volumes begin with; those of `held` are not made yet. `marks` are further annotations. `given_up` says by
    name why volumes are lost: what is left of them is kept."""
    claims: list[dict[str, Any]] = []
    delete: list[ObjectRef] = []
    why: list[str] = []
    growths: list[Growth] = []
    pokes: list[dict[str, Any]] = []
    for ordinal in sorted({*members.present, *facts.copies}):
        copy = facts.copies.get(ordinal)
        claim = copy.claim if copy is not None else None
        if claim is not None and is_leaving(claim):
            continue
        if ordinal in held:
            continue
        if ordinal in members.present:
            retired = spec.storage.volume_retention.when_scaled if ordinal in members.leaving else IN_USE
            why_given_up = _given_up(claim, ordinal, members, given_up or {}, facts)
            retired = "Retain" if why_given_up is not None else retired
            source = (sources or {}).get(ordinal)
            name, least = names.instance_name(facts.name, ordinal), source.least_bytes if source is not None else 0
            growth = grow(spec, copy, name, facts, facts.before, least=least)
            growths.append(growth)
            claims.append(
                _claim(spec, facts, ordinal, zones[ordinal], claim, growth.size, retired, source, why_given_up)
            )
            claims[-1]["metadata"]["annotations"] |= (marks or {}).get(ordinal, {})
            waking = poke(copy, facts) if copy is not None else None
            pokes += [] if waking is None else [waking]
        elif copy is not None and claim is not None and may_delete(copy, facts):
            why.append(f"delete the volume of {copy.name}, which is gone from the cluster")
            metadata = claim["metadata"]
            delete.append(ObjectRef("PersistentVolumeClaim", metadata["name"], metadata.get("uid")))
    return Volumes(tuple(claims), tuple(delete), tuple(why), tuple(growths), tuple(pokes))


def _given_up(
    claim: Raw | None, ordinal: int, members: Members, given_up: Mapping[str, str], facts: Facts
) -> str | None:
    """Why the volume is kept, if its instance leaves because the volume is lost."""
    if claim is None or ordinal not in members.leaving:
        return None
    return annotation(claim, ANNOTATION_GIVEN_UP) or given_up.get(names.instance_name(facts.name, ordinal))


def may_delete(copy: Copy, facts: Facts) -> bool:
    """Whether a retired volume can go: it is this cluster's own, nothing uses it, an open leader says that its copy is
    no member, and a write quorum of the members is up to date."""
    return (
        annotation(copy.claim, ANNOTATION_RETIRED) == "Delete"
        and copy.claim is not None
        and may_delete_claim(copy.claim, facts.metadata)
        and copy.statefulset is None
        and copy.pod is None
        and facts.is_member(copy.name) is False
        and facts.quorum_streams
    )


def may_remove(copy: Copy, facts: Facts) -> bool:
    """Whether the StatefulSet of an instance that leaves can go: the same, and that it leaves is on record."""
    leader, settings = facts.leader, facts.settings
    if leader is None or settings is None or copy.statefulset is None or is_leaving(copy.statefulset):
        return False
    recorded = copy.claim is None or annotation(copy.claim, ANNOTATION_RETIRED) in RETIRED
    known = copy.name not in settings.voters and leader.settings_revision >= settings.revision
    return (
        recorded and known and leader.name != copy.name and facts.is_member(copy.name) is False and facts.quorum_streams
    )


def _claim(
    spec: AuroraClusterSpec,
    facts: Facts,
    ordinal: int,
    zone: str | None,
    claim: Raw | None,
    size: str,
    retired: str,
    source: VolumeSource | None,
    given_up: str | None = None,
) -> dict[str, Any]:
    if claim is None:
        storage_class = spec.storage.storage_class_name
        begins = source.data_source if source is not None else None
    else:
        # They cannot change, whoever chose them; to leave one out would ask to remove it.
        storage_class = claim["spec"].get("storageClassName")
        begins = claim["spec"].get("dataSource")
        zone = label(claim, names.LABEL_ZONE) or zone
    return build_claim(
        facts.identity,
        names.instance_name(facts.name, ordinal),
        zone=zone,
        size=size,
        storage_class=storage_class,
        retired=retired,
        source=begins,
        given_up=given_up,
    )


def requested_bytes(claim: Raw) -> int:
    """What a claim asks for."""
    return to_bytes(str(claim["spec"]["resources"]["requests"]["storage"]))
