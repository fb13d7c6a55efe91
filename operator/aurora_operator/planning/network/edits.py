"""What somebody changed at our Services by hand, and is put back: nobody should have to guess why it does not stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from aurora_operator.api.base import names, reasons
from aurora_operator.planning.model.plan_model import FIELD_MANAGER, EventSpec, Raw
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.compare import covers
from aurora_operator.planning.view.facts import Facts

_BY_SPEC: Final = ("type", "loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy")
"""Fields of a Service that our resource has too, by the same names."""
_OURS: Final = ("selector", "ports")
"""Fields that nobody else decides."""


def put_back(view: Facts, services: Iterable[Raw]) -> tuple[EventSpec, ...]:
    """An event for each field of `services`, as they should be, that another hand has set otherwise."""
    return tuple(event for service in services for event in _edits(view, service))


def _edits(view: Facts, wanted: Raw) -> Iterator[EventSpec]:
    name = wanted["metadata"]["name"]
    there = view.observed.child("Service", name)
    if there is None or is_leaving(there):
        return
    if names.pods_service(view.name) == name:
        return  # none of the endpoints
    for field in (*_BY_SPEC, *_OURS):
        value, asked = there["spec"].get(field), wanted["spec"].get(field)
        hand = _hand(there, field)
        if hand is None or field not in wanted["spec"] or covers(there["spec"], {field: asked}):
            continue
        text = f"Service {name}: spec.{field} was changed by {hand}"
        if field in _BY_SPEC:
            text += f" to {_shown(value)}, and is put back to {_shown(asked)}"
            text += f": set {_path(view, name)}.{field} of this AuroraCluster instead."
        else:
            text += ", and is put back: the operator decides it."
        yield EventSpec("Warning", reasons.EDIT_PUT_BACK, text)


def _path(view: Facts, service: str) -> str:
    """Where the spec says it."""
    fields = {
        names.writer_service(view.name): "spec.services.writer",
        names.reader_service(view.name): "spec.services.reader",
        names.any_service(view.name): "spec.services.any",
    }
    custom = service.removeprefix(f"{view.name}-")
    return fields.get(service) or f"spec.endpoints[name={custom}].service"


def _hand(there: Raw, field: str) -> str | None:
    """Who set the field last, if it was not us."""
    for entry in there["metadata"].get("managedFields") or ():
        fields: Mapping[str, Any] = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if f"f:{field}" in fields and entry.get("manager") != FIELD_MANAGER and not entry.get("subresource"):
            return str(entry.get("manager"))[:100]
    return None


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))[:200] or "none"
    return "none" if value is None else str(value)
