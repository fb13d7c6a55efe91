"""What holds for every plan, whatever happens: hypothesis drives the world in memory."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planning.recording import plan
from tests.unit.planning.safety import disruptions
from tests.unit.planning.world import World, cluster, some_supplies

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.membership.placement import place
from aurora_operator.planning.model.plan_model import Unreachable
from aurora_operator.planning.objects.compare import covers

quiet = settings(max_examples=25)

count = st.integers(1, 6)
event = st.one_of(
    st.tuples(st.just("scale"), count),
    st.tuples(st.just("image"), st.sampled_from(["one", "two", "bad"])),
    st.tuples(st.just("parameter"), st.sampled_from(["100", "200"])),
    st.tuples(st.just("kill"), st.integers(1, 5)),
    st.tuples(st.just("hide"), st.integers(1, 5)),
    st.tuples(st.just("show"), st.integers(1, 5)),
    st.tuples(st.just("freeze"), st.integers(1, 5)),
    st.tuples(st.just("thaw"), st.integers(1, 5)),
    st.tuples(st.just("drop"), st.sampled_from(["demo-settings", "demo-tls", "demo-app", "demo-pods", "demo"])),
    st.tuples(st.just("switch"), st.integers(1, 5)),
    st.tuples(st.just("wait"), st.integers(1, 12)),
)


def happen(world: World, what: str, value: Any) -> None:
    match what:
        case "scale":
            world.edit(instances=value)
        case "image":
            world.edit(image={"name": value})
        case "parameter":
            world.edit(parameters={"max_connections": value})
        case "kill":
            world.kill(f"demo-{value}")
        case "hide":
            world.unreachable.add(f"demo-{value}")
        case "show":
            world.unreachable.discard(f"demo-{value}")
        case "freeze":
            world.frozen.add(f"demo-{value}")
        case "thaw":
            world.frozen.discard(f"demo-{value}")
        case "drop":
            for kind in ("ConfigMap", "Secret", "Service", "Role"):
                world.objects.get(kind, {}).pop(value, None)
        case "switch":
            world.resource["metadata"].setdefault("annotations", {})["aurorapg.io/switchover"] = f"demo-{value}"
        case "wait":
            for _ in range(value):
                world.step()


@quiet
@given(start=st.integers(1, 4), story=st.lists(event, max_size=12))
def test_any_story_is_safe_and_ends_well(start: int, story: list[tuple[str, Any]]) -> None:
    """`World.step` checks every plan: one disruption at most, no writer, no member's volume, nobody when others are
    down. Once faults stop, the cluster becomes what its spec says."""
    world = World(cluster(instances=start))
    world.broken_images = {"bad"}
    for what, value in story:
        happen(world, what, value)
        world.step()
    world.unreachable.clear()
    world.frozen.clear()
    world.broken_images.clear()
    final = world.settle(steps=200)
    wanted = world.resource["spec"]["instances"]
    assert final.status["phase"] == "Ready" and final.status["ready"] == f"{wanted}/{wanted}"
    assert len(world.instances) == wanted
    again = plan(world.observe(), some_supplies(), world.now)
    assert not again.changes and not again.events


@quiet
@given(start=st.integers(1, 4), story=st.lists(event, max_size=8))
def test_plan_is_deterministic_and_changes_nothing_that_it_sees(start: int, story: list[tuple[str, Any]]) -> None:
    world = World(cluster(instances=start))
    for what, value in story:
        happen(world, what, value)
        seen = world.observe()
        before = deepcopy(seen)
        assert plan(seen, some_supplies(), world.now) == plan(seen, some_supplies(), world.now)
        assert seen == before, "what is known is seen by many passes"
        world.step()


@quiet
@given(start=st.integers(2, 4), story=st.lists(event, max_size=6), wanted=count)
def test_nothing_is_disrupted_on_ignorance(start: int, story: list[tuple[str, Any]], wanted: int) -> None:
    """With no agent in reach, nothing is interrupted, removed or pushed, whatever the spec asks."""
    world = World(cluster(instances=start))
    for what, value in story:
        happen(world, what, value)
        world.step()
    world.edit(instances=wanted, image={"name": "other"})
    seen = world.observe()
    blind = replace(seen, agents={name: Unreachable("cut off") for name in seen.agents})
    made = plan(blind, some_supplies(), world.now)
    assert not disruptions(made) and not made.delete and not made.calls


@given(
    count=st.integers(1, 16),
    zones=st.lists(st.sampled_from("abcdef"), unique=True, min_size=1),
    spread=st.integers(1, 6),
    gone=st.sets(st.integers(1, 16), max_size=6),
)
def test_placement_is_balanced(count: int, zones: list[str], spread: int, gone: set[int]) -> None:
    spec = AuroraClusterSpec.model_validate({"instances": 16, "durability": {"zones": min(spread, len(zones))}})
    ordinals = range(1, count + 1)
    first = place(spec, ordinals, {}, zones)
    crowd = Counter(first.values())
    assert max(crowd.values()) - min(crowd.values()) <= 1
    assert len(crowd) == min(count, spread, len(zones))
    # What is placed stays, and newcomers fill the emptiest zones.
    placed = {o: zone for o, zone in first.items() if o not in gone}
    second = place(spec, ordinals, placed, zones)
    assert {o: second[o] for o in placed} == placed


json_value = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_value, extra=json_value)
def test_an_object_covers_itself_and_what_others_added(value: Any, extra: Any) -> None:
    assert covers(value, value)
    if isinstance(value, dict) and "added" not in value:
        assert covers({**value, "added": extra}, value)
