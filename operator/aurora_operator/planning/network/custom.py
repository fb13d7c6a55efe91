"""Custom endpoints: a Service for each, over the readers that carry its mark.

Which instances are members follows from the spec, and is marked at their pods; whether a member is a reader just now
is its own agent's label, and whether its pod serves is Kubernetes' business. So a promotion and a pod's death need no
operator, and a pod that is made anew is a member again as soon as the operator has marked it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aurora_operator.api.base import names
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.endpoints import CustomEndpoint
from aurora_operator.api.status import CustomEndpointStatus
from aurora_operator.planning.autoscaling.readers import TIER as ADDED_TIER
from aurora_operator.planning.contribution import Contribution
from aurora_operator.planning.model.plan_model import ObjectRef, Raw
from aurora_operator.planning.network import endpoint as slices
from aurora_operator.planning.objects.common import is_leaving, label
from aurora_operator.planning.objects.network import build_custom_service
from aurora_operator.planning.view.copies import Copy
from aurora_operator.planning.view.facts import Facts


def contribute(view: Facts, spec: AuroraClusterSpec, *, diverted: bool) -> Contribution:
    """Services, the writer's parts in them, the marks of members, and the end of those that are in the spec no more."""
    made: list[dict[str, Any]] = []
    for endpoint in spec.endpoints:
        made.append(build_custom_service(view.identity, endpoint.name, endpoint.service, diverted=diverted))
        if endpoint.type == "any":
            leads = _writer(view, spec, endpoint) is not None
            piece = slices.any_slice(view, diverted=diverted, custom=endpoint.name, member=leads)
            made += [] if piece is None else [piece]
    return Contribution(
        apply=(*made, *_marked(view, spec)),
        delete=tuple(_removed(view, spec)),
        status={"custom_endpoints": tuple(_status(view, spec, e) for e in spec.endpoints) or None},
    )


def may_be_member(copy: Copy, spec: AuroraClusterSpec, endpoint: CustomEndpoint) -> bool:
    """Whether the spec lets the instance be a member, whatever its role is."""
    tier = ADDED_TIER if copy.added else spec.promotion_tier_of(copy.ordinal)
    return (
        (not endpoint.static_members or copy.ordinal in endpoint.static_members)
        and copy.ordinal not in endpoint.excluded_members
        and (not endpoint.promotion_tiers or tier in endpoint.promotion_tiers)
        and (not endpoint.availability_zones or copy.zone in endpoint.availability_zones)
    )


def _writer(view: Facts, spec: AuroraClusterSpec, endpoint: CustomEndpoint) -> Copy | None:
    """The writer, if it is a member."""
    ordinal = view.leader_ordinal
    copy = view.copies.get(ordinal) if ordinal is not None else None
    if endpoint.type != "any" or copy is None or not may_be_member(copy, spec, endpoint):
        return None
    return copy


def _marked(view: Facts, spec: AuroraClusterSpec) -> Iterator[dict[str, Any]]:
    """The pods with the marks that they should have, where they have any or should."""
    for copy in view.copies.values():
        if copy.pod is None or is_leaving(copy.pod):
            continue
        wanted = {names.LABEL_MEMBER + e.name: "true" for e in spec.endpoints if may_be_member(copy, spec, e)}
        there = copy.pod["metadata"].get("labels") or {}
        if wanted or any(key.startswith(names.LABEL_MEMBER) for key in there):
            metadata = {"name": copy.pod["metadata"]["name"], "namespace": view.identity.namespace, "labels": wanted}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def _removed(view: Facts, spec: AuroraClusterSpec) -> Iterator[ObjectRef]:
    yield from (ObjectRef("Service", *found) for found in _unwanted("Service", view, spec))
    yield from (ObjectRef("EndpointSlice", *found) for found in _unwanted("EndpointSlice", view, spec))


def _unwanted(kind: str, view: Facts, spec: AuroraClusterSpec) -> Iterator[tuple[str, str | None]]:
    """Name and uid of what belongs to endpoints that the spec does not name."""
    named = {endpoint.name: endpoint.type for endpoint in spec.endpoints}
    for name, there in view.observed.children.get(kind, {}).items():
        custom = label(there, names.LABEL_ENDPOINT)
        if custom is not None and not is_leaving(there) and not _is_wanted(there, custom, named.get(custom)):
            yield name, there["metadata"].get("uid")


def _is_wanted(there: Raw, custom: str, type_: str | None) -> bool:
    """Kubernetes' own slices carry the labels of their Service, and are its own business."""
    if there["kind"] == "EndpointSlice":
        return label(there, "endpointslice.kubernetes.io/managed-by") != names.GROUP or type_ == "any"
    return type_ is not None


def _status(view: Facts, spec: AuroraClusterSpec, endpoint: CustomEndpoint) -> CustomEndpointStatus:
    writer = _writer(view, spec, endpoint)
    readers = [
        copy.name
        for copy in view.copies.values()
        if copy.pod_ready
        and label(copy.pod, names.LABEL_ROLE) == "reader"
        and label(copy.pod, names.LABEL_MEMBER + endpoint.name) == "true"
    ]
    return CustomEndpointStatus(
        name=endpoint.name,
        type=endpoint.type,
        host=f"{names.custom_service(view.name, endpoint.name)}.{view.identity.namespace}.svc",
        members=tuple(sorted({*readers, *([] if writer is None else [writer.name])})),
    )
