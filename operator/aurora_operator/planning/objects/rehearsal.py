"""The Job of a rehearsal: a pod that sees the repository, and a volume that goes with it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from aurora_operator.api.agent.rehearsal import TASK_VARIABLE, RehearsalTask
from aurora_operator.api.base import names
from aurora_operator.api.spec.backup import RestoreRehearsal
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.repository import Destination
from aurora_operator.planning.objects import repositories
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.egress import egress_to
from aurora_operator.planning.objects.security import restricted_container, restricted_pod
from aurora_operator.planning.objects.volume import claim_spec

COMPONENT: Final = "rehearsal"
CONTAINER: Final = "rehearsal"
KEPT_SECONDS: Final = 7 * 24 * 3600
"""How long a Job that has ended waits for an operator that is away, which deletes it as soon as it has noted the
result."""


def build_rehearsal(
    identity: Identity,
    name: str,
    *,
    task: RehearsalTask,
    wanted: RestoreRehearsal,
    image: str,
    image_settings: Image,
    scheduling: Scheduling,
    size: str,
    storage_class: str | None,
) -> dict[str, Any]:
    """The Job; its pod meets the `restricted` standard, and has no token for the Kubernetes API and no certificate of
    the cluster. `size` is that of the source's volumes."""
    # Not an instance: no label of one, or others would take it for a copy.
    labels = {**identity.labels, names.LABEL_COMPONENT: COMPONENT}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        # For destinations that know pods by it; it carries no rights in the Kubernetes API without its token.
        "serviceAccountName": identity.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {**restricted_pod(), "fsGroupChangePolicy": "OnRootMismatch"},
        "containers": [_container(image, image_settings, task, wanted)],
        "volumes": _volumes(identity, size, storage_class),
    }
    repositories.add(pod, repositories.mounts(task.repository, repositories.RESTORE))
    if scheduling.node_selector:
        pod["nodeSelector"] = dict(scheduling.node_selector)
    if scheduling.affinity:
        pod["affinity"] = deepcopy(scheduling.affinity)
    if scheduling.tolerations:
        pod["tolerations"] = [t.model_dump(by_alias=True, exclude_none=True) for t in scheduling.tolerations]
    if image_settings.pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in image_settings.pull_secrets]
    return identity.object(
        "Job",
        name,
        labels=labels,
        spec={
            # A failure is an answer. Only when Kubernetes itself takes the pod away, it begins again.
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "activeDeadlineSeconds": wanted.deadline_seconds,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )


def build_rehearsal_policy(identity: Identity, destination: Destination) -> dict[str, Any]:
    """Nobody may connect to a rehearsal's pod, and it may connect to the destination only: it holds the user's data and
    runs the user's query, with nobody watching."""
    return identity.object(
        "NetworkPolicy",
        names.rehearsal_policy(identity.name),
        spec={
            "podSelector": {"matchLabels": {names.LABEL_CLUSTER: identity.name, names.LABEL_COMPONENT: COMPONENT}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": egress_to(destination, identity.namespace),
        },
    )


def _container(image: str, image_settings: Image, task: RehearsalTask, wanted: RestoreRehearsal) -> dict[str, Any]:
    def resource(variable: str, of: str, divisor: str) -> dict[str, Any]:
        reference = {"containerName": CONTAINER, "resource": of, "divisor": divisor}
        return {"name": variable, "valueFrom": {"resourceFieldRef": reference}}

    cpu = "requests.cpu" if wanted.resources.cpu_limit_millis is None else "limits.cpu"
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": image_settings.pull_policy,
        "command": ["python3", "-m", "aurora_operator.agent.rehearsal"],
        "env": [
            {"name": TASK_VARIABLE, "value": task.model_dump_json(by_alias=True, exclude_none=True)},
            resource("AURORA_CPU_MILLIS", cpu, "1m"),
            resource("AURORA_MEMORY_BYTES", "limits.memory", "1"),
        ],
        "resources": wanted.resources.to_kubernetes(),
        "securityContext": restricted_container(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "data", "mountPath": names.DATA_MOUNT},
            {"name": "run", "mountPath": names.RUN_DIR},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod's own
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  likewise
        ],
    }


def _volumes(identity: Identity, size: str, storage_class: str | None) -> list[dict[str, Any]]:
    # Without the cluster's label: it is none of the cluster's volumes.
    labels = {"app.kubernetes.io/managed-by": "aurora-operator", "app.kubernetes.io/component": COMPONENT}
    template = {"metadata": {"labels": labels}, "spec": claim_spec(size, storage_class)}
    return [
        {"name": "data", "ephemeral": {"volumeClaimTemplate": template}},
        {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
