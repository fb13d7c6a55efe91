"""Jobs of the instances' image: a process that is done at some time. Their pods meet the `restricted` standard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import label
from aurora_operator.planning.objects.repositories import Mount
from aurora_operator.planning.objects.security import restricted_container, restricted_pod

API_VERSION = "batch/v1"
LABEL_JOB = "batch.kubernetes.io/job-name"
"""On a Job's pods, put there by Kubernetes."""
TMP: Mapping[str, Any] = {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}
"""In memory: secrets of a destination are there, in pgBackRest's configuration."""


def build_job(
    name: str,
    namespace: str,
    *,
    container: str,
    image: str,
    command: Sequence[str],
    labels: Mapping[str, str],
    mounts: Sequence[Mount],
    environment: Mapping[str, str] | None = None,
    message_policy: str = "FallbackToLogsOnError",
    tries: int = 1,
    **spec: Any,
) -> dict[str, Any]:
    """The Job; `spec` is added to its own. With more than one of `tries`, it begins anew in the same pod."""
    made: dict[str, Any] = {
        "name": container,
        "image": image,
        "command": [_literal(word) for word in command],
        "securityContext": restricted_container(),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "terminationMessagePolicy": message_policy,
        "volumeMounts": [place for _, place in mounts] + [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    if environment:
        made["env"] = [{"name": key, "value": _literal(value)} for key, value in environment.items()]
    pod = {
        "restartPolicy": "Never" if tries == 1 else "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": restricted_pod(),
        "containers": [made],
        "volumes": [volume for volume, _ in mounts] + [dict(TMP)],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "backoffLimit": tries - 1,
            **spec,
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        },
    }


def _literal(text: str) -> str:
    """Kubernetes puts a variable's value in place of $(NAME), and $ in place of $$."""
    return text.replace("$", "$$")


def ended(job: Raw) -> Raw | None:
    """The condition, of type Complete or Failed, by which a Job goes on no more; None while it does."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") in ("Complete", "Failed") and c.get("status") == "True"), None)


def pods_of(job: str, pods: Iterable[Raw]) -> list[Raw]:
    """A Job's pods among these."""
    return [pod for pod in pods if label(pod, LABEL_JOB) == job]
