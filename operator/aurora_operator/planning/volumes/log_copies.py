"""The objects of log copies: made where they are wanted, kept until their votes have gone elsewhere, then deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.model.plan_model import ObjectRef, Raw
from aurora_operator.planning.objects.common import annotation, is_leaving, label
from aurora_operator.planning.objects.logcopy import LogCopy, build_log_statefulset
from aurora_operator.planning.objects.volume import ANNOTATION_GIVEN_UP, IN_USE, build_claim
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage import may_delete, may_remove
from aurora_operator.planning.volumes.volume_expansion import Growth, grow, poke


@dataclass(frozen=True)
class LogCopies:
    """What is to be done about them."""

    statefulsets: Mapping[int, dict[str, Any]]
    """How they should be, by number."""
    claims: tuple[dict[str, Any], ...]
    delete: tuple[ObjectRef, ...]
    why: tuple[str, ...]
    growths: tuple[Growth, ...] = ()
    """What was decided about the size of each volume."""
    pokes: tuple[dict[str, Any], ...] = ()
    """Changes to pods that have the kubelet make their file systems larger."""

    def without(self, names_of: frozenset[str]) -> LogCopies:
        """The same, with the StatefulSets of these names left as they are."""
        left = {n: obj for n, obj in self.statefulsets.items() if obj["metadata"]["name"] not in names_of}
        return replace(self, statefulsets=left)

    @property
    def objects(self) -> list[dict[str, Any]]:
        """All that is to be there."""
        return [*self.claims, *self.statefulsets.values()]


def plan_log_copies(
    spec: AuroraClusterSpec, votes: Votes, facts: Facts, lost: Mapping[str, str] | None = None
) -> LogCopies:
    """StatefulSets and claims; what goes, when nothing can be lost by it. `lost` says by name what is wrong with those
    that others take the place of."""
    statefulsets: dict[int, dict[str, Any]] = {}
    claims: list[dict[str, Any]] = []
    delete: list[ObjectRef] = []
    why: list[str] = []
    growths: list[Growth] = []
    pokes: list[dict[str, Any]] = []
    for number in sorted({*votes.present_logs, *facts.log_copies}):
        copy = facts.log_copies.get(number)
        stays = number in votes.logs or number in votes.stand_ins
        zone = votes.logs.get(number, copy.zone if copy is not None else None)
        claim = copy.claim if copy is not None else None
        kept = stays or (claim is not None and number in votes.leaving_logs)
        if kept and (claim is None or not is_leaving(claim)):
            growth = grow(spec, copy, names.log_name(facts.name, number), facts, facts.before, log_copy=True)
            growths.append(growth)
            claims.append(_claim(spec, facts, number, zone, claim, growth.size, IN_USE if stays else "Delete"))
            waking = poke(copy, facts) if copy is not None else None
            pokes += [] if waking is None else [waking]
        # A claim that is on its way out must be gone before a pod could hold on to it.
        there = copy is not None and copy.statefulset is not None
        if there or (stays and (claim is None or not is_leaving(claim))):
            statefulsets[number] = build_log_statefulset(facts.identity, _log_copy(facts, spec, number, zone))
        if copy is not None and not stays:
            gone = _gone(copy, facts)
            delete += gone
            why += [f"delete {ref.kind} {ref.name}: other copies have the votes of {copy.name}" for ref in gone]
            wrong = (lost or {}).get(copy.name)
            if wrong is not None and not copy.retired:
                # Said now: once it is retired, nobody looks at what is wrong with it.
                why.append(f"another log copy takes the place of {copy.name}: {wrong}")
    return LogCopies(statefulsets, tuple(claims), tuple(delete), tuple(why), tuple(growths), tuple(pokes))


def _gone(copy: Copy, facts: Facts) -> list[ObjectRef]:
    """What of a log copy that leaves can go now: its volume last, and only while all votes are where they belong."""
    if copy.statefulset is not None:
        if not may_remove(copy, facts):
            return []
        return [ObjectRef("StatefulSet", copy.name, copy.statefulset["metadata"].get("uid"))]
    if copy.claim is None or is_leaving(copy.claim) or not facts.votes_settled or not may_delete(copy, facts):
        return []
    metadata = copy.claim["metadata"]
    return [ObjectRef("PersistentVolumeClaim", metadata["name"], metadata.get("uid"))]


def _log_copy(facts: Facts, spec: AuroraClusterSpec, number: int, zone: str | None) -> LogCopy:
    return LogCopy(
        number=number,
        image=spec.image.name or facts.observed.operator.default_image,
        zone=zone,
        image_settings=spec.image,
        scheduling=spec.scheduling,
        pod_metadata=spec.pod_metadata,
    )


def _claim(
    spec: AuroraClusterSpec, facts: Facts, number: int, zone: str | None, claim: Raw | None, size: str, retired: str
) -> dict[str, Any]:
    storage_class = spec.storage.storage_class_name
    if claim is not None:
        # It cannot change, whoever chose it; to leave it out would ask to remove it.
        storage_class = claim["spec"].get("storageClassName")
        zone = label(claim, names.LABEL_ZONE) or zone
    given_up = annotation(claim, ANNOTATION_GIVEN_UP)
    retired = retired if given_up is None else "Retain"
    name = names.log_name(facts.name, number)
    return build_claim(
        facts.identity,
        name,
        zone=zone,
        size=size,
        storage_class=storage_class,
        retired=retired,
        component="log",
        given_up=given_up,
    )
