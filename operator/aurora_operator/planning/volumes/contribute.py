"""Volumes and the log copies that stand on them: what is made, what can go, and what is said of storage."""

from __future__ import annotations

from typing import Protocol

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.contribution import NOTHING, Contribution
from aurora_operator.planning.objects.pod import LOG
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.log_copies import LogCopies
from aurora_operator.planning.volumes.storage import Volumes
from aurora_operator.planning.volumes.storage_status import full_volumes, storage_condition, storage_status


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def begins(self) -> bool: ...
    @property
    def volumes(self) -> Volumes: ...
    @property
    def logs(self) -> LogCopies: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """Claims come with the pods that use them."""
    volumes, logs = choices.volumes, choices.logs
    return Contribution(
        apply=(*(volumes.claims if choices.begins else ()), *volumes.pokes),
        delete=(*volumes.delete, *logs.delete),
        why=(*volumes.why, *logs.why),
        progress=(f"Volumes are growing: {', '.join(volumes.growing)}.",) if volumes.growing else (),
        faults=(*volumes.stuck, *full_volumes(view)),
        conditions=(storage_condition(volumes.growths, view),),
        status={"storage": storage_status(volumes.growths, view, choices.spec.storage.autoscaling)},
    ) + _logs(view, choices)


def _logs(view: Facts, choices: _Needs) -> Contribution:
    # What log copies mount comes a moment after their own access.
    if not choices.begins or view.observed.child("ServiceAccount", LOG.account.format(view.name)) is None:
        return NOTHING
    return Contribution(apply=tuple(choices.logs.objects))
