"""Instances: their StatefulSets, and what is wrong with any copy that should be there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.autoscaling.readers import Readers
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.membership.members import Members
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.model.plan_model import ObjectRef
from aurora_operator.planning.objects.volume import claim_name
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage import Volumes, may_remove


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def members(self) -> Members: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def votes(self) -> Votes: ...
    @property
    def begins(self) -> bool: ...
    @property
    def statefulsets(self) -> Mapping[int, dict[str, Any]]: ...
    @property
    def volumes(self) -> Volumes: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """StatefulSets of those that are present; none of those that have left."""
    return Contribution(
        apply=tuple(_statefulsets(view, choices)) if choices.begins else (),
        delete=tuple(_removed(view, choices.members, choices.readers)),
        faults=_faults(view, choices),
    )


def _statefulsets(view: Facts, choices: _Needs) -> list[dict[str, Any]]:
    claims = {obj["metadata"]["name"] for obj in choices.volumes.claims}
    made = []
    for ordinal, statefulset in choices.statefulsets.items():
        there = ordinal in view.copies and view.copies[ordinal].statefulset is not None
        # A claim that is on its way out must be gone before a pod could hold on to it.
        if there or claim_name(names.instance_name(view.name, ordinal)) in claims:
            made.append(statefulset)
    return made


def _removed(view: Facts, members: Members, readers: Readers) -> list[ObjectRef]:
    """StatefulSets of instances that leave, once nothing is lost with them."""
    removed = []
    for ordinal in members.leaving:
        copy = view.copies[ordinal]
        if copy.statefulset is not None and ordinal not in readers.draining and may_remove(copy, view):
            removed.append(ObjectRef("StatefulSet", copy.name, copy.statefulset["metadata"].get("uid")))
    return removed


def _faults(view: Facts, choices: _Needs) -> tuple[str, ...]:
    """What does not work with copies, and will not by itself."""
    found: list[str] = []
    engine = choices.spec.engine_version
    wanted = [view.copies.get(ordinal) for ordinal in choices.members.wanted]
    wanted += [view.log_copies.get(number) for number in choices.votes.logs]
    for copy in wanted:
        if copy is None:
            continue
        if copy.stuck is not None:
            found.append(f"{copy.stuck.rstrip('. ')}.")
        elif copy.agent is not None and copy.agent.ailment is not None:
            found.append(f"{copy.name} is ill ({copy.agent.ailment}): {copy.agent.message or 'see its log'}")
        elif copy.agent is not None and copy.agent.phase == "Failed":
            found.append(f"{copy.name}: {copy.agent.message or 'it failed'}")
        version = copy.agent.server_version if copy.agent is not None else None
        if version is not None and not _is_release(version, engine):
            found.append(
                f"{copy.name} runs PostgreSQL {version}, and engineVersion is {engine}: "
                "choose an image that holds it, or change engineVersion."
            )
    return tuple(found)


def _is_release(version: str, wanted: str) -> bool:
    """Whether PostgreSQL's `version` (such as `17.12 (Debian 17.12-1)`) is `wanted` (`17` or `17.12`)."""
    number = version.split()[0] if version.split() else ""
    return number == wanted or number.startswith(f"{wanted}.")
