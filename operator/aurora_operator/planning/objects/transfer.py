"""The Job of a logical export or import of one database, to or from a volume of the user's."""

from __future__ import annotations

from typing import Any, Literal

from aurora_operator.api import names

MOUNT = "/transfer"
KEPT_SECONDS = 7 * 24 * 3600
"""How long a Job that has ended is kept, for its log."""


def build_transfer(
    verb: Literal["export", "import"],
    name: str,
    *,
    cluster: str,
    namespace: str,
    image: str,
    host: str,
    database: str,
    claim: str,
    path: str,
    jobs: int,
) -> dict[str, Any]:
    """The Job; its pod meets the `restricted` standard.

    `host` must be a single server, because all workers of an export share its snapshot; `path` is below the root of
    the volume of `claim`.
    """
    module = ["python3", "-m", "aurora_operator.agent.transfer", verb]
    labels = {"app.kubernetes.io/managed-by": "aurora", f"{names.GROUP}/transfer": cluster}
    container = {
        "name": "transfer",
        "image": image,
        "command": [
            *module,
            "--host",
            host,
            "--database",
            database,
            "--path",
            f"{MOUNT}/{path.strip('/')}",
            "--jobs",
            str(jobs),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "transfer", "mountPath": MOUNT},
            {"name": "app", "mountPath": names.APP_MOUNT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod's own
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": names.POSTGRES_UID,
            "runAsGroup": names.POSTGRES_UID,
            "fsGroup": names.POSTGRES_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "transfer", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "app", "secret": {"secretName": names.app_secret(cluster), "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        # Tried once: whoever asked for it sees why it failed, and an import is never begun twice.
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
