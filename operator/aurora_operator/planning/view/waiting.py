"""Copies that wait for Kubernetes: which of its complaints are worth reading, and what is said of them.

Why a StatefulSet makes no pod (a quota, a LimitRange, a PriorityClass that is not there), why a claim gets no volume
and why a pod does not start (a Secret that is not there) stand in events only. They are read of copies that have waited
for a while, so a steady cluster reads none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.api.base.conditions import READY
from aurora_operator.planning.model.plan_model import ObjectWarning, Raw, parse_time
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.volume import claim_name
from aurora_operator.planning.view.copies import Copy

ASK_AFTER: Final = timedelta(seconds=10)
"""What takes longer is worth a look at the events."""
SAY_AFTER: Final = timedelta(seconds=20)
"""What takes longer is said even where no event gives a cause."""

Wanted = Mapping[tuple[str, str], str]
"""Uids of objects by kind and name."""


def warnings_wanted(cluster: Raw, children: Mapping[str, Mapping[str, Raw]], now: datetime) -> Wanted:
    """The objects whose newest warnings `Observed.warnings` should have."""
    found: dict[tuple[str, str], str] = {}
    pods, claims = children.get("Pod", {}), children.get("PersistentVolumeClaim", {})
    for name, statefulset in sorted(children.get("StatefulSet", {}).items()):
        if is_leaving(statefulset) or not statefulset["spec"].get("replicas", 1):
            continue
        pod, claim = pods.get(names.pod_name(name)), claims.get(claim_name(name))
        since = _later(created(statefulset), _unready_since(cluster)) if pod is None else created(pod)
        if since is None or now - since < ASK_AFTER or not (pod is None or is_pending(pod)):
            continue
        seen = {"StatefulSet": statefulset} if pod is None else {"Pod": pod}
        if claim is not None and is_unbound(claim):
            seen["PersistentVolumeClaim"] = claim
        for kind, obj in seen.items():
            found[kind, obj["metadata"]["name"]] = obj["metadata"].get("uid", "")
    return found


def standstill(copy: Copy, warnings: Mapping[str, ObjectWarning], now: datetime) -> str | None:
    """Why a copy does not come to a pod that runs, or None while it does. `warnings` are those about its objects, by
    kind."""
    pod, claim, statefulset = copy.pod, copy.claim, copy.statefulset
    if statefulset is None or is_leaving(statefulset) or not statefulset["spec"].get("replicas", 1):
        return None
    if pod is None and "StatefulSet" in warnings:
        return f"StatefulSet {copy.name} cannot make its pod: {_cause(warnings['StatefulSet'])}"
    if pod is not None and is_leaving(pod):
        return None
    if claim is not None and is_unbound(claim):
        return _no_volume(copy, claim, warnings.get("PersistentVolumeClaim"), now)
    if pod is not None and is_pending(pod) and "Pod" in warnings:
        warning = warnings["Pod"]
        return f"{names.pod_name(copy.name)} does not start: {warning.reason}: {warning.message}"
    return None


def _no_volume(copy: Copy, claim: Raw, warning: ObjectWarning | None, now: datetime) -> str | None:
    name, storage_class = claim["metadata"]["name"], claim["spec"].get("storageClassName")
    if warning is not None:
        return f"Claim {name} gets no volume: {warning.reason}: {warning.message}"
    since = created(copy.statefulset if copy.pod is None else copy.pod)
    # A copy of other data may take long, and is spoken of by who began it.
    if since is None or now - since < SAY_AFTER or claim["spec"].get("dataSource"):
        return None
    if copy.pod is None:
        return f"StatefulSet {copy.name} has made no pod yet: see kubectl describe statefulset {copy.name}"
    return f"Claim {name} gets no volume: the driver of StorageClass {storage_class} has not made one yet"


def created(obj: Raw | None) -> datetime | None:
    """When an object was made, or None if it does not say."""
    text = ((obj or {}).get("metadata") or {}).get("creationTimestamp")
    return None if text is None else parse_time(text)


def is_unbound(claim: Raw) -> bool:
    """Whether a claim has no volume yet, as far as Kubernetes says."""
    phase = (claim.get("status") or {}).get("phase")
    return phase == "Pending" and not claim["spec"].get("volumeName") and not is_leaving(claim)


def is_pending(pod: Raw) -> bool:
    """Whether no container of a pod has ever started."""
    return (pod.get("status") or {}).get("phase") == "Pending"


def _unready_since(cluster: Raw) -> datetime | None:
    """Since when the cluster is not Ready; None where it is, or nothing was said yet."""
    conditions = (cluster.get("status") or {}).get("conditions") or ()
    ready = next((c for c in conditions if c.get("type") == READY), None)
    return parse_time(ready["lastTransitionTime"]) if ready is not None and ready["status"] != "True" else None


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _cause(warning: ObjectWarning) -> str:
    """Without what the StatefulSet's controller says of itself first."""
    _, found, rest = warning.message.partition(" failed error: ")
    return rest if found else warning.message
