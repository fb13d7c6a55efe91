"""Labels and annotations of the user's own come onto all pods, one pod at a time, and go again."""

from __future__ import annotations

from typing import Any

from tests.unit.planning.stories import ready
from tests.unit.planning.world import World

from aurora_operator.api.base import names
from aurora_operator.api.spec.placement import Image, Scheduling
from aurora_operator.api.spec.pod_metadata import PodMetadata
from aurora_operator.planning.objects.common import Identity
from aurora_operator.planning.objects.gateway import build_gateway, gateway_selector

MINE = {"labels": {"team": "shop"}, "annotations": {"sidecar.istio.io/inject": "false"}}


def marks(world: World, what: str) -> dict[str, dict[str, str]]:
    return {name: pod["metadata"].get(what, {}) for name, pod in world.objects["Pod"].items()}


def uids(world: World) -> dict[str, Any]:
    return {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()}


def test_they_come_and_go_with_a_rollout() -> None:
    world = ready(instances=3, durability={"copies": 6})
    before, pods = marks(world, "annotations"), uids(world)
    assert len(pods) == 6
    world.plans.clear()
    world.edit(podMetadata=MINE)
    world.settle()
    assert all(labels["team"] == "shop" for labels in marks(world, "labels").values())
    assert all(labels[names.LABEL_CLUSTER] == "demo" for labels in marks(world, "labels").values())
    assert all(notes["sidecar.istio.io/inject"] == "false" for notes in marks(world, "annotations").values())
    assert not {*uids(world).values()} & {*pods.values()}
    # One pod at a time, log copies first, the one who was the writer last.
    replaced = [ref.name for made in world.plans for ref in made.delete if ref.kind == "Pod"]
    assert all(sum(ref.kind == "Pod" for ref in made.delete) <= 1 for made in world.plans)
    assert sorted(replaced) == sorted(pods)
    assert replaced[-1] == "demo-1-0" and all("-log-" in name for name in replaced[:3])
    world.edit(podMetadata={})
    world.settle()
    assert not any("team" in labels for labels in marks(world, "labels").values())
    # Without any, pods are as they were before there was such a field: a newer operator replaces none for it.
    assert marks(world, "annotations") == before


def test_the_gateway_has_them_too_and_keeps_its_own() -> None:
    gateway = build_gateway(
        Identity("demo", "prod", "uid-1"),
        image="image",
        image_settings=Image(),
        scheduling=Scheduling(),
        pod_metadata=PodMetadata.model_validate(MINE),
        refuses=False,
    )
    metadata = gateway["spec"]["template"]["metadata"]
    assert metadata["annotations"] == MINE["annotations"]
    assert (
        metadata["labels"].items() >= {**MINE["labels"], **gateway_selector(Identity("demo", "prod", "uid-1"))}.items()
    )
