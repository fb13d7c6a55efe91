"""The Job of a logical export or import of one database, to or from a volume of the user's."""

from __future__ import annotations

from typing import Any, Literal

from aurora_operator.api import names
from aurora_operator.planning.objects.job import build_job
from aurora_operator.planning.objects.repositories import Mount

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
    """The Job.

    `host` must be a single server, because all workers of an export share its snapshot; `path` is below the root of
    the volume of `claim`.
    """
    app = {"secretName": names.app_secret(cluster), "defaultMode": 0o440}
    mounts: list[Mount] = [
        (
            {"name": "transfer", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "transfer", "mountPath": MOUNT},
        ),
        ({"name": "app", "secret": app}, {"name": "app", "mountPath": names.APP_MOUNT, "readOnly": True}),
    ]
    return build_job(
        name,
        namespace,
        container="transfer",
        image=image,
        command=[
            *("python3", "-m", "aurora_operator.agent.transfer", verb),
            *("--host", host),
            *("--database", database),
            *("--path", f"{MOUNT}/{path.strip('/')}"),
            *("--jobs", str(jobs)),
        ],
        labels={"app.kubernetes.io/managed-by": "aurora", f"{names.GROUP}/transfer": cluster},
        mounts=mounts,
        # Tried once: whoever asked for it sees why it failed, and an import is never begun twice.
        ttlSecondsAfterFinished=KEPT_SECONDS,
    )
