from __future__ import annotations

from tests.unit.kube.fake import FakeApi

from aurora_operator.kube.snapshots import Snapshots
from aurora_operator.planning.model.plan_model import SnapshotClass

KEY = ("ns", "demo")
API = "/apis/snapshot.storage.k8s.io/v1"


async def test_a_cluster_without_the_api_has_no_snapshots_and_is_asked_rarely() -> None:
    api, now = FakeApi(), [0.0]
    snapshots = Snapshots(api, seconds=10, clock=lambda: now[0])
    assert await snapshots.read(KEY, api) == ((), {})
    assert await snapshots.read(KEY, api) == ((), {})
    assert len(api.calls) == 1
    now[0] = 10
    await snapshots.read(KEY, api)
    assert len(api.calls) == 2


async def test_classes_and_the_snapshots_of_one_cluster() -> None:
    api = FakeApi()
    mark = {"annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"}}
    api.put(f"{API}/volumesnapshotclasses/slow", driver="csi.test")
    api.put(f"{API}/volumesnapshotclasses/fast", driver="csi.test", metadata=mark)
    for name, cluster in (("a", "demo"), ("b", "other")):
        labels = {"labels": {"aurorapg.io/cluster": cluster}}
        api.put(f"{API}/namespaces/ns/volumesnapshots/{name}", metadata=labels)
    classes, found = await Snapshots(api).read(KEY, api)
    assert classes == (SnapshotClass("fast", "csi.test", True), SnapshotClass("slow", "csi.test", False))
    assert list(found) == ["a"] and found["a"]["kind"] == "VolumeSnapshot"
