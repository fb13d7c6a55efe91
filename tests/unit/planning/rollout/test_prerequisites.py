"""Nothing that runs is taken down for what could not be made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planning.recording import plan
from tests.unit.planning.safety import disruptions
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World, some_supplies

from aurora_operator.planning.rollout.prerequisites import references, references_wanted

UNRECORDED = True

EDITS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"scheduling": {"priorityClassName": "high"}}, ("PriorityClass", "high")),
    ({"image": {"pullSecrets": [{"name": "registry"}]}}, ("Secret", "registry")),
]


def provide(world: World, kind: str, name: str) -> None:
    if kind == "PriorityClass":
        world.priority_classes.add(name)
    else:
        world.objects.setdefault(kind, {})[name] = {"metadata": {"name": name, "uid": f"uid-{name}"}}


def pods(world: World) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in world.objects["Pod"].items()}


@pytest.mark.parametrize(("edit", "needed"), EDITS)
@pytest.mark.parametrize("copies", [1, 3])
def test_no_pod_is_taken_down_for_one_that_could_not_be_made(
    edit: dict[str, Any], needed: tuple[str, str], copies: int
) -> None:
    world = ready(instances=copies, durability={"copies": copies})
    before, statefulsets = pods(world), dict(world.objects["StatefulSet"])
    world.edit(**edit)
    for _ in range(40):
        assert not disruptions(world.step())
    assert pods(world) == before
    status = world.resource["status"]
    text = f"Pods are not replaced, because {needed[0]} {needed[1]} does not exist: make it, or change the spec."
    assert text in status["message"]
    assert status["phase"] == "Degraded" and world.condition("Degraded")["status"] == "True"
    # A pod that dies meanwhile comes back as it was.
    assert world.objects["StatefulSet"] == statefulsets
    world.kill("demo-1")
    world.until(lambda: len(pods(world)) == copies)
    # Once it is there, all goes on by itself.
    provide(world, *needed)
    world.settle()
    assert not set(pods(world).values()) & set(before.values())
    assert world.condition("Degraded")["status"] == "False"


def test_log_copies_are_not_taken_down_either() -> None:
    world = ready(instances=1, durability={"copies": 3})
    before = pods(world)
    assert len(before) == 3
    world.edit(scheduling={"priorityClassName": "high"})
    for _ in range(20):
        world.step()
    assert pods(world) == before


def test_a_spec_that_is_taken_back_leaves_all_as_it_was() -> None:
    world = ready()
    before = pods(world)
    world.edit(scheduling={"priorityClassName": "high"})
    for _ in range(5):
        world.step()
    world.edit(scheduling={})
    world.settle()
    assert pods(world) == before


def test_what_goes_in_the_middle_of_a_rollout_ends_it() -> None:
    world = ready()
    world.priority_classes.add("high")
    before = pods(world)
    world.edit(scheduling={"priorityClassName": "high"})
    world.until(lambda: pods(world) != before and len(pods(world)) == 3)
    world.priority_classes.clear()
    half = pods(world)
    for _ in range(30):
        world.step()
    assert pods(world) == half
    assert "PriorityClass high does not exist" in world.resource["status"]["message"]


def test_what_may_not_be_read_counts_as_there() -> None:
    world = ready()
    world.edit(scheduling={"priorityClassName": "high"})
    made = plan(replace(world.observe(), looked_up={}), some_supplies(), world.now)
    assert {obj["kind"] for obj in made.apply} >= {"StatefulSet"}


def test_a_steady_cluster_looks_nothing_up() -> None:
    world = ready(instances=1)
    assert len(pods(world)) == 3
    assert references_wanted(world.resource, world.observe().children) == frozenset()
    world.edit(scheduling={"priorityClassName": "high"}, image={"pullSecrets": [{"name": "registry"}]})
    wanted = references_wanted(world.resource, world.observe().children)
    assert wanted == {("PriorityClass", "high"), ("Secret", "registry")}
    provide(world, "PriorityClass", "high")
    provide(world, "Secret", "registry")
    world.settle()
    assert references_wanted(world.resource, world.observe().children) == frozenset()


@pytest.mark.parametrize(
    "spec",
    [
        {"scheduling": "high"},
        {"scheduling": {"priorityClassName": ["high"]}},
        {"scheduling": {"priorityClassName": 7}},
        {"image": {"pullSecrets": [{}]}},
        {"image": {"pullSecrets": "x"}},
        {"backup": {"destination": {"volume": {"claimName": None}}}},
        {"backup": {"destination": "x"}},
        {"scheduling": {"priorityClassName": "../../../api/v1/secrets"}},
        {"scheduling": {"priorityClassName": "a/b"}},
        None,
    ],
)
def test_what_is_no_spec_and_what_is_no_name_is_not_looked_up(spec: Any) -> None:
    statefulset = {"metadata": {"name": "demo-1"}, "spec": {"template": {"metadata": {}, "spec": {}}}}
    assert references_wanted({"spec": spec}, {"StatefulSet": {"demo-1": statefulset}}) == frozenset()


def test_what_a_pod_needs_of_others() -> None:
    pod = {
        "priorityClassName": "high",
        "serviceAccountName": "demo",
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-demo-1"}},
            {"name": "backup-volume", "persistentVolumeClaim": {"claimName": "backups"}},
            {"name": "backup-credentials", "secret": {"secretName": "keys", "optional": True}},
            {"name": "tls", "secret": {"secretName": "demo-tls"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    assert references(pod) == {
        ("PriorityClass", "high"),
        ("Secret", "registry"),
        ("PersistentVolumeClaim", "backups"),
    }
    assert references({}) == frozenset()
