"""A cluster's life, from creation to deletion, against the world in memory."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.unit.planning.world import START, World, cluster, disruptions, some_supplies

from aurora_operator.api import names
from aurora_operator.planning.deletion import FINALIZER
from aurora_operator.planning.model import Restart, StorageClass, Switchover
from aurora_operator.planning.objects.volume import ANNOTATION_RETIRED
from aurora_operator.planning.plan import plan


def ready(**spec: Any) -> World:
    world = World(cluster(**{"instances": 3, **spec}))
    world.settle()
    return world


def calls(world: World, kind: type) -> list[Any]:
    return [call for made in world.plans for call in made.calls if isinstance(call, kind)]


def reasons(world: World) -> list[str]:
    return [event.reason for made in world.plans for event in made.events]


def test_creation() -> None:
    world = ready()
    assert world.instances == ["demo-1", "demo-2", "demo-3"]
    assert sorted(world.zones().values()) == ["zone-a", "zone-b", "zone-c"]
    status = world.resource["status"]
    assert (status["phase"], status["ready"], status["writer"], status["epoch"]) == ("Ready", "3/3", "demo-1", 1)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "Available": "True",
        "Progressing": "False",
        "Degraded": "False",
        "SpecAccepted": "True",
        "DurabilityMet": "True",
    }
    assert world.resource["metadata"]["finalizers"] == [FINALIZER]
    assert {m["name"]: m["role"] for m in status["members"]} == {
        "demo-1": "writer",
        "demo-2": "reader",
        "demo-3": "reader",
    }
    assert not any(disruptions(made) for made in world.plans)
    seen = reasons(world)
    assert seen[0] == "InstanceAdded" and seen.count("WriterOpened") == 1 and seen.count("Ready") == 1


def test_record_comes_before_volumes() -> None:
    world = World()
    first = plan(world.observe(), some_supplies(), START)
    kinds = {obj["kind"] for obj in first.apply}
    assert "PersistentVolumeClaim" not in kinds and "StatefulSet" not in kinds
    record = next(o for o in first.create if o["kind"] == "ConfigMap")
    assert json.loads(record["data"]["record.json"])["state"] == "empty"


def test_volumes_of_an_earlier_life_are_found() -> None:
    world = ready()
    world.resource["spec"]["instances"] = 3
    old = {name: world.objects["PersistentVolumeClaim"][f"data-{name}"] for name in ("demo-1", "demo-2")}
    again = World(cluster(instances=3))
    claims = {f"data-{name}": claim for name, claim in old.items()}
    again.objects["PersistentVolumeClaim"] = claims | {"data-demo-7": {**old["demo-2"]}}
    again.objects["PersistentVolumeClaim"]["data-demo-7"]["metadata"] = {
        **old["demo-2"]["metadata"],
        "name": "data-demo-7",
    }
    first = plan(again.observe(), some_supplies(), START)
    record = next(o for o in first.create if o["kind"] == "ConfigMap")
    assert json.loads(record["data"]["record.json"])["state"] == "initialised"
    again.carry_out(first)
    again.step()
    assert again.instances == ["demo-1", "demo-2", "demo-7"]


def test_scale_up_and_down() -> None:
    world = ready()
    world.edit(instances=5)
    world.settle()
    assert world.instances == [f"demo-{i}" for i in range(1, 6)]
    zones = list(world.zones().values())
    assert sorted(zones.count(zone) for zone in set(zones)) == [1, 2, 2]
    assert len(world.config.voters) == 5 and world.config.write_quorum == 3
    world.edit(instances=2)
    world.settle()
    assert len(world.instances) == 2 and world.leader in world.instances
    assert len(set(world.zones().values())) == 2
    assert sorted(world.objects["PersistentVolumeClaim"]) == [f"data-{name}" for name in world.instances]
    assert not calls(world, Switchover) and not any(disruptions(made) for made in world.plans)


def test_retained_volume_is_kept_and_reused() -> None:
    world = ready(storage={"volumeRetention": {"whenScaled": "Retain"}})
    zone = world.zones()["demo-3"]
    world.edit(instances=2)
    world.settle()
    claim = world.objects["PersistentVolumeClaim"]["data-demo-3"]
    assert claim["metadata"]["annotations"][ANNOTATION_RETIRED] == "Retain"
    assert world.instances == ["demo-1", "demo-2"]
    world.edit(instances=3)
    world.settle()
    assert world.instances == ["demo-1", "demo-2", "demo-3"] and world.zones()["demo-3"] == zone
    assert world.objects["PersistentVolumeClaim"]["data-demo-3"]["metadata"]["uid"] == claim["metadata"]["uid"]


def test_writer_is_removed_only_after_a_switchover() -> None:
    world = ready()
    world.edit(instances=2, instanceSettings=[{"instance": 4}, {"instance": 5}])
    world.settle()
    assert world.instances == ["demo-4", "demo-5"]
    assert [c.leader for c in calls(world, Switchover)] == ["demo-1"]
    assert world.leader in ("demo-4", "demo-5")


def test_nobody_is_removed_while_the_leader_is_unknown() -> None:
    world = ready()
    world.unreachable = {"demo-1", "demo-2", "demo-3"}
    world.edit(instances=1)
    for _ in range(10):
        made = world.step()
        assert not made.delete and not made.calls
    assert world.resource["status"]["writer"] == "demo-1"
    assert world.condition("Ready")["status"] == "Unknown"
    world.unreachable = set()
    world.settle()
    assert world.instances == ["demo-1"]


def test_new_image_rolls_readers_first() -> None:
    world = ready()
    world.edit(image={"name": "aurora-instance:new"})
    world.settle()
    pods = [hit.name for made in world.plans for hit in disruptions(made) if hasattr(hit, "kind")]
    assert pods[-1] == "demo-1-0" and set(pods) == {"demo-1-0", "demo-2-0", "demo-3-0"}
    assert len(pods) == 3 and len(calls(world, Switchover)) == 1
    images = {p["spec"]["containers"][0]["image"] for p in world.objects["Pod"].values()}
    assert images == {"aurora-instance:new"}


def test_rollout_stops_at_the_first_that_fails_and_can_be_undone() -> None:
    world = ready()
    world.broken_images = {"bad"}
    world.edit(image={"name": "bad"})
    for _ in range(30):
        world.step()
    broken = [p for p, raw in world.objects["Pod"].items() if raw["spec"]["containers"][0]["image"] == "bad"]
    assert len(broken) == 1 and world.resource["status"]["phase"] == "Degraded"
    assert "ImagePullBackOff" in world.resource["status"]["message"]
    world.edit(image={"name": "aurora-instance:dev"})
    world.settle()
    assert not calls(world, Switchover) and world.leader == "demo-1"


def test_bad_image_at_creation_can_be_corrected() -> None:
    world = World(cluster(instances=3, image={"name": "bad"}))
    world.broken_images = {"bad"}
    for _ in range(10):
        world.step()
    assert world.resource["status"]["phase"] == "Creating"
    world.edit(image={"name": "good"})
    world.settle()
    assert world.resource["status"]["phase"] == "Ready"


def test_restart_only_parameter() -> None:
    world = ready()
    world.edit(parameters={"max_connections": "200"})
    world.settle()
    assert {c.instance for c in calls(world, Restart)} == {"demo-2", "demo-3"}
    assert len(calls(world, Switchover)) == 1
    assert all(agent.parameters == {"max_connections": "200"} for agent in world.agents.values())
    assert not any(ref.kind == "Pod" for made in world.plans for ref in made.delete)


def test_reloadable_parameter_restarts_nothing() -> None:
    world = ready()
    world.edit(parameters={"work_mem": "8MB"})
    world.settle()
    assert not any(disruptions(made) for made in world.plans)
    assert all(agent.parameters == {"work_mem": "8MB"} for agent in world.agents.values())


def test_single_instance_is_restarted_directly() -> None:
    world = ready(instances=1)
    world.edit(image={"name": "new"})
    world.settle()
    assert [ref.name for made in world.plans for ref in made.delete] == ["demo-1-0"]


def test_refused_parameter_changes_nothing() -> None:
    world = ready(parameters={"work_mem": "4MB"})
    settings = world.objects["ConfigMap"]["demo-settings"]
    world.refused = {"work_mem": "invalid value."}
    world.edit(parameters={"work_mem": "x"}, instances=5)
    world.settle()
    assert world.objects["ConfigMap"]["demo-settings"] == settings and len(world.instances) == 3
    accepted = world.condition("SpecAccepted")
    assert accepted["status"] == "False" and accepted["reason"] == "ParametersRefused"
    assert "work_mem: invalid value." in accepted["message"]
    assert world.resource["status"]["phase"] == "Blocked" and world.condition("Available")["status"] == "True"
    world.edit(parameters={"work_mem": "4MB"}, instances=3)
    world.settle()
    assert world.condition("SpecAccepted")["status"] == "True" and world.resource["status"]["phase"] == "Ready"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"durability": {"availabilityZones": ["zone-a", "zone-x"]}}, "zone-x"),
        ({"durability": {"zones": 4}}, "use 3"),
        ({"instanceSettings": [{"instance": 2, "availabilityZone": "zone-x"}]}, "zone-x"),
        ({"instanceSettings": [{"instance": 1, "availabilityZone": "zone-b"}]}, "cannot move"),
        ({"storage": {"size": "1Gi"}}, "cannot shrink"),
        ({"storage": {"storageClassName": "fast"}}, "fast"),
        ({"databaseName": "other"}, "cannot change"),
        ({"instances": 17}, "1 to 16"),
        ({"durability": {"writeQuorum": 4}}, "writeQuorum"),
        ({"parameters": {"fsync": "off"}}, "fsync"),
    ],
)
def test_bad_edit_changes_nothing(spec: dict[str, Any], said: str) -> None:
    world = ready()
    before = {k: v for k, v in world.objects.items() if k != "Pod"}
    world.edit(**spec)
    world.settle()
    accepted = world.condition("SpecAccepted")
    assert accepted["status"] == "False" and said in accepted["message"]
    assert {k: v for k, v in world.objects.items() if k != "Pod"} == before
    assert reasons(world).count("SpecRejected") == 1


def test_bad_spec_at_creation_makes_nothing() -> None:
    world = World(cluster(instances=3, durability={"zones": 3}), zones=("a", "b"))
    for _ in range(3):
        world.step()
    assert not world.objects and world.resource["status"]["phase"] == "Blocked"
    assert "zone-a, zone-b" in world.condition("SpecAccepted")["message"]


def test_volume_growth() -> None:
    world = ready()
    world.edit(storage={"size": "20Gi"})
    world.settle()
    claims = world.objects["PersistentVolumeClaim"].values()
    assert {c["spec"]["resources"]["requests"]["storage"] for c in claims} == {"20Gi"}
    assert not any(disruptions(made) for made in world.plans)


def test_volume_that_cannot_grow() -> None:
    world = World(cluster(instances=1))
    world.classes = (StorageClass("standard", default=True, expandable=False),)
    world.settle()
    world.edit(storage={"size": "20Gi"})
    world.settle()
    assert "does not allow volume expansion" in world.condition("SpecAccepted")["message"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Service", "demo"),
        ("Service", "demo-pods"),
        ("EndpointSlice", "demo-writer"),
        ("ConfigMap", "demo-settings"),
        ("ConfigMap", "demo-record"),
        ("Secret", "demo-tls"),
        ("Secret", "demo-ca"),
        ("Secret", "demo-app"),
        ("Role", "demo"),
        ("RoleBinding", "demo"),
        ("ServiceAccount", "demo"),
        ("PodDisruptionBudget", "demo"),
        ("NetworkPolicy", "demo"),
        ("StatefulSet", "demo-2"),
    ],
)
def test_what_is_deleted_comes_back(kind: str, name: str) -> None:
    world = ready(parameters={"work_mem": "4MB"})
    revision = max(d.settings.revision for d in world.disks.values() if d.settings)
    del world.objects[kind][name]
    world.settle()
    assert name in world.objects[kind] and world.instances == ["demo-1", "demo-2", "demo-3"]
    assert not any(disruptions(made) for made in world.plans)
    assert max(d.settings.revision for d in world.disks.values() if d.settings) >= revision
    if kind == "ConfigMap" and name == "demo-record":
        assert json.loads(world.objects[kind][name]["data"]["record.json"])["state"] == "initialised"


def test_what_is_edited_is_repaired() -> None:
    world = ready()
    world.objects["Service"]["demo-any"]["spec"]["selector"] = {"app": "other", names.LABEL_CLUSTER: "demo"}
    world.objects["Role"]["demo"]["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]})
    world.objects["NetworkPolicy"]["demo"]["spec"]["ingress"] = []
    fixed = world.step()
    assert {(o["kind"], o["metadata"]["name"]) for o in fixed.apply} == {
        ("Service", "demo-any"),
        ("Role", "demo"),
        ("NetworkPolicy", "demo"),
    }
    assert not world.step().apply


def test_password_is_the_users_to_change() -> None:
    world = ready()
    data = world.objects["Secret"]["demo-app"]["data"]
    data["password"] = base64.b64encode(b"my p@ss:word").decode()
    world.settle()
    app = {k: base64.b64decode(v).decode() for k, v in world.objects["Secret"]["demo-app"]["data"].items()}
    assert app["password"] == "my p@ss:word"
    assert app["uri"] == "postgresql://app:my%20p%40ss%3Aword@demo.default.svc:5432/app?sslmode=require"
    assert app["pgpass"] == "demo.default.svc:5432:app:app:my p@ss\\:word\n"


def test_endpoint_follows_the_leader_and_never_goes_back() -> None:
    world = ready()
    there = world.objects["EndpointSlice"]["demo-writer"]
    assert there["endpoints"][0]["addresses"] == ["10.0.0.1"]
    assert there["metadata"]["annotations"][names.ANNOTATION_EPOCH] == "1"
    there["metadata"]["annotations"][names.ANNOTATION_EPOCH] = "9"
    there["endpoints"][0]["addresses"] = ["10.0.0.2"]
    world.step()
    assert world.objects["EndpointSlice"]["demo-writer"]["endpoints"][0]["addresses"] == ["10.0.0.2"]
    there = world.objects["EndpointSlice"]["demo-writer"]
    there["metadata"]["annotations"][names.ANNOTATION_EPOCH] = "1"
    made = world.step()
    repaired = next(o for o in made.apply if o["kind"] == "EndpointSlice")
    assert repaired["metadata"]["resourceVersion"] == there["metadata"]["resourceVersion"]
    assert world.objects["EndpointSlice"]["demo-writer"]["endpoints"][0]["addresses"] == ["10.0.0.1"]


def test_reader_service_leads_to_the_writer_without_readers() -> None:
    world = ready(instances=1)
    assert world.objects["Service"]["demo-ro"]["spec"]["selector"][names.LABEL_ROLE] == "writer"
    world.edit(instances=2)
    world.settle()
    assert world.objects["Service"]["demo-ro"]["spec"]["selector"][names.LABEL_ROLE] == "reader"


def test_switchover_by_annotation() -> None:
    world = ready()
    annotations = world.resource["metadata"].setdefault("annotations", {})
    annotations[names.ANNOTATION_SWITCHOVER] = "any"
    world.settle()
    assert world.leader == "demo-2" and len(calls(world, Switchover)) == 1
    assert names.ANNOTATION_SWITCHOVER not in world.resource["metadata"]["annotations"]
    seen = reasons(world)
    assert seen.count("SwitchedOver") == 1 and "FailedOver" not in seen
    world.resource["metadata"]["annotations"][names.ANNOTATION_SWITCHOVER] = "demo-9"
    world.settle()
    assert "SwitchoverRefused" in reasons(world) and world.leader == "demo-2"


def test_failover_is_reported() -> None:
    world = ready()
    world.kill("demo-1")
    world.settle()
    assert world.resource["status"]["writer"] == "demo-2" and world.resource["status"]["epoch"] == 2
    assert "FailedOver" in reasons(world)
    assert not any(disruptions(made) for made in world.plans)


def test_no_rollout_while_a_copy_is_down() -> None:
    world = ready()
    world.frozen = {"demo-3"}
    world.kill("demo-3")
    world.edit(image={"name": "new"})
    for _ in range(20):
        world.step()
    hit = {ref.name for made in world.plans for ref in made.delete}
    assert hit <= {"demo-3-0"} and not calls(world, Switchover)
    assert world.resource["status"]["phase"] in ("Updating", "Degraded")


@pytest.mark.parametrize(("kept", "claims"), [("Retain", 3), ("Delete", 0)])
def test_deletion(kept: str, claims: int) -> None:
    world = ready(storage={"volumeRetention": {"whenDeleted": kept}})
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    for _ in range(10):
        if not world.gone:
            world.step()
    assert world.gone and not world.instances
    assert len(world.objects["PersistentVolumeClaim"]) == claims
    assert world.resource["status"]["phase"] == "Deleting"


def test_deletion_protection() -> None:
    world = ready(deletionProtection=True)
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    for _ in range(5):
        assert not world.step().delete
    assert not world.gone and "deletionProtection" in world.resource["status"]["message"]
    world.edit(deletionProtection=False)
    world.until(lambda: world.gone)
