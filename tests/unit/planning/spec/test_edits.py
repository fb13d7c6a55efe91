"""What people change, rightly and wrongly: the spec, and the objects that are ours."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.planning.backup.test_backup_flow import BACKUP
from tests.unit.planning.safety import disruptions
from tests.unit.planning.stories import calls, ready, reasons
from tests.unit.planning.world import World, cluster

from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Restart, StorageClass, Switchover
from aurora_operator.planning.network import endpoint
from aurora_operator.planning.view.facts import Facts


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
        ({"durability": {"copies": 3, "writeQuorum": 4}}, "writeQuorum must be 2 to 3 with 3 copies"),
        ({"durability": {"writeQuorum": 3}}, "writeQuorum must be 4 to 6 with 6 copies"),
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
        ("EndpointSlice", "demo-any-writer"),
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
        ("NetworkPolicy", "demo.rehearsal"),
        ("StatefulSet", "demo-2"),
    ],
)
def test_what_is_deleted_comes_back(kind: str, name: str) -> None:
    world = ready(parameters={"work_mem": "4MB"}, backup=BACKUP)
    revision = max(d.settings.revision for d in world.disks.values() if d.settings)
    del world.objects[kind][name]
    world.settle()
    assert name in world.objects[kind] and world.instances == ["demo-1", "demo-2", "demo-3"]
    assert not any(disruptions(made) for made in world.plans)
    assert max(d.settings.revision for d in world.disks.values() if d.settings) >= revision
    if kind == "ConfigMap" and name == "demo-record":
        assert json.loads(world.objects[kind][name]["data"]["record.json"])["state"] == "initialised"


def test_what_is_edited_is_repaired() -> None:
    world = ready(backup=BACKUP)
    world.objects["NetworkPolicy"]["demo.rehearsal"]["spec"]["egress"].append({"to": [{"podSelector": {}}]})
    world.objects["Service"]["demo-any"]["spec"]["selector"] = {"app": "other", names.LABEL_CLUSTER: "demo"}
    world.objects["Role"]["demo"]["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]})
    world.objects["NetworkPolicy"]["demo"]["spec"]["ingress"] = []
    fixed = world.step()
    assert {(o["kind"], o["metadata"]["name"]) for o in fixed.apply} == {
        ("Service", "demo-any"),
        ("Role", "demo"),
        ("NetworkPolicy", "demo"),
        ("NetworkPolicy", "demo.rehearsal"),
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
    assert "demo-any-writer" in world.objects["EndpointSlice"]
    world.edit(instances=2)
    world.settle()
    assert world.objects["Service"]["demo-ro"]["spec"]["selector"][names.LABEL_ROLE] == "reader"


def test_the_service_over_all_selects_readers_and_follows_the_writer_by_a_slice() -> None:
    world = ready()
    assert world.objects["Service"]["demo-any"]["spec"]["selector"][names.LABEL_ROLE] == "reader"

    def leads_to() -> list[str]:
        there = world.objects["EndpointSlice"]["demo-any-writer"]
        assert there["metadata"]["labels"]["kubernetes.io/service-name"] == "demo-any"
        return [address for endpoint in there["endpoints"] for address in endpoint["addresses"]]

    assert leads_to() == ["10.0.0.1"]
    world.resource["metadata"].setdefault("annotations", {})[names.ANNOTATION_SWITCHOVER] = "any"
    world.settle()
    assert world.leader == "demo-2" and leads_to() == ["10.0.0.2"]
    world.objects["EndpointSlice"]["demo-any-writer"]["endpoints"] = []
    world.settle()
    assert leads_to() == ["10.0.0.2"]


@pytest.mark.parametrize(
    ("away", "serves", "stays"),
    [(5, False, True), (15, False, False), (15, True, True)],
    ids=["just-now", "for-long", "its-agent-is-silent"],
)
def test_a_writer_that_is_gone_for_long_leaves_the_service_over_all(away: int, serves: bool, stays: bool) -> None:
    world = ready()
    pod = world.objects["Pod"]["demo-1-0"]
    pod["status"] |= {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": str(serves)}]}
    available = next(c for c in world.resource["status"]["conditions"] if c["type"] == "Available")
    available |= {"status": "False", "lastTransitionTime": (world.now - timedelta(seconds=away)).isoformat()}
    world.unreachable |= {"demo-1", "demo-2", "demo-3"}
    made = endpoint.any_slice(Facts(world.observe(), world.now), diverted=False)
    assert (made is None) if stays else (made is not None and made["endpoints"] == [])


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


def test_an_instance_that_does_not_vote_gets_a_vote_before_it_takes_over() -> None:
    world = World(cluster(instances=5, durability={"copies": 3}))
    world.settle()
    idle = next(m["name"] for m in world.resource["status"]["members"] if not m["voting"])
    world.resource["metadata"].setdefault("annotations", {})[names.ANNOTATION_SWITCHOVER] = idle
    world.settle()
    assert world.resource["status"]["writer"] == idle
    assert names.ANNOTATION_SWITCHOVER not in world.resource["metadata"]["annotations"]
    assert sum(m["voting"] for m in world.resource["status"]["members"]) == 3
