from __future__ import annotations

import pytest
from tests.unit.kube.fake import FakeApi

from aurora_operator.api.base import names
from aurora_operator.kube.errors import NoAnswer
from aurora_operator.kube.observe import Surroundings, children, get_cluster, node_of, storage_class_of
from aurora_operator.kube.resources import CHILDREN, CLUSTER
from aurora_operator.planning.model.plan_model import CHILD_KINDS, Node, StorageClass

OURS = {"labels": {names.LABEL_CLUSTER: "demo"}}


def test_addresses() -> None:
    assert CLUSTER.path("ns", "demo", "status") == "/apis/aurorapg.io/v1alpha1/namespaces/ns/auroraclusters/demo/status"
    assert CHILDREN["Pod"].path("ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert CHILDREN["NetworkPolicy"].path() == "/apis/networking.k8s.io/v1/networkpolicies"
    assert {kind: r.api_version for kind, r in CHILDREN.items()} == dict(CHILD_KINDS)


async def test_children_are_found_by_label_in_their_namespace() -> None:
    api = FakeApi()
    api.put("/api/v1/namespaces/ns/pods/demo-1-0", metadata=OURS)
    api.put("/api/v1/namespaces/ns/pods/other-1-0", metadata={"labels": {names.LABEL_CLUSTER: "other"}})
    api.put("/api/v1/namespaces/elsewhere/pods/demo-1-0", metadata=OURS)
    api.put("/apis/apps/v1/namespaces/ns/statefulsets/demo-1", metadata=OURS)
    found = await children(api, "ns", "demo")
    assert set(found) == set(CHILD_KINDS)
    assert set(found["Pod"]) == {"demo-1-0"}
    assert found["Pod"]["demo-1-0"]["metadata"]["namespace"] == "ns"
    assert found["StatefulSet"]["demo-1"]["kind"] == "StatefulSet"
    assert found["StatefulSet"]["demo-1"]["apiVersion"] == "apps/v1"
    assert found["Secret"] == {}


async def test_the_connection_secret_is_found_without_a_label() -> None:
    api = FakeApi()
    api.put("/api/v1/namespaces/ns/secrets/demo-app", data={"password": "eA=="})
    assert set((await children(api, "ns", "demo"))["Secret"]) == {"demo-app"}


async def test_half_a_picture_is_none() -> None:
    api = FakeApi()
    api.fail["GET", "/secrets"] = NoAnswer("no answer")
    with pytest.raises(NoAnswer):
        await children(api, "ns", "demo")


async def test_a_cluster_that_is_gone() -> None:
    assert await get_cluster(FakeApi(), "ns", "demo") is None


def test_nodes() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    zone = {"name": "w", "labels": {names.LABEL_ZONE: "zone-a"}}
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    assert node_of({"metadata": zone, "status": ready}) == Node("w", "zone-a")
    assert not node_of({"metadata": zone, "status": {}}).ready
    assert node_of({"metadata": zone, "status": ready, "spec": {"unschedulable": True}}).cordoned
    assert not node_of({"metadata": {"name": "c"}, "status": ready, "spec": {"taints": [taint]}}).schedulable


def test_storage_classes() -> None:
    marked = {"name": "csi", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    assert storage_class_of({"metadata": marked, "allowVolumeExpansion": True}) == StorageClass("csi", True, True)
    assert storage_class_of({"metadata": {"name": "local"}}) == StorageClass("local", False, False)


async def test_surroundings_are_read_once_in_a_while() -> None:
    api, now = FakeApi(), [0.0]
    api.put("/api/v1/nodes/b")
    api.put("/api/v1/nodes/a")
    surroundings = Surroundings(api, seconds=10, clock=lambda: now[0])
    nodes, classes = await surroundings.read()
    assert [n.name for n in nodes] == ["a", "b"]
    assert classes == ()
    calls = len(api.calls)
    now[0] = 9.9
    await surroundings.read()
    assert len(api.calls) == calls
    now[0] = 10
    await surroundings.read()
    assert len(api.calls) == 2 * calls
