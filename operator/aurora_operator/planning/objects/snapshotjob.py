"""The Jobs that copy the backup of an AuroraSnapshot to another destination, and that remove it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aurora_operator.api.base import names
from aurora_operator.api.snapshot import LABEL_SNAPSHOT_UID, SNAPSHOT_KIND
from aurora_operator.api.spec.repository import Repository
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.job import build_job, ended, pods_of
from aurora_operator.planning.objects.repositories import BACKUP, RESTORE, mounts

COPY: Final = "copy"
REMOVE: Final = "remove"
TRIES: Final = 1_000_000
"""Until it is done: the message says meanwhile why it is not."""


def build_copy(snapshot: Raw, image: str, source: Repository, target: Repository) -> dict[str, Any]:
    """The Job that copies all of `source`, which it only reads, to `target`."""
    places = (*mounts(source, RESTORE), *mounts(target, BACKUP))
    environment = {names.ENV_SOURCE: _text(source), names.ENV_TARGET: _text(target)}
    return _build(snapshot, image, COPY, environment, places)


def build_removal(snapshot: Raw, image: str, target: Repository) -> dict[str, Any]:
    """The Job that removes all of `target`."""
    return _build(snapshot, image, REMOVE, {names.ENV_TARGET: _text(target)}, mounts(target, BACKUP))


def is_complete(job: Raw) -> bool:
    """Whether it has done what it was made for."""
    return (ended(job) or {}).get("type") == "Complete"


def has_failed(job: Raw) -> bool:
    """Whether it goes on no more, and has not."""
    return (ended(job) or {}).get("type") == "Failed"


def complaint(job: Raw, pods: Iterable[Raw]) -> str | None:
    """Why it did not succeed the last time; None where it has not failed, or does not say."""
    for pod in pods_of(job["metadata"]["name"], pods):
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            for state in (container.get("state") or {}, container.get("lastState") or {}):
                ended, waits = state.get("terminated") or {}, state.get("waiting") or {}
                if ended.get("exitCode") and ended.get("message"):
                    return str(ended["message"]).strip()
                if waits.get("message") and waits.get("reason") != "CrashLoopBackOff":
                    return f"{waits.get('reason')}: {waits['message']}"
    return None


def _build(snapshot: Raw, image: str, verb: str, environment: dict[str, str], places: Any) -> dict[str, Any]:
    metadata = snapshot["metadata"]
    job = build_job(
        names.snapshot_job(metadata["name"], metadata["uid"], verb),
        metadata.get("namespace", "default"),
        container=verb,
        image=image,
        command=["python3", "-m", "aurora_operator.agent.snapshotjob", verb],
        labels={"app.kubernetes.io/managed-by": "aurora-operator", LABEL_SNAPSHOT_UID: metadata["uid"]},
        mounts=places,
        environment=environment,
        message_policy="File",
        tries=TRIES,
    )
    job["metadata"]["ownerReferences"] = [
        {
            "apiVersion": names.API_VERSION,
            "kind": SNAPSHOT_KIND,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
    ]
    return job


def _text(repository: Repository) -> str:
    return repository.model_dump_json(by_alias=True, exclude_none=True)
