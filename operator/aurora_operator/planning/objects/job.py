"""Jobs of the instances' image: a process that is done at some time. Their pods meet the `restricted` standard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aurora_operator.api import names
from aurora_operator.planning.objects.repositories import Mount

API_VERSION = "batch/v1"


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
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "terminationMessagePolicy": message_policy,
        "volumeMounts": [place for _, place in mounts] + [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    if environment:
        made["env"] = [{"name": key, "value": value} for key, value in environment.items()]
    pod = {
        "restartPolicy": "Never" if tries == 1 else "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": names.POSTGRES_UID,
            "runAsGroup": names.POSTGRES_UID,
            "fsGroup": names.POSTGRES_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [made],
        "volumes": [volume for volume, _ in mounts] + [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
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
