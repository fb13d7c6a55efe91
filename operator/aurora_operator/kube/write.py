"""Writing: each function is one call, safe to repeat. All raise KubeError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aurora_operator.kube.client import APPLY, JSON_PATCH, MERGE, Api
from aurora_operator.kube.errors import AlreadyExists, NotFound
from aurora_operator.kube.resources import CLUSTER, Resource, resource_of
from aurora_operator.planning.model.plan_model import FIELD_MANAGER, ObjectRef, Raw


async def apply(api: Api, namespace: str, manifest: Mapping[str, Any]) -> Raw:
    """Server-side apply: make the object have these fields, taking them over from whoever set them."""
    path = resource_of(manifest["kind"]).path(namespace, manifest["metadata"]["name"])
    query = {"fieldManager": FIELD_MANAGER, "force": "true"}
    return await api.request("PATCH", path, query=query, body=dict(manifest), content_type=APPLY)


async def create(api: Api, namespace: str, manifest: Mapping[str, Any]) -> bool:
    """Create the object unless one of its name exists; whether it was created."""
    path = resource_of(manifest["kind"]).path(namespace)
    try:
        await api.request("POST", path, query={"fieldManager": FIELD_MANAGER}, body=dict(manifest))
    except AlreadyExists:
        return False
    return True


async def delete(api: Api, namespace: str, ref: ObjectRef) -> None:
    """Delete exactly this object (by its uid, when given); what depends on it goes in the background.

    An object that is gone is fine. Raises Conflict when another one has taken its name.
    """
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    if ref.uid is not None:
        body["preconditions"] = {"uid": ref.uid}
    if ref.grace_period_seconds is not None:
        body["gracePeriodSeconds"] = ref.grace_period_seconds
    try:
        await api.request("DELETE", resource_of(ref.kind).path(namespace, ref.name), body=body)
    except NotFound:
        return


async def annotate(api: Api, namespace: str, cluster: str, annotations: Mapping[str, str | None]) -> Raw:
    """Set annotations of an AuroraCluster; None removes one."""
    body = {"metadata": {"annotations": dict(annotations)}}
    return await _merge(api, namespace, cluster, body)


async def set_finalizers(
    api: Api, namespace: str, raw: Raw, finalizers: Sequence[str], resource: Resource = CLUSTER
) -> None:
    """Replace the finalizers of one of our resources, if nobody has changed it since it was read (else Conflict)."""
    metadata = raw["metadata"]
    body = {"metadata": {"finalizers": list(finalizers), "resourceVersion": metadata["resourceVersion"]}}
    try:
        await _merge(api, namespace, metadata["name"], body, resource)
    except NotFound:
        return


async def replace_status(
    api: Api, namespace: str, raw: Raw, status: Mapping[str, Any], resource: Resource = CLUSTER
) -> None:
    """Replace the whole status of one of our resources.

    By a JSON patch: an update would fail whenever somebody edits the spec at the same time, and a merge patch would
    keep what is no longer true. The uid makes sure that it is not another resource of the same name.
    """
    metadata = raw["metadata"]
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "add", "path": "/status", "value": dict(status)},
    ]
    path = resource.path(namespace, metadata["name"], "status")
    try:
        await api.request("PATCH", path, query={"fieldManager": FIELD_MANAGER}, body=patch, content_type=JSON_PATCH)
    except NotFound:
        return


async def _merge(api: Api, namespace: str, name: str, body: Mapping[str, Any], resource: Resource = CLUSTER) -> Raw:
    path = resource.path(namespace, name)
    return await api.request("PATCH", path, query={"fieldManager": FIELD_MANAGER}, body=dict(body), content_type=MERGE)
