"""Volumes that grow by themselves: for each copy, what its claim should ask for now, and what stands in the way.

Nothing is remembered but what the status holds: a size that was wanted before, and that the claim does not ask for
yet, was refused. It is asked for again after a pause that doubles each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from aurora_operator.api.base import reasons
from aurora_operator.api.base.conditions import RECONCILED
from aurora_operator.api.base.quantity import from_bytes, to_bytes
from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import AuroraClusterStatus, VolumeStatus
from aurora_operator.planning.model.plan_model import Raw, StorageClass
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes import volume_size
from aurora_operator.planning.volumes.volume_size import Need, Volume, gib

FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=5)
LOG_THRESHOLD: Final = 80
"""Percent. From three quarters on a log copy keeps no WAL for instances that are away: that is not paid for with disk.
"""
COARSE: Final = 16 << 20
"""The status shows used bytes in multiples of this, so that it does not change all the time."""
_REFUSED: Final = "cannot apply PersistentVolumeClaim {}: "


@dataclass(frozen=True)
class Trouble:
    """Why a volume has too little room and does not get more, or what piles up on it."""

    reason: str
    message: str


@dataclass(frozen=True)
class Growth:
    """The decision about one volume."""

    size: str
    """What its claim should ask for now."""
    status: VolumeStatus
    trouble: Trouble | None = None
    pending: bool = False
    """Whether it is not yet as large as it was asked to be."""


def grow(
    spec: AuroraClusterSpec,
    copy: Copy | None,
    name: str,
    facts: Facts,
    before: AuroraClusterStatus,
    *,
    least: int = 0,
    log_copy: bool = False,
) -> Growth:
    """Decide for the copy called `name`; `copy` is None, or has no claim, while it is being made.

    `least` is what a new volume must have at least, in bytes, because of what it is made from.
    """
    claim = copy.claim if copy is not None else None
    begins = spec.durability.log_volume_size if log_copy else spec.storage.size
    begins_bytes, policy = to_bytes(begins), spec.storage.autoscaling
    if log_copy:
        policy = policy.model_copy(update={"threshold_percent": max(policy.threshold_percent, LOG_THRESHOLD)})
    need = _need(copy, facts, log_copy=log_copy)
    if claim is None:
        first = volume_size.first_size(max(begins_bytes, least), need, policy)
        size = begins if first == begins_bytes else from_bytes(first)
        return Growth(size, VolumeStatus(name=name, size=size), None)
    asked = str(claim["spec"]["resources"]["requests"]["storage"])
    volume = _volume(copy, claim)
    chosen = max(volume.requested, begins_bytes)
    floor = Volume(chosen, volume.capacity, volume.size)
    wanted = volume_size.wanted_size(floor, need, policy)
    trouble = None
    old = next((v for v in before.storage.volumes if v.name == name), None) if before.storage is not None else None
    attempts, last = 0, None
    size = asked
    if wanted > volume.requested:
        text = begins if wanted == begins_bytes else from_bytes(wanted)
        trouble = _cannot(claim, asked, facts)
        if trouble is None:
            attempts, last = _attempts(old, volume.requested)
            if last is None or facts.now - last >= _pause(attempts):
                size, attempts, last = text, attempts + 1, facts.now.replace(microsecond=0)
            if attempts > 1:
                trouble = _refused(claim, text, old, before)
    elif volume_size.is_short(volume.coming, need, policy):
        trouble = _at_its_limit(name, asked, spec, log_copy=log_copy)
    trouble = _failed(claim) or trouble or _piling(name, copy, volume)
    use = use_of(copy)
    capacity = _capacity(claim)
    status = VolumeStatus(
        name=name,
        size=size,
        capacity=capacity,
        used_bytes=coarse(use.used_bytes) if use is not None else None,
        free_bytes=use.free_bytes // COARSE * COARSE if use is not None else None,
        wanted=from_bytes(wanted) if last is not None else None,
        attempts=attempts or None,
        last_attempt=last,
        message=trouble.message if trouble is not None else None,
    )
    return Growth(size, status, trouble, capacity is not None and to_bytes(capacity) < to_bytes(size))


def use_of(copy: Copy | None) -> VolumeUse | None:
    """What is on a copy's volume, from its agent, or else from the kubelet; None if nobody tells."""
    agent = copy.agent if copy is not None else None
    if agent is None:
        return copy.kubelet if copy is not None else None
    if agent.volume is not None:
        return agent.volume
    return VolumeUse(size_bytes=agent.volume_bytes, used_bytes=agent.volume_used_bytes) if agent.volume_bytes else None


def coarse(size: int) -> int:
    """Rounded up."""
    return -(-size // COARSE) * COARSE


def _need(copy: Copy | None, facts: Facts, *, log_copy: bool) -> Need:
    use = use_of(copy)
    own = volume_size.need_of(use) if use is not None else None
    if log_copy:
        return own or Need(0)  # it holds WAL only, and never has to take over
    writer = facts.leader_ordinal
    leading = use_of(facts.copies[writer]) if writer is not None else None
    if copy is not None and copy.ordinal == writer and own is not None:
        return own
    return volume_size.follower_need(own, leading, use.wal_bytes if use is not None else 0)


def _volume(copy: Copy | None, claim: Raw) -> Volume:
    requested = to_bytes(str(claim["spec"]["resources"]["requests"]["storage"]))
    text = _capacity(claim)
    capacity = to_bytes(text) if text is not None else requested
    use = use_of(copy) if copy is not None and copy.agent is not None else None
    # A file system that was not made larger yet, or whose size nobody knows, is as large as Kubernetes says. The
    # kubelet's word is a minute old: it would grow once more for every look in that time.
    return Volume(requested, capacity, min(use.size_bytes, capacity) if use is not None else capacity)


def _capacity(claim: Raw) -> str | None:
    text = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return None if text is None else str(text)


def _attempts(old: VolumeStatus | None, requested: int) -> tuple[int, datetime | None]:
    """How often a larger size was asked for in vain, and when last."""
    if old is None or old.wanted is None or to_bytes(old.wanted) <= requested:
        return 0, None
    return old.attempts or 0, old.last_attempt


def _pause(attempts: int) -> timedelta:
    doublings = min(max(attempts - 1, 0), 10)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def class_of(claim: Raw, classes: tuple[StorageClass, ...]) -> StorageClass | None:
    """The StorageClass of a claim, if it is known."""
    name = (claim.get("spec") or {}).get("storageClassName")
    return next((c for c in classes if c.name == name), None)


def _cannot(claim: Raw, asked: str, facts: Facts) -> Trouble | None:
    used = class_of(claim, facts.observed.storage_classes)
    if used is not None and used.expandable:
        return None
    name = used.name if used is not None else "of the volume"
    return Trouble(
        reasons.EXPANSION_NOT_SUPPORTED,
        f"StorageClass {name} does not allow volume expansion: {claim['metadata']['name']} stays at {asked}. Set "
        "allowVolumeExpansion in the class, if its driver can do it; else make room, or move to a cluster with "
        "another class.",
    )


def _refused(claim: Raw, wanted: str, old: VolumeStatus | None, before: AuroraClusterStatus) -> Trouble:
    """What Kubernetes said, which is in the condition that tells of failed steps, or in the message from then on."""
    name = str(claim["metadata"]["name"])
    mark = _REFUSED.format(name)
    failure = next((c.message for c in before.conditions if c.type == RECONCILED), "")
    if mark in failure:
        why = failure.partition(mark)[2]
    elif old is not None and old.message and " granted: " in old.message:
        return Trouble(reasons.EXPANSION_REFUSED, old.message)
    else:
        why = "see the operator's log"
    hint = (
        "Raise the ResourceQuota of the namespace."
        if "exceeded quota" in why
        else "Remove what stands in the way; it is tried again."
    )
    return Trouble(
        reasons.EXPANSION_REFUSED, f"{name} needs {wanted}, which is not granted: {why.rstrip('. ')}. {hint}"
    )


def _at_its_limit(name: str, asked: str, spec: AuroraClusterSpec, *, log_copy: bool) -> Trouble:
    policy = spec.storage.autoscaling
    if not policy.enabled:
        field = "durability.logVolumeSize" if log_copy else "storage.size"
        what = f"storage.autoscaling.enabled is false: raise {field}"
    else:
        what = f"storage.autoscaling.max is {policy.max}: raise it"
    return Trouble(reasons.MAXIMUM_REACHED, f"The volume of {name} ({asked}) is nearly full, and {what}, or make room.")


def _failed(claim: Raw) -> Trouble | None:
    """A resize that was begun, and that the driver or the node cannot finish."""
    status = claim.get("status") or {}
    states = (status.get("allocatedResourceStatuses") or {}).get("storage", "")
    for condition in status.get("conditions") or ():
        if condition.get("type") in ("ControllerResizeError", "NodeResizeError") and condition.get("status") == "True":
            return _resize_error(claim, str(condition.get("message") or condition["type"]))
    if str(states).endswith("Infeasible"):
        return _resize_error(claim, str(states))
    return None


def _resize_error(claim: Raw, why: str) -> Trouble:
    asked = claim["spec"]["resources"]["requests"]["storage"]
    return Trouble(
        reasons.EXPANSION_FAILED,
        f"The storage driver could not make {claim['metadata']['name']} {asked} large, and goes on trying: "
        f"{why.rstrip('. ')}. Give the storage behind it more room.",
    )


def _piling(name: str, copy: Copy | None, volume: Volume) -> Trouble | None:
    """What piles up, once it takes a tenth of the volume."""
    use = use_of(copy)
    if use is None:
        return None
    pile = next((p for p in volume_size.piles(use) if p.size > volume.size // 10), None)
    return None if pile is None else Trouble(pile.cause, f"{name}: {pile.detail}")


def full(copy: Copy | None) -> str | None:
    """What a copy's agent does because its volume is full, as a sentence, or None."""
    use = use_of(copy)
    if copy is None or use is None or use.brake == "off":
        return None
    left = gib(use.free_bytes)
    if use.brake == "held":
        return f"The volume of {copy.name} is full ({left} left), and PostgreSQL waits until it has grown."
    if copy.agent is None or copy.agent.role != "writer":
        return f"The volume of {copy.name} is nearly full ({left} left): its PostgreSQL stops before it is full."
    return f"The volume of {copy.name} is nearly full ({left} left): writes are refused until it has grown."


def poke(copy: Copy, facts: Facts) -> dict[str, Any] | None:
    """A change to the pod for which the kubelet looks at it again at once, and grows the file system.

    It would otherwise do so at its next round, a minute or more later. Repeated while it has not been done.
    """
    claim, pod = copy.claim, copy.pod
    conditions: list[Mapping[str, Any]] = ((claim or {}).get("status") or {}).get("conditions") or []
    waits = any(c.get("type") == "FileSystemResizePending" and c.get("status") == "True" for c in conditions)
    if not waits or pod is None or pod["metadata"].get("deletionTimestamp") is not None or claim is None:
        return None
    moment = facts.now.replace(second=facts.now.second // 5 * 5, microsecond=0)
    asked = claim["spec"]["resources"]["requests"]["storage"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod["metadata"]["name"],
            "namespace": facts.identity.namespace,
            # Without it, applying would make a pod where there is none any more.
            "uid": pod["metadata"].get("uid"),
            "annotations": {POKE: f"{asked} at {moment:%Y-%m-%dT%H:%M:%SZ}"},
        },
    }


POKE: Final = "aurorapg.io/grow-file-system"
