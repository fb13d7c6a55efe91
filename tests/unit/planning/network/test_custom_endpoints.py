"""Custom endpoints lead to those who are members, as these come, go and change their roles, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.planning.ownership.test_names_taken import foreign, place
from tests.unit.planning.snapshots.test_asleep_snapshots import at_rest
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World

from aurora_operator.api.base import names
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.objects.common import decode_data

Endpoint = dict[str, Any]


def selected(world: World, name: str = "reports") -> set[str]:
    """The instances that Kubernetes leads clients of the endpoint to: by selector, and by the writer's slice."""
    wanted = world.objects["Service"][f"demo-{name}"]["spec"]["selector"]
    found = {
        pod["metadata"]["labels"][names.LABEL_INSTANCE]
        for pod in world.objects["Pod"].values()
        if wanted.items() <= pod["metadata"]["labels"].items()
        and {"type": "Ready", "status": "True"} in pod["status"]["conditions"]
    }
    piece = world.objects["EndpointSlice"].get(f"demo-{name}-writer") or {"endpoints": []}
    return found | {e["targetRef"]["name"].removesuffix("-0") for e in piece["endpoints"]}


def said(world: World, name: str = "reports") -> set[str]:
    """The same by the status."""
    found = {e["name"]: e for e in world.resource["status"]["customEndpoints"]}
    assert found[name]["host"] == f"demo-{name}.default.svc"
    return set(found[name].get("members", ()))


def marks(world: World) -> set[str]:
    labels = (pod["metadata"]["labels"] for pod in world.objects["Pod"].values())
    return {key for keys in labels for key in keys if key.startswith(names.LABEL_MEMBER)}


@pytest.mark.parametrize(
    ("endpoint", "members"),
    [
        pytest.param({}, "2 3 4", id="all-readers"),
        pytest.param({"type": "any"}, "1 2 3 4", id="all"),
        pytest.param({"staticMembers": [1, 3]}, "3", id="static"),
        pytest.param({"staticMembers": [1, 3], "type": "any"}, "1 3", id="static-any"),
        pytest.param({"staticMembers": [9]}, "", id="not-there"),
        pytest.param({"excludedMembers": [1, 4], "type": "any"}, "2 3", id="excluded"),
        pytest.param({"promotionTiers": [15]}, "4", id="tier"),
        pytest.param({"promotionTiers": [15], "excludedMembers": [4]}, "", id="tier-and-excluded"),
    ],
)
def test_who_is_a_member(endpoint: Endpoint, members: str) -> None:
    world = ready(instances=4, instanceSettings=[{"instance": 4, "promotionTier": 15}])
    world.edit(endpoints=[{"name": "reports", **endpoint}])
    world.settle()
    wanted = {f"demo-{number}" for number in members.split()}
    assert world.leader == "demo-1" and selected(world) == said(world) == wanted


def test_members_by_zone() -> None:
    world = ready(instances=4, endpoints=[{"name": "reports", "availabilityZones": ["zone-b"]}])
    there = {name for name, zone in world.zones().items() if zone == "zone-b" and name != world.leader}
    assert there and selected(world) == said(world) == there


def test_a_promotion_needs_no_operator_among_readers() -> None:
    """Agents change their labels, and the selector asks for them."""
    world = ready(endpoints=[{"name": "reports", "staticMembers": [1, 2]}])
    world.settle()
    assert selected(world) == {"demo-2"}
    for name, role in (("demo-1-0", "reader"), ("demo-2-0", "writer")):
        world.objects["Pod"][name]["metadata"]["labels"][names.LABEL_ROLE] = role
    assert selected(world) == {"demo-1"}, "before anybody has planned anything"


def test_members_follow_a_switchover() -> None:
    world = ready(endpoints=[{"name": "reports"}, {"name": "both", "type": "any", "staticMembers": [1, 2]}])
    world.resource["metadata"].setdefault("annotations", {})[names.ANNOTATION_SWITCHOVER] = "demo-3"
    world.until(lambda: world.leader == "demo-3")
    world.settle()
    assert selected(world) == said(world) == {"demo-1", "demo-2"}
    assert selected(world, "both") == said(world, "both") == {"demo-1", "demo-2"}, "demo-3 is no member"


def test_a_pod_that_is_made_anew_is_marked_again() -> None:
    world = ready(endpoints=[{"name": "reports"}])
    world.kill("demo-2")
    assert selected(world) == {"demo-3"}
    world.settle()
    assert selected(world) == {"demo-2", "demo-3"}


def test_instances_that_come_are_members_and_pods_stay() -> None:
    world = ready(endpoints=[{"name": "reports", "excludedMembers": [2]}])
    pods = {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()}
    world.edit(instances=5)
    world.settle()
    assert selected(world) == {"demo-3", "demo-4", "demo-5"}
    world.edit(endpoints=[{"name": "reports", "staticMembers": [2]}])
    world.settle()
    assert selected(world) == {"demo-2"}
    assert pods.items() <= {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()}.items()


def test_one_that_is_taken_back_goes_and_takes_nothing_of_others() -> None:
    world = ready(endpoints=[{"name": "reports", "type": "any"}, {"name": "other", "type": "any"}])
    theirs = foreign("Service", "demo-own")
    theirs["metadata"]["labels"] = {names.LABEL_CLUSTER: "demo", names.LABEL_ENDPOINT: "own"}
    place(world, theirs)
    world.edit(endpoints=[{"name": "other"}])
    world.settle()
    assert "demo-reports" not in world.objects["Service"]
    assert {name for name in world.objects["EndpointSlice"] if "reports" in name or "other" in name} == set()
    assert {"demo", "demo-ro", "demo-any", "demo-pods", "demo-other", "demo-own"} == set(world.objects["Service"])
    assert marks(world) == {names.LABEL_MEMBER + "other"}
    world.edit(endpoints=[])
    world.settle()
    assert marks(world) == set() and "customEndpoints" not in world.resource["status"]


def test_a_name_that_somebody_else_has_is_left_alone_and_said() -> None:
    world = ready()
    before = place(world, foreign("Service", "demo-reports", spec={"selector": {"app": "shop"}}))
    world.edit(endpoints=[{"name": "reports", "type": "any"}])
    for _ in range(6):
        world.step()
    assert world.objects["Service"]["demo-reports"] == before
    assert "demo-reports-writer" not in world.objects["EndpointSlice"]
    assert "Service demo-reports was there before" in world.condition("NameTaken")["message"]


def test_the_certificate_covers_the_name() -> None:
    world = ready()
    world.edit(endpoints=[{"name": "reports"}])
    world.settle()
    made = [why for plan in world.plans for why in plan.why if "its host names changed" in why]
    assert made == ["issue the server certificate: its host names changed"]
    hosts = pki.hosts_of(decode_data(world.objects["Secret"]["demo-tls"])["server.crt"])
    assert {"demo-reports", "demo-reports.default.svc", "demo-reports.default.svc.cluster.local", "demo"} <= hosts


def test_its_service_is_as_it_says_and_an_edit_by_hand_is_told() -> None:
    world = ready(endpoints=[{"name": "reports", "service": {"type": "NodePort", "annotations": {"a/b": "c"}}}])
    there = world.objects["Service"]["demo-reports"]
    assert there["spec"]["type"] == "NodePort" and there["metadata"]["annotations"] == {"a/b": "c"}
    there["spec"]["type"] = "LoadBalancer"
    there["metadata"]["managedFields"].append({"manager": "kubectl-patch", "fieldsV1": {"f:spec": {"f:type": {}}}})
    made = world.step()
    assert [e.message for e in made.events if e.reason == "EditPutBack"] == [
        "Service demo-reports: spec.type was changed by kubectl-patch to LoadBalancer, and is put back to NodePort: "
        "set spec.endpoints[name=reports].service.type of this AuroraCluster instead."
    ]


def test_a_cluster_that_sleeps_leads_there_to_its_gateway() -> None:
    world = at_rest("Paused", endpoints=[{"name": "reports", "type": "any"}])
    there = world.objects["Service"]
    assert there["demo-reports"]["spec"]["selector"] == there["demo-ro"]["spec"]["selector"]
    assert names.LABEL_ROLE not in there["demo-reports"]["spec"]["selector"]
    assert world.objects["EndpointSlice"]["demo-reports-writer"]["endpoints"] == []
