from __future__ import annotations

from typing import Any

import pytest

from aurora_operator.api.base import names
from aurora_operator.planning.model.snapshot_model import is_held_by
from aurora_operator.planning.ownership.whose import may_delete_claim, sort_out

CLUSTER = {"metadata": {"name": "demo", "uid": "u", "creationTimestamp": "2026-03-01T12:00:00Z"}}
LABEL = {names.LABEL_CLUSTER: "demo"}
OURS = {"kind": "AuroraCluster", "name": "demo", "uid": "u", "controller": True}


def is_ours(kind: str, name: str, **metadata: Any) -> bool:
    found = sort_out(CLUSTER, {kind: {name: {"metadata": {"name": name, **metadata}}}})
    assert (name in found.ours[kind]) != (name in found.taken[kind])
    return name in found.ours[kind]


@pytest.mark.parametrize("kind", ["Service", "Secret", "StatefulSet", "VolumeSnapshot", "Job", "EndpointSlice"])
def test_ours_is_what_our_cluster_controls(kind: str) -> None:
    assert is_ours(kind, "x", labels=LABEL, ownerReferences=[OURS])
    assert is_ours(kind, "x", ownerReferences=[OURS]), "its label is put right"
    assert not is_ours(kind, "x", labels=LABEL), "anybody may use a label"
    assert not is_ours(kind, "x", labels=LABEL, ownerReferences=[{**OURS, "uid": "of an earlier life"}])
    assert not is_ours(kind, "x", labels=LABEL, ownerReferences=[{**OURS, "controller": False}])
    assert not is_ours(kind, "x", labels=LABEL, ownerReferences=[{**OURS, "kind": "AuroraSnapshot"}])


def test_claims_have_marks_and_no_owner() -> None:
    instance = {**LABEL, names.LABEL_INSTANCE: "demo-1"}
    uid = {names.ANNOTATION_CLUSTER_UID: "u"}
    assert is_ours("PersistentVolumeClaim", "data-demo-1", labels=instance, annotations=uid)
    assert is_ours("PersistentVolumeClaim", "data-demo-1", labels=instance), "of an earlier release"
    assert is_ours("PersistentVolumeClaim", "data-demo-1", annotations=uid), "somebody took its labels"
    earlier = {names.ANNOTATION_CLUSTER_UID: "earlier"}
    assert is_ours("PersistentVolumeClaim", "data-demo-1", labels=instance, annotations=earlier), "kept, used again"
    assert not is_ours("PersistentVolumeClaim", "data-demo-1", labels={"app": "demo"})
    assert not is_ours("PersistentVolumeClaim", "data-demo-1", labels=LABEL)
    assert not is_ours("PersistentVolumeClaim", "data-demo-1", labels=instance, ownerReferences=[OURS])


@pytest.mark.parametrize(
    ("uid", "made", "may"),
    [
        ("u", None, True),
        ("earlier", "2026-03-01T13:00:00Z", False),
        (None, "2026-03-01T13:00:00Z", True),
        (None, "2026-03-01T12:00:00Z", True),
        (None, "2026-03-01T11:59:59Z", False),
        (None, None, False),
    ],
)
def test_a_claim_is_deleted_by_its_uid_or_as_one_of_this_life(uid: str | None, made: str | None, may: bool) -> None:
    metadata: dict[str, Any] = {"name": "data-demo-1"}
    metadata |= {} if uid is None else {"annotations": {names.ANNOTATION_CLUSTER_UID: uid}}
    metadata |= {} if made is None else {"creationTimestamp": made}
    assert may_delete_claim({"metadata": metadata}, CLUSTER["metadata"]) is may


def test_pods_go_with_their_controller() -> None:
    def seen(kind: str, uid: str, owners: list[dict[str, Any]]) -> bool:
        controller = {"kind": kind, "uid": uid, "controller": True}
        pod = {"metadata": {"name": "demo-1-0", "labels": LABEL, "ownerReferences": [controller]}}
        sets = {"demo-1": {"metadata": {"name": "demo-1", "uid": "s", "ownerReferences": owners}}}
        return "demo-1-0" in sort_out(CLUSTER, {"StatefulSet": sets, "Pod": {"demo-1-0": pod}}).ours["Pod"]

    assert seen("StatefulSet", "s", [OURS])
    assert seen("StatefulSet", "one that has gone", [OURS]), "it still holds its volume"
    assert not seen("StatefulSet", "s", [])
    assert not seen("ReplicaSet", "r", [OURS]), "an application's pod with our label"


def test_a_snapshot_is_held_by_its_own_volume_snapshot_only() -> None:
    snapshot = {"metadata": {"name": "monday", "uid": "s"}, "status": {"volumeSnapshot": "monday"}}

    def held(labels: dict[str, str], noted: bool = True) -> bool:
        return is_held_by(snapshot if noted else {**snapshot, "status": {}}, {"metadata": {"labels": labels}})

    assert held({"aurorapg.io/snapshot-uid": "s"}, noted=False)
    assert not held({"aurorapg.io/snapshot": "monday", "aurorapg.io/snapshot-uid": "earlier"})
    assert held({"aurorapg.io/snapshot": "monday"}), "made by an earlier release"
    assert not held({"aurorapg.io/snapshot": "monday"}, noted=False)
    assert not held({})
