from __future__ import annotations

from typing import Any

import pytest
from tests.unit.kube.fake import FakeApi

from aurora_operator.kube import write
from aurora_operator.kube.client import JSON_PATCH
from aurora_operator.kube.errors import Conflict, Invalid
from aurora_operator.planning.model.plan_model import ObjectRef

CM = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
CM_PATH = "/api/v1/namespaces/ns/configmaps/c"
CLUSTER_PATH = "/apis/aurorapg.io/v1alpha1/namespaces/ns/auroraclusters/demo"


async def test_apply_takes_fields_over() -> None:
    api = FakeApi()
    await write.apply(api, "ns", CM)
    assert api.objects[CM_PATH]["data"] == {"a": "1"}
    assert api.queries == [{"fieldManager": "aurora-operator", "force": "true"}]


async def test_create_never_changes() -> None:
    api = FakeApi()
    assert await write.create(api, "ns", CM)
    assert not await write.create(api, "ns", {**CM, "data": {"a": "2"}})
    assert api.objects[CM_PATH]["data"] == {"a": "1"}


async def test_delete_only_what_was_seen() -> None:
    api = FakeApi()
    seen = api.put(CM_PATH)
    with pytest.raises(Conflict):
        await write.delete(api, "ns", ObjectRef("ConfigMap", "c", uid="another"))
    assert CM_PATH in api.objects
    await write.delete(api, "ns", ObjectRef("ConfigMap", "c", uid=seen["metadata"]["uid"], grace_period_seconds=5))
    assert api.objects == {}
    assert api.bodies[-1]["gracePeriodSeconds"] == 5
    assert api.bodies[-1]["propagationPolicy"] == "Background"
    await write.delete(api, "ns", ObjectRef("ConfigMap", "c"))  # gone already: fine


async def test_status_is_replaced_whole_and_only_of_that_resource() -> None:
    api = FakeApi()
    cluster = api.put(CLUSTER_PATH, status={"old": 1})
    api.put(CLUSTER_PATH, **{**cluster, "spec": {"edited": "meanwhile"}})
    await write.replace_status(api, "ns", cluster, {"new": 2})
    assert api.objects[CLUSTER_PATH]["status"] == {"new": 2}
    assert api.objects[CLUSTER_PATH]["spec"] == {"edited": "meanwhile"}
    stranger = {"metadata": {**cluster["metadata"], "uid": "another"}}
    with pytest.raises(Invalid):
        await write.replace_status(api, "ns", stranger, {"new": 3})


async def test_annotations_and_finalizers() -> None:
    api = FakeApi()
    cluster = api.put(CLUSTER_PATH, metadata={"annotations": {"a": "1", "b": "2"}})
    changed = await write.annotate(api, "ns", "demo", {"a": None, "c": "3"})
    assert changed["metadata"]["annotations"] == {"b": "2", "c": "3"}
    with pytest.raises(Conflict):
        await write.set_finalizers(api, "ns", cluster, ["aurorapg.io/x"])
    await write.set_finalizers(api, "ns", changed, ["aurorapg.io/x"])
    assert api.objects[CLUSTER_PATH]["metadata"]["finalizers"] == ["aurorapg.io/x"]


async def test_apply_is_about_one_object_only() -> None:
    api = FakeApi()
    there = api.put(CM_PATH, data={"a": "0"})
    exactly = {**CM, "metadata": {"name": "c", "uid": there["metadata"]["uid"]}}
    await write.apply(api, "ns", exactly)
    assert api.objects[CM_PATH]["data"] == {"a": "1"}
    api.put(CM_PATH, metadata={"uid": "another"}, data={"theirs": "1"})
    with pytest.raises(Conflict):
        await write.apply(api, "ns", exactly)
    api.objects.clear()
    with pytest.raises(Conflict):
        await write.apply(api, "ns", exactly)
    api.fail["PATCH", "configmaps"] = Invalid(422, "Invalid", "metadata.uid: Invalid value: field is immutable")
    with pytest.raises(Conflict):
        await write.apply(api, "ns", exactly)


async def test_what_was_created_is_owned_as_if_it_had_been_applied() -> None:
    """Or a field that a later apply leaves out would stay."""

    class Tracking(FakeApi):
        async def request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
            if more.get("content_type") == JSON_PATCH:
                self.calls.append((method, path))
                self.bodies.append(more["body"])
                return {}
            made = await super().request(method, path, **more)
            entries = [
                {"manager": "kube", "operation": "Update"},
                {"manager": "aurora-operator", "operation": "Update"},
            ]
            made["metadata"]["managedFields"] = entries
            return made

    api = Tracking()
    assert await write.create(api, "ns", CM)
    assert api.calls == [("POST", "/api/v1/namespaces/ns/configmaps"), ("PATCH", CM_PATH)]
    assert api.bodies[-1][-1] == {"op": "replace", "path": "/metadata/managedFields/1/operation", "value": "Apply"}
    assert [step["op"] for step in api.bodies[-1]] == ["test", "test", "test", "replace"]

    there = {"metadata": {"uid": "u", "managedFields": [{"manager": "aurora-operator", "operation": "Update"}]}}
    await write.apply(api, "ns", CM, there)
    assert len(api.calls) == 4, "one that an earlier operator created is put right before it is changed"
    there["metadata"]["managedFields"] = [{"manager": "aurora-operator", "operation": "Apply"}]
    await write.apply(api, "ns", CM, there)
    assert len(api.calls) == 5
