from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.unit.planning.world import World, cluster, some_supplies

from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import CHILD_KINDS, ObjectRef, Observed, OperatorConfig, Plan
from aurora_operator.planning.ownership.names_taken import settle
from aurora_operator.planning.plan import plan

OPERATOR = OperatorConfig("image", "aurora-system", {"app": "aurora-operator"})


def foreign(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    """An object of somebody else's: it has nothing of ours but the name."""
    metadata = {"name": name, "namespace": "default", "uid": f"foreign-{name}", "labels": {"app": "shop"}}
    return {"apiVersion": CHILD_KINDS.get(kind, "v1"), "kind": kind, "metadata": metadata, **fields}


def place(world: World, obj: dict[str, Any]) -> dict[str, Any]:
    world.objects.setdefault(obj["kind"], {})[obj["metadata"]["name"]] = obj
    return copy.deepcopy(obj)


FOREIGN = [
    foreign("Service", "demo", spec={"selector": {"app": "shop"}}),
    foreign("Service", "demo-ro", spec={"selector": {"app": "shop"}}),
    foreign("ServiceAccount", "demo"),
    foreign("Role", "demo", rules=[]),
    foreign("RoleBinding", "demo", roleRef={}, subjects=[]),
    foreign("Secret", "demo-ca", data={"ca.crt": "eA=="}),
    foreign("Secret", "demo-tls", data={"tls.crt": "eA=="}),
    foreign("ConfigMap", "demo-settings", data={"mine": "1"}),
    foreign("ConfigMap", "demo-record", data={"record.json": '{"state":"initialised"}'}),
    foreign("PersistentVolumeClaim", "data-demo-1", spec={"resources": {"requests": {"storage": "1Gi"}}}, status={}),
    foreign("EndpointSlice", "demo-writer", endpoints=[]),
    foreign("NetworkPolicy", "demo", spec={}),
    foreign("PodDisruptionBudget", "demo", spec={}),
    foreign("StatefulSet", "demo-1", spec={"template": {"metadata": {}, "spec": {"containers": []}}}),
]


@pytest.mark.parametrize("theirs", FOREIGN, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_what_is_somebody_elses_stays_as_it_is_and_is_named(theirs: dict[str, Any]) -> None:
    world = World()
    kind, name = theirs["kind"], theirs["metadata"]["name"]
    if kind == "StatefulSet":  # the world would make a pod of it
        _never_touched(world, theirs)
        return
    before = place(world, copy.deepcopy(theirs))
    for _ in range(12):
        world.step()
    there = world.objects[kind][name]
    assert {k: v for k, v in there.items() if k != "status"} == {k: v for k, v in before.items() if k != "status"}
    said = world.condition("NameTaken")
    assert said["status"] == "True" and f"{kind} {name}" in said["message"] and "another name" in said["message"]
    assert said["message"] in world.condition("Degraded")["message"]
    told = [e for made in world.plans for e in made.events if e.reason == "NameTaken"]
    assert len(told) == 1, "said once"
    assert not world.objects.get("StatefulSet") and "demo-1" not in world.agents, "no instance leans on it"


def _never_touched(world: World, theirs: dict[str, Any]) -> None:
    key = (theirs["kind"], theirs["metadata"]["name"])
    seen = Observed(world.resource, OPERATOR, taken={key[0]: {key[1]: theirs}})
    for wanted in (Plan({}, apply=(theirs,)), Plan({}, create=(theirs,))):
        settled = settle(wanted, seen)
        assert not settled.plan.changes and "StatefulSet demo-1" in (settled.fault or "")


def test_once_it_is_out_of_the_way_the_cluster_goes_on() -> None:
    world = World()
    place(world, foreign("Service", "demo"))
    place(world, foreign("Secret", "demo-ca"))
    for _ in range(6):
        world.step()
    del world.objects["Service"]["demo"], world.objects["Secret"]["demo-ca"]
    world.settle()
    assert world.resource["status"]["phase"] == "Ready"
    assert all(c["type"] != "NameTaken" for c in world.resource["status"]["conditions"])


@pytest.mark.parametrize("when_deleted", ["Retain", "Delete"])
def test_deletion_takes_nothing_of_anybody_else(when_deleted: str) -> None:
    world = World(cluster(storage={"volumeRetention": {"whenDeleted": when_deleted}}, skipFinalSnapshot=True))
    world.settle()
    strangers = [
        # With our label, which anybody may use.
        {"labels": {names.LABEL_CLUSTER: "demo"}},
        {"labels": {names.LABEL_CLUSTER: "demo"}, "ownerReferences": [_owner("AuroraCluster", "another")]},
        {"labels": {names.LABEL_CLUSTER: "demo"}, "ownerReferences": [_owner("StatefulSet", "s")]},
    ]
    placed = []
    for number, marks in enumerate(strangers):
        for kind in ("Job", "ConfigMap", "Service", "PersistentVolumeClaim"):
            obj = foreign(kind, f"theirs-{number}", spec={"resources": {"requests": {"storage": "1Gi"}}})
            obj["metadata"] |= marks
            place(world, obj)
            placed.append((kind, f"theirs-{number}"))
    world.resource["metadata"]["deletionTimestamp"] = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    while not world.gone:
        world.step()
    assert all(name in world.objects[kind] for kind, name in placed)
    claims = [name for name in world.objects["PersistentVolumeClaim"] if not name.startswith("theirs")]
    assert bool(claims) == (when_deleted == "Retain")


def _owner(kind: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "name": "x", "uid": uid, "controller": True}


def test_a_name_that_is_taken_later_holds_back_only_what_needs_it() -> None:
    world = World(cluster(instances=1, durability={"copies": 1}))
    world.settle()
    theirs = place(
        world, foreign("PersistentVolumeClaim", "data-demo-2", spec={"resources": {"requests": {"storage": "1Gi"}}})
    )
    world.edit(instances=3)
    world.until(lambda: "demo-3" in world.agents)
    for _ in range(4):
        world.step()
    assert world.instances == ["demo-1", "demo-3"], "no pod mounts somebody else's volume"
    assert world.leader == "demo-1"
    assert "PersistentVolumeClaim data-demo-2" in world.condition("NameTaken")["message"]
    there = world.objects["PersistentVolumeClaim"]["data-demo-2"]
    assert there["metadata"] == theirs["metadata"] and there["spec"] == theirs["spec"]


def test_traffic_and_rights_of_others_are_not_touched_in_passing() -> None:
    """A slice leads the clients of a Service elsewhere; a binding hands out the rights of a Role."""
    labels = {"kubernetes.io/service-name": "demo"}
    piece = {"kind": "EndpointSlice", "metadata": {"name": "demo-writer", "labels": labels}}
    binding = {
        "kind": "RoleBinding",
        "metadata": {"name": "demo"},
        "roleRef": {"kind": "Role", "name": "demo"},
        "subjects": [{"kind": "ServiceAccount", "name": "demo"}],
    }
    service, role = {"kind": "Service", "metadata": {"name": "demo"}}, {"kind": "Role", "metadata": {"name": "demo"}}
    wanted = Plan({}, create=(piece,), apply=(service, role, binding))
    seen = Observed(cluster(), OPERATOR)
    assert settle(wanted, seen).plan.create == (service, role), "first what they name"
    ours = {kind: {"demo": {"kind": kind, "metadata": {"name": "demo", "uid": "u"}}} for kind in ("Service", "Role")}
    settled = settle(Plan({}, create=(piece,), apply=(binding,)), Observed(cluster(), OPERATOR, ours))
    assert settled.plan.create == (piece, binding) and settled.fault is None
    settled = settle(wanted, Observed(cluster(), OPERATOR, taken=ours))
    assert not settled.plan.changes and settled.fault is not None


def test_an_object_is_changed_and_deleted_by_its_uid_only() -> None:
    wanted = {"kind": "ConfigMap", "metadata": {"name": "c", "labels": {}}}
    seen = Observed(cluster(), OPERATOR, {"ConfigMap": {"c": {"metadata": {"name": "c", "uid": "u1"}}}})
    (applied,) = settle(Plan({}, apply=(wanted,)), seen).plan.apply
    assert applied["metadata"]["uid"] == "u1" and "uid" not in wanted["metadata"]
    refs = (ObjectRef("ConfigMap", "c", "u1"), ObjectRef("ConfigMap", "c", "u2"), ObjectRef("ConfigMap", "d", "u3"))
    assert settle(Plan({}, delete=refs), seen).plan.delete == refs[:1]


def test_an_object_of_ours_that_lost_its_label_gets_it_back() -> None:
    world = World()
    world.settle()
    del world.objects["ConfigMap"]["demo-record"]["metadata"]["labels"]
    del world.objects["Service"]["demo"]["metadata"]["labels"]
    world.settle()
    assert world.objects["Service"]["demo"]["metadata"]["labels"][names.LABEL_CLUSTER] == "demo"
    assert all(c["type"] != "NameTaken" for c in world.resource["status"]["conditions"])


def test_a_cluster_of_an_earlier_release_is_adopted_as_it_is() -> None:
    """Its objects have a label and an owner with the uid; its claims have labels and marks, and no uid."""
    world = World(cluster(backup={"destination": {"s3": {"bucket": "b", "endpoint": "e", "region": "r"}}}))
    world.resource["spec"].pop("backup")
    world.settle()
    for claim in world.objects["PersistentVolumeClaim"].values():
        del claim["metadata"]["annotations"][names.ANNOTATION_CLUSTER_UID]
    made = plan(world.observe(), some_supplies(), world.now)
    assert {(obj["kind"]) for obj in made.apply} == {"PersistentVolumeClaim"}, "they get their uid, and that is all"
    assert not made.create and not made.delete and not made.calls
    before = {name: copy.deepcopy(obj) for name, obj in world.objects["Pod"].items()}
    after = world.settle()
    assert not after.changes and world.objects["Pod"] == before
    marks = {c["metadata"]["annotations"][names.ANNOTATION_CLUSTER_UID] for c in _claims(world)}
    assert marks == {"uid-demo"}


def _claims(world: World) -> list[dict[str, Any]]:
    return list(world.objects["PersistentVolumeClaim"].values())


def test_kept_volumes_are_used_again_and_those_that_were_not_stay_for_good() -> None:
    world = World(cluster(instances=2))
    world.settle()
    retired = world.objects["PersistentVolumeClaim"]["data-demo-2"]
    world.edit(instances=1, storage={"volumeRetention": {"whenScaled": "Retain"}})
    world.until(lambda: "demo-2" not in world.instances)
    world.resource["metadata"]["deletionTimestamp"] = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    while not world.gone:
        world.step()
    claims = world.objects["PersistentVolumeClaim"]
    assert {"data-demo-1", "data-demo-2"} <= claims.keys()

    spec: dict[str, Any] = {"storage": {"volumeRetention": {"whenDeleted": "Delete"}}, "skipFinalSnapshot": True}
    world.resource = cluster(instances=1, **spec)
    world.resource["metadata"]["uid"] = "uid-again"
    world.gone = False
    world.objects = {"PersistentVolumeClaim": claims}
    world.settle()
    assert claims["data-demo-1"]["metadata"]["annotations"][names.ANNOTATION_CLUSTER_UID] == "uid-again"
    assert retired["metadata"]["annotations"][names.ANNOTATION_CLUSTER_UID] == "uid-demo"
    world.resource["metadata"]["deletionTimestamp"] = world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    while not world.gone:
        world.step()
    assert list(world.objects["PersistentVolumeClaim"]) == ["data-demo-2"], "this cluster never used it"
