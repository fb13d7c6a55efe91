"""What becomes of requests (`api.base.requests`) in this plan: rooms change them as if each were a command. Pure.

Which is a command is told by who wrote it (`metadata.managedFields`): kubectl's commands for single fields, and we.
Whoever else writes annotations applies manifests, and may do so again at any time. In doubt a request stands in a
manifest: then it is done once, and not again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aurora_operator.api.base import reasons
from aurora_operator.api.base.requests import REQUESTS, written_request
from aurora_operator.api.status import RequestStatus
from aurora_operator.planning.model.plan_model import FIELD_MANAGER, EventSpec, Raw
from aurora_operator.planning.objects.common import annotation
from aurora_operator.planning.view.facts import Facts

COMMANDS: Final = frozenset({"kubectl-annotate", "kubectl-edit", "kubectl-patch", FIELD_MANAGER})
"""Managers of fields that a person sets by a command."""
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""By `kubectl apply` without `--server-side`, and tools that do the same: the manifest."""


@dataclass(frozen=True)
class Requests:
    """What is to be written of them."""

    annotations: Mapping[str, str | None]
    """Changes to the cluster's annotations."""
    status: tuple[RequestStatus, ...] | None
    """What is noted of requests that stand in a manifest; None: nothing."""
    events: tuple[EventSpec, ...]


def settle_requests(view: Facts, changes: Mapping[str, str | None]) -> Requests:
    """`changes` are those to annotations, of all rooms. Of a request in a manifest they go into the status."""
    cluster, annotations = view.observed.cluster, dict(changes)
    noted = {entry.name: entry for entry in view.before.requests or ()}
    status: list[RequestStatus] = []
    events: list[EventSpec] = []
    for name in REQUESTS:
        value, before = written_request(cluster, name), noted.get(name)
        if value is None:
            continue  # Withdrawn: should it be written again, it is a new request.
        known = before is not None and before.asked == value
        if known or is_declared(cluster, name):
            if name in annotations:
                stage = annotations.pop(name)
                status.append(RequestStatus(name=name, asked=value, stage=stage))
                events += [_over(view, name, value)] if stage is None else []
            elif known and before is not None:
                status.append(before)
        elif before is not None:
            # A command came over what stands in the manifest. That is over, and is put back when the command is.
            status.append(before.model_copy(update={"stage": None}))
            if name in annotations and annotations[name] is None:
                annotations[name] = before.asked
    return Requests(annotations, tuple(status) or None, tuple(events))


def is_declared(cluster: Raw, name: str) -> bool:
    """Whether the annotation, as it is, stands in a manifest that somebody applies."""
    value = annotation(cluster, name)
    if value is not None and _last_applied(cluster).get(name) == value:
        return True
    for entry in cluster["metadata"].get("managedFields") or ():
        fields = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {}
        if f"f:{name}" in fields and (entry.get("operation") != "Update" or entry.get("manager") not in COMMANDS):
            return True
    return False


def _last_applied(cluster: Raw) -> Mapping[str, Any]:
    """The annotations in the manifest that was applied last; none where that cannot be read."""
    try:
        node = json.loads(annotation(cluster, LAST_APPLIED) or "{}")
    except (ValueError, RecursionError):
        return {}
    for key in ("metadata", "annotations"):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def _over(view: Facts, name: str, value: str) -> EventSpec:
    word = value.partition("/")[0]
    message = (
        f"{name}: {value[:100]} is over. It stands in a manifest, so it stays, and is not done again. To ask again, "
        f"write another value, such as {word[:100]}/{int(view.now.timestamp())}."
    )
    return EventSpec("Normal", reasons.REQUEST_OVER, message)
