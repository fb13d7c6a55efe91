"""The Job of a logical export or import of one database: to or from the destination of backups, or a user's volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aurora_operator.api.base import names
from aurora_operator.api.spec.repository import Repository
from aurora_operator.planning.objects.job import build_job
from aurora_operator.planning.objects.repositories import BACKUP, Mount, mounts
from aurora_operator.planning.objects.volume import claim_spec

MOUNT = "/transfer"
KEPT_SECONDS = 7 * 24 * 3600
"""How long a Job that has ended is kept, for its log."""
KEPT_WITH_SCRATCH_SECONDS = 600
"""The same where its volume, larger than the database, is kept as long."""
KEPT_AFTER_SUCCESS_SECONDS = 60
"""The same once somebody has seen that it was complete: nobody needs its log."""
MEBI = 1 << 20

Verb = Literal["export", "import"]


@dataclass(frozen=True)
class OnClaim:
    """A folder on a volume of the user's."""

    claim: str
    path: str
    """Below the volume's root."""


@dataclass(frozen=True)
class InDestination:
    """An export in the destination of backups."""

    name: str
    repository: Repository
    scratch: str
    """Size of the volume that it passes through, which is there as long as the Job's pod."""
    storage_class: str | None


def scratch_size(size: int) -> str:
    """Room for a dump of `size` bytes of a database or of a dump, as a quantity. Pure.

    A dump is compressed, and has no indexes: it is larger than the database only where bytea values are many and do not
    compress, by a seventh. The file system needs some of it.
    """
    return f"{-(-size * 5 // 4 // MEBI) + 256}Mi"


def build_transfer(
    verb: Verb,
    name: str,
    *,
    cluster: str,
    namespace: str,
    image: str,
    pull_secrets: Sequence[Any] = (),
    hosts: Sequence[str],
    database: str,
    place: OnClaim | InDestination,
    jobs: int,
    other_locale: bool = False,
    secret: str | None = None,
) -> dict[str, Any]:
    """The Job. `secret` says how to connect. `hosts` are single servers, the best first: all workers of an export share
    a snapshot."""
    app = {"secretName": secret or names.app_secret(cluster), "defaultMode": 0o440}
    volumes: list[Mount] = [
        ({"name": "transfer", **_volume(place)}, {"name": "transfer", "mountPath": MOUNT}),
        ({"name": "app", "secret": app}, {"name": "app", "mountPath": names.APP_MOUNT, "readOnly": True}),
    ]
    where = ["--path", f"{MOUNT}/{place.path.strip('/')}"] if isinstance(place, OnClaim) else ["--path", MOUNT]
    environment: dict[str, str] = {}
    if isinstance(place, InDestination):
        where += ["--name", place.name]
        volumes += mounts(place.repository, BACKUP)
        environment[names.ENV_TARGET] = place.repository.model_dump_json(by_alias=True, exclude_none=True)
    job = build_job(
        name,
        namespace,
        container="transfer",
        image=image,
        command=[
            *("python3", "-m", "aurora_operator.agent.transfer", verb),
            *("--cluster", cluster),
            *(word for host in hosts for word in ("--host", host)),
            f"--database={database}",
            *where,
            *("--jobs", str(jobs)),
            *(["--other-locale"] if other_locale else []),
        ],
        labels={"app.kubernetes.io/managed-by": "aurora", f"{names.GROUP}/transfer": cluster},
        mounts=volumes,
        environment=environment,
        # Tried once: whoever asked for it sees why it failed, and an import is never begun twice.
        ttlSecondsAfterFinished=KEPT_SECONDS if isinstance(place, OnClaim) else KEPT_WITH_SCRATCH_SECONDS,
    )
    pod = job["spec"]["template"]["spec"]
    if isinstance(place, InDestination):
        # For destinations that know pods by it; it carries no rights in the Kubernetes API without its token.
        pod["serviceAccountName"] = cluster
    if pull_secrets:
        pod["imagePullSecrets"] = list(pull_secrets)
    return job


def _volume(place: OnClaim | InDestination) -> dict[str, Any]:
    if isinstance(place, OnClaim):
        return {"persistentVolumeClaim": {"claimName": place.claim}}
    # A volume of its own: a node's disk is no place for a database.
    return {"ephemeral": {"volumeClaimTemplate": {"spec": claim_spec(place.scratch, place.storage_class)}}}
