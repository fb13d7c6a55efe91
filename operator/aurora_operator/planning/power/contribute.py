"""Sleeping and waking: the gateway, the writer's stop, and the phase of a cluster that is on its way."""

from __future__ import annotations

from typing import Any, Protocol

from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.model.plan_model import ObjectRef, StopWriter
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.gateway import build_gateway, build_gateway_access
from aurora_operator.planning.power.power import Power
from aurora_operator.planning.view.facts import Facts


class _Needs(Protocol):
    @property
    def spec(self) -> AuroraClusterSpec: ...
    @property
    def power(self) -> Power: ...


def contribute(view: Facts, choices: _Needs) -> Contribution:
    """The next step to where the cluster should be. How many pods there are is in the StatefulSets."""
    power = choices.power
    return Contribution(
        apply=tuple(_gateway(view, choices)),
        delete=tuple(_unused_gateway(view, power)),
        calls=() if power.stop is None else (StopWriter(power.stop),),
        annotations={names.ANNOTATION_WAKE: None} if power.woken else {},
        why=() if power.stop is None else (f"stop {power.stop} in order: {power.message}",),
        conditions=power.conditions,
        phase=None if power.phase is None else (power.phase, power.message),
    )


def _gateway(view: Facts, choices: _Needs) -> list[dict[str, Any]]:
    spec, power = choices.spec, choices.power
    if not power.gateway:
        return []
    return [
        *build_gateway_access(view.identity),
        build_gateway(
            view.identity,
            image=spec.image.name or view.observed.operator.default_image,
            image_settings=spec.image,
            scheduling=spec.scheduling,
            pod_metadata=spec.pod_metadata,
            refuses=power.mode == "stopped",
        ),
    ]


def _unused_gateway(view: Facts, power: Power) -> list[ObjectRef]:
    """A gateway that is there, though nobody is to be woken by it."""
    there = view.observed.child("StatefulSet", names.gateway(view.name))
    if power.gateway or there is None or is_leaving(there):
        return []
    return [ObjectRef("StatefulSet", there["metadata"]["name"], there["metadata"].get("uid"))]
