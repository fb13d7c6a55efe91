"""Volumes whose agent is silent: whom to ask about them instead, and what a kubelet's answer says. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base import names
from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.planning.model.plan_model import Raw, Unreachable
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.volume import claim_name

SILENT_SECONDS: Final = 30.0
"""An agent that has not answered for so long is asked about by way of the kubelet."""


@dataclass(frozen=True)
class Silent:
    """A copy whose agent does not answer, and the node that its pod is on."""

    copy: str
    node: str


def silent_copies(pods: Mapping[str, Raw], agents: Mapping[str, AgentStatus | Unreachable]) -> tuple[Silent, ...]:
    """Copies that have a pod on a node, which has no address yet or whose agent did not answer this time."""
    found = []
    for pod in pods.values():
        name, node = (pod["metadata"].get("labels") or {}).get(names.LABEL_INSTANCE), pod["spec"].get("nodeName")
        if name and node and not is_leaving(pod) and not isinstance(agents.get(name), AgentStatus):
            found.append(Silent(name, node))
    return tuple(sorted(found, key=lambda silent: silent.copy))


def since_when(silent: Collection[Silent], before: Mapping[str, float], now: float) -> dict[str, float]:
    """Since when each of them has been silent, in seconds of the same clock as `now`."""
    return {s.copy: before.get(s.copy, now) for s in silent}


def worth_asking(silent: Collection[Silent], since: Mapping[str, float], now: float) -> tuple[Silent, ...]:
    """Those that have been silent for a while."""
    return tuple(s for s in silent if now - since.get(s.copy, now) >= SILENT_SECONDS)


def volume_of(summary: Mapping[str, Any], namespace: str, copy: str) -> VolumeUse | None:
    """What a kubelet's `/stats/summary` says about the volume of a copy; None if nothing that makes sense."""
    for pod in _dicts(summary.get("pods")):
        for volume in _dicts(pod.get("volume")):
            claim = volume.get("pvcRef")
            if not isinstance(claim, Mapping):
                continue
            if (claim.get("namespace"), claim.get("name")) == (namespace, claim_name(copy)):
                return _use(volume.get("capacityBytes"), volume.get("availableBytes"))
    return None


def _use(size: object, available: object) -> VolumeUse | None:
    """What is kept for the superuser counts as used: PostgreSQL cannot write there."""
    if not isinstance(size, int) or not isinstance(available, int) or size <= 0 or not 0 <= available <= size:
        return None
    return VolumeUse(size_bytes=size, used_bytes=size - available)


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
