from __future__ import annotations

import pytest
from tests.unit.kube.fake import FakeApi

from aurora_operator.kube import write
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
