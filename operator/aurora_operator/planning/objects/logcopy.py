"""A log copy and its StatefulSet: a pod that durably receives all WAL, votes, and holds no data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.pod_metadata import PodMetadata
from aurora_operator.api.spec.resources import ComputeAmounts, Resources
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.instance import statefulset_of
from aurora_operator.planning.objects.pod import LOG, pod_spec

RESOURCES: Final = Resources.model_construct(
    requests=ComputeAmounts(cpu="20m", memory="64Mi"), limits=ComputeAmounts(memory="128Mi")
)
"""Not validated: less than an instance needs is enough."""


@dataclass(frozen=True)
class LogCopy:
    """Everything that decides how a log copy's pod looks."""

    number: int
    image: str
    zone: str | None = None
    image_settings: Image = field(default_factory=Image)
    scheduling: Scheduling = field(default_factory=Scheduling)
    pod_metadata: PodMetadata = field(default_factory=PodMetadata)


def build_log_statefulset(identity: Identity, copy: LogCopy) -> dict[str, Any]:
    """The StatefulSet of one pod; its volume is a claim of its own, like an instance's."""
    name = names.log_name(identity.name, copy.number)
    spec = pod_spec(
        identity,
        name,
        kind=LOG,
        image=copy.image,
        zone=copy.zone,
        resources=RESOURCES,
        image_settings=copy.image_settings,
        scheduling=copy.scheduling,
    )
    return statefulset_of(
        identity, name, copy.zone, LOG, spec, {names.LABEL_ROLE: "log"}, pod_metadata=copy.pod_metadata
    )
