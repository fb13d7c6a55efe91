"""What pods mount for a repository of backups: its Secrets, and the volume where it is one.

Secrets are optional, so that a pod whose Secret is missing runs and says so.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from aurora_operator.api.base import names
from aurora_operator.api.spec.repository import Repository
from aurora_operator.planning.model.plan_model import Raw

Mount = tuple[dict[str, Any], dict[str, Any]]
"""A volume and where it is mounted."""

RESTORE = "restore"
BACKUP = "backup"
_FOLDERS = {BACKUP: names.BACKUP_MOUNT, RESTORE: names.RESTORE_MOUNT}


def mounts(repository: Repository, purpose: str) -> tuple[Mount, ...]:
    """The mounts for `purpose`, which is BACKUP or RESTORE; the latter reads only."""
    secrets = dict(repository.destination.secrets)
    if repository.encryption is not None:
        secrets["encryption"] = repository.encryption.secret.name
    found: list[Mount] = []
    for folder, secret in sorted(secrets.items()):
        name = f"{purpose}-{folder}"
        volume = {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440, "optional": True}}
        found.append((volume, {"name": name, "mountPath": f"{_FOLDERS[purpose]}/{folder}", "readOnly": True}))
    if repository.destination.volume is not None:
        name = f"{purpose}-volume"
        claim: dict[str, Any] = {"claimName": repository.destination.volume.claim_name}
        place: dict[str, Any] = {"name": name, "mountPath": f"{_FOLDERS[purpose]}/volume"}
        if purpose == RESTORE:
            place["readOnly"] = True
        found.append(({"name": name, "persistentVolumeClaim": claim}, place))
    return tuple(found)


def kept(statefulset: Raw | None, purpose: str) -> tuple[Mount, ...]:
    """The mounts for `purpose` that a StatefulSet has: they stay, so that no pod is replaced to be rid of them."""
    spec = ((statefulset or {}).get("spec") or {}).get("template", {}).get("spec") or {}
    container: Raw = next((c for c in spec.get("containers") or () if c.get("name") == names.CONTAINER), {})
    places = {m["name"]: m for m in container.get("volumeMounts") or ()}
    return tuple(
        (deepcopy(dict(v)), deepcopy(dict(places[v["name"]])))
        for v in spec.get("volumes") or ()
        if v["name"].startswith(f"{purpose}-") and v["name"] in places
    )


def add(spec: dict[str, Any], wanted: tuple[Mount, ...]) -> None:
    """Add mounts to a pod's spec."""
    for volume, place in wanted:
        spec["volumes"].append(volume)
        spec["containers"][0]["volumeMounts"].append(place)
