"""An instance as planning resolves it from spec and placement, and its StatefulSet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.api.base.quantity import is_quantity, to_bytes
from aurora_operator.api.spec.capacity import ACU_BYTES
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.pod_metadata import PodMetadata
from aurora_operator.api.spec.resources import Resources
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import Identity, digest
from aurora_operator.planning.objects.pod import INSTANCE, PodKind, pod_spec
from aurora_operator.planning.objects.repositories import Mount

ANNOTATION_TEMPLATE: Final = f"{names.GROUP}/template"
"""On a StatefulSet's pod template, and so on its pod: the template's fingerprint. A pod whose value differs from its
StatefulSet's is out of date."""


@dataclass(frozen=True)
class Instance:
    """Everything that decides how an instance's pod looks."""

    ordinal: int
    image: str
    zone: str | None = None
    tier: int = 1
    resources: Resources = field(default_factory=Resources)
    """Of one that scales: those that a new pod starts with."""
    scales: bool = False
    image_settings: Image = field(default_factory=Image)
    scheduling: Scheduling = field(default_factory=Scheduling)
    pod_metadata: PodMetadata = field(default_factory=PodMetadata)
    has_origin: bool = False
    """Whether its cluster is a clone."""
    mounts: tuple[Mount, ...] = ()
    """For backups and a restore."""

    def name(self, cluster: str) -> str:
        """Name of the instance."""
        return names.instance_name(cluster, self.ordinal)


def build_statefulset(identity: Identity, instance: Instance) -> dict[str, Any]:
    """The StatefulSet of one pod. Its volume is a claim of its own (`objects.volume`), so that it can be kept,
    resized and found again whatever happens to the StatefulSet."""
    name = instance.name(identity.name)
    spec = pod_spec(
        identity,
        name,
        image=instance.image,
        zone=instance.zone,
        resources=instance.resources,
        image_settings=instance.image_settings,
        scheduling=instance.scheduling,
        has_origin=instance.has_origin,
        mounts=instance.mounts,
    )
    if instance.scales:
        spec["containers"][0]["resizePolicy"] = [
            {"resourceName": resource, "restartPolicy": "NotRequired"} for resource in ("cpu", "memory")
        ]
    return statefulset_of(
        identity, name, instance.zone, INSTANCE, spec, pod_metadata=instance.pod_metadata, scales=instance.scales
    )


def statefulset_of(
    identity: Identity,
    name: str,
    zone: str | None,
    kind: PodKind,
    spec: dict[str, Any],
    labels_of_pod: Mapping[str, str] | None = None,
    *,
    pod_metadata: PodMetadata,
    scales: bool = False,
) -> dict[str, Any]:
    """The StatefulSet of copy `name` around the `spec` of its pod."""
    selector = {names.LABEL_CLUSTER: identity.name, names.LABEL_INSTANCE: name}
    labels = {names.LABEL_INSTANCE: name, names.LABEL_COMPONENT: kind.component}
    if zone is not None:
        labels[names.LABEL_ZONE] = zone
    own = {**identity.labels, **labels, **(labels_of_pod or {})}
    template: dict[str, Any] = {"metadata": {"labels": {**pod_metadata.labels, **own}}, "spec": spec}
    if pod_metadata.annotations:
        template["metadata"]["annotations"] = dict(pod_metadata.annotations)
    template["metadata"]["annotations"] = {
        **pod_metadata.annotations,
        ANNOTATION_TEMPLATE: fingerprint(template, scales=scales),
        "kubectl.kubernetes.io/default-container": names.CONTAINER,
    }
    return identity.object(
        "StatefulSet",
        name,
        labels=labels,
        spec={
            "replicas": 1,
            "serviceName": names.pods_service(identity.name),
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "selector": {"matchLabels": selector},
            "template": template,
        },
    )


def fingerprint(template: dict[str, Any], *, scales: bool) -> str:
    """What tells whether a pod is of this template. How large a pod that scales was made says nothing about that:
    its agent resizes it, and another size in the template must not replace it."""
    if not scales:
        return digest(template)
    containers = [
        {**container, "resources": "by the load"} if container["name"] == names.CONTAINER else container
        for container in template["spec"]["containers"]
    ]
    return digest({**template, "spec": {**template["spec"], "containers": containers}})


def start_of(statefulset: Raw | None) -> float | None:
    """The capacity, in ACU, with which a StatefulSet's next pod would start; None if it cannot be told."""
    return capacity_of_pod(statefulset["spec"]["template"]) if statefulset is not None else None


def capacity_of_pod(pod: Raw | None) -> float | None:
    """The capacity, in ACU, with which a pod was made; None if it cannot be told."""
    for container in (pod["spec"].get("containers") or ()) if pod is not None else ():
        memory = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if container.get("name") == names.CONTAINER and memory is not None and is_quantity(memory):
            return to_bytes(memory) / ACU_BYTES
    return None


def template_of(statefulset: dict[str, Any]) -> str:
    """The fingerprint of a built StatefulSet's pod template."""
    value: str = statefulset["spec"]["template"]["metadata"]["annotations"][ANNOTATION_TEMPLATE]
    return value
