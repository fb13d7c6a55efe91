"""Jobs of the instances' image: a process that is done at some time. Their pods meet the `restricted` standard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aurora_operator.planning.objects.repositories import Mount
from aurora_operator.planning.objects.security import restricted_container, restricted_pod

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
        "securityContext": restricted_container(),
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
        "securityContext": restricted_pod(),
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
