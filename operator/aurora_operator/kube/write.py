"""Writing: each function is one step, safe to repeat. All raise KubeError."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from aurora_operator.kube.client import APPLY, JSON_PATCH, MERGE, Api
from aurora_operator.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from aurora_operator.kube.resources import CLUSTER, Resource, resource_of
from aurora_operator.planning.model.plan_model import FIELD_MANAGER, ObjectRef, Raw


async def apply(api: Api, namespace: str, manifest: Mapping[str, Any], there: Raw | None = None) -> Raw:
    """Server-side apply: make the object have these fields, taking them over from whoever set them.

    With a uid in its metadata, it is about that one object only: Conflict is raised when another one has its name.
    `there` is the object as it was seen.
    """
    path = resource_of(manifest["kind"]).path(namespace, manifest["metadata"]["name"])
    if there is not None:
        await _own_as_applied(api, path, there)
    query = {"fieldManager": FIELD_MANAGER, "force": "true"}
    try:
        return await api.request("PATCH", path, query=query, body=dict(manifest), content_type=APPLY)
    except Invalid as error:
        if "uid" in manifest["metadata"] and "metadata.uid" in error.message:
            raise Conflict(409, "Conflict", "another object has its name") from error
        raise


async def create(api: Api, namespace: str, manifest: Mapping[str, Any]) -> bool:
    """Create the object unless one of its name exists; whether it was created. Nothing that exists is changed."""
    resource = resource_of(manifest["kind"])
    try:
        made = await api.request(
            "POST", resource.path(namespace), query={"fieldManager": FIELD_MANAGER}, body=dict(manifest)
        )
    except AlreadyExists:
        return False
    await _own_as_applied(api, resource.path(namespace, manifest["metadata"]["name"]), made)
    return True


async def _own_as_applied(api: Api, path: str, there: Raw) -> None:
    """Make fields that we own by having created the object as if we had applied them.

    Otherwise a field that a later apply leaves out would stay: the creation would still own it. That something else
    happened to the object in between does no harm: the next apply asks for it again.
    """
    entries = there["metadata"].get("managedFields") or ()
    own = [(i, entry) for i, entry in enumerate(entries) if entry.get("manager") == FIELD_MANAGER]
    if any(entry.get("operation") == "Apply" for _, entry in own):
        return
    for index, entry in own:
        if entry.get("operation") == "Update" and not entry.get("subresource"):
            at = f"/metadata/managedFields/{index}"
            patch = [
                {"op": "test", "path": "/metadata/uid", "value": there["metadata"]["uid"]},
                {"op": "test", "path": f"{at}/manager", "value": FIELD_MANAGER},
                {"op": "test", "path": f"{at}/operation", "value": "Update"},
                {"op": "replace", "path": f"{at}/operation", "value": "Apply"},
            ]
            query = {"fieldManager": FIELD_MANAGER}
            with contextlib.suppress(Conflict, Invalid, NotFound):
                await api.request("PATCH", path, query=query, body=patch, content_type=JSON_PATCH)
            return


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
