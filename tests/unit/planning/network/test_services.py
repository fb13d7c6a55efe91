"""The Services are as the spec says, others' additions to them stay, and what a hand changed is put back in words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World

from aurora_operator.api.base import names

OUTSIDE = {
    "type": "LoadBalancer",
    "loadBalancerClass": "example.com/internal",
    "loadBalancerSourceRanges": ["10.0.0.0/8"],
    "annotations": {"external-dns.alpha.kubernetes.io/hostname": "db.example.com"},
    "labels": {"team": "shop"},
}
SERVICES = {"demo": "writer", "demo-ro": "reader", "demo-any": "any"}


def service(world: World, name: str = "demo") -> dict[str, Any]:
    found: dict[str, Any] = world.objects["Service"][name]
    return found


def by_hand(world: World, name: str, field: str, value: Any, manager: str = "kubectl-edit") -> None:
    """Somebody sets a field of a Service's spec."""
    there = service(world, name)
    there["spec"][field] = value
    entry = {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {f"f:{field}": {}}}}
    there["metadata"]["managedFields"].append(entry)


def told(world: World) -> list[str]:
    return [event.message for made in world.plans for event in made.events if event.reason == "EditPutBack"]


@pytest.mark.parametrize(("name", "endpoint"), SERVICES.items())
def test_one_endpoint_is_led_outside_and_back(name: str, endpoint: str) -> None:
    world = ready()
    before = {other: service(world, other)["spec"] for other in SERVICES}
    world.edit(services={endpoint: OUTSIDE})
    world.settle()
    there = service(world, name)
    assert there["spec"]["type"] == "LoadBalancer" and there["spec"]["loadBalancerClass"] == "example.com/internal"
    assert there["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert there["spec"]["externalTrafficPolicy"] == "Cluster"
    assert there["spec"]["selector"] == before[name]["selector"], "it leads where it did"
    assert there["metadata"]["labels"] | OUTSIDE["labels"] == there["metadata"]["labels"]
    assert there["metadata"]["annotations"] == OUTSIDE["annotations"]
    assert all(service(world, other)["spec"] == spec for other, spec in before.items() if other != name)
    world.edit(services={endpoint: {"type": "LoadBalancer"}})
    world.settle()
    there = service(world, name)
    assert there["spec"]["loadBalancerSourceRanges"] is None, "no range stays that the spec no longer names"
    assert not there["metadata"].get("annotations") and "team" not in there["metadata"]["labels"]
    world.edit(services={})
    world.settle()
    assert service(world, name)["spec"]["type"] == "ClusterIP"
    assert told(world) == [], "a change of the spec is no edit by hand"


def test_what_clouds_and_others_add_stays() -> None:
    world = ready(services={"writer": {"type": "LoadBalancer"}, "reader": {"type": "NodePort", "nodePort": 30432}})
    assert service(world, "demo-ro")["spec"]["ports"][0]["nodePort"] == 30432
    there = service(world)
    there["spec"]["ports"][0]["nodePort"] = 31234
    there["spec"] |= {"allocateLoadBalancerNodePorts": True, "loadBalancerClass": "service.k8s.aws/nlb"}
    there["metadata"]["finalizers"] = ["service.kubernetes.io/load-balancer-cleanup"]
    there["metadata"].setdefault("annotations", {})["cloud.example.com/neg-status"] = "{}"
    there["status"] = {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}
    made = world.step()
    assert not [obj for obj in made.apply if obj["kind"] == "Service"], "nobody fights over it"
    assert not made.events


@pytest.mark.parametrize(("name", "endpoint"), SERVICES.items())
def test_a_type_set_by_hand_is_put_back_in_words(name: str, endpoint: str) -> None:
    world = ready()
    by_hand(world, name, "type", "NodePort")
    world.settle()
    assert service(world, name)["spec"]["type"] == "ClusterIP"
    (text,) = told(world)
    assert text == (
        f"Service {name}: spec.type was changed by kubectl-edit to NodePort, and is put back to ClusterIP: "
        f"set spec.services.{endpoint}.type of this AuroraCluster instead."
    )


def test_a_selector_set_by_hand_is_put_back_in_words() -> None:
    world = ready()
    by_hand(world, "demo-ro", "selector", {"app": "mine"})
    world.settle()
    assert service(world, "demo-ro")["spec"]["selector"][names.LABEL_ROLE] == "reader"
    (text,) = told(world)
    assert text.endswith("spec.selector was changed by kubectl-edit, and is put back: the operator decides it.")


def test_source_ranges_set_by_hand_are_put_back_in_words() -> None:
    world = ready(services={"writer": {"type": "LoadBalancer"}})
    by_hand(world, "demo", "loadBalancerSourceRanges", ["0.0.0.0/0"])
    world.settle()
    (text,) = told(world)
    assert "to 0.0.0.0/0, and is put back to none: set spec.services.writer.loadBalancerSourceRanges" in text
