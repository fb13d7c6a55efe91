"""The sum of rooms: what holds of `+`, and of the rooms whose contributions are added."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planning.recording import canonical
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World, cluster, some_supplies

from aurora_operator.planning import plan as planner
from aurora_operator.planning.choices import Choices, choose
from aurora_operator.planning.contribution import CALLS, KINDS, NOTHING, Condition, Contribution, total
from aurora_operator.planning.model.plan_model import (
    CHILD_KINDS,
    OPTIONAL_KINDS,
    AgentCall,
    EventSpec,
    ObjectRef,
    Plan,
    Restart,
    Switchover,
)
from aurora_operator.planning.spec.validation import judge
from aurora_operator.planning.view.facts import Facts

UNRECORDED = True
"""Some of these rooms are wrong on purpose."""

word = st.sampled_from("abc")
objects = st.tuples(word, word).map(lambda t: {"kind": "Secret", "metadata": {"name": t[0]}, "data": t[1]})


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, max_size=2).map(tuple)


contributions = st.builds(
    Contribution,
    apply=several(objects),
    create=several(objects),
    delete=several(st.builds(ObjectRef, kind=st.just("Pod"), name=word)),
    calls=several(st.builds(Restart, instance=word)),
    annotations=st.dictionaries(word, st.none() | word, max_size=2),
    wakes=st.none() | word,
    finalizers=st.none() | several(word),
    events=several(st.builds(EventSpec, type=word, reason=word, message=word)),
    why=several(word),
    progress=several(word),
    faults=several(word),
    conditions=several(st.builds(Condition, type=word, status=st.just("True"), reason=word, message=word)),
    phase=st.none() | st.tuples(st.sampled_from(["Paused", "Stopped"]), word),
    status=st.dictionaries(word, word, max_size=2),
)


@given(contributions, contributions, contributions)
def test_the_sum_is_associative(a: Contribution, b: Contribution, c: Contribution) -> None:
    assert (a + b) + c == a + (b + c) == total([a, b, c])


@given(contributions)
def test_nothing_adds_nothing(a: Contribution) -> None:
    assert NOTHING + a == a == a + NOTHING
    assert total([]) == NOTHING


@given(contributions, contributions)
def test_nothing_is_lost_in_a_sum(a: Contribution, b: Contribution) -> None:
    both = a + b
    for item in fields(Contribution):
        mine, whole = getattr(a, item.name), getattr(both, item.name)
        if isinstance(mine, tuple) and item.name not in ("finalizers", "phase"):
            assert whole == (*mine, *getattr(b, item.name))
        elif isinstance(mine, dict):
            assert whole.keys() == mine.keys() | getattr(b, item.name).keys()
        elif mine is not None or getattr(b, item.name) is not None:
            assert whole is not None


def test_all_kinds_have_a_place_in_the_order() -> None:
    assert {*CHILD_KINDS, *OPTIONAL_KINDS} <= set(KINDS)
    assert set(CALLS) == set(get_args(AgentCall))


def _chosen(world: World) -> tuple[Facts, Choices]:
    view = Facts(world.observe(), world.now)
    verdict = judge(view)
    assert verdict.spec is not None
    return view, choose(view, verdict, verdict.spec, some_supplies())


STORIES: dict[str, dict[str, Any]] = {
    "new": {"instances": 2},
    "backed up": {"instances": 2, "backup": {"destination": {"volume": {"claimName": "backups"}}}},
    "a clone": {"cloneFrom": {"cluster": "demo"}},
    "pauses": {
        "instances": 1,
        "instanceClass": "db.serverless",
        "serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 4},
    },
}


def _world(story: str) -> World:
    if "cloneFrom" not in STORIES[story]:
        return World(cluster(**STORIES[story]))
    world = World(cluster("copy", **STORIES[story]))
    world.source = ready()
    return world


@pytest.mark.parametrize("story", STORIES)
def test_no_two_rooms_speak_of_the_same(story: str) -> None:
    """Each object, annotation, condition and field of the status is one room's: the order of rooms decides nothing."""
    world = _world(story)
    for _ in range(8):
        view, choices = _chosen(world)
        owners: dict[tuple[str, str], str] = {}
        for room in planner.ROOMS:
            part = room(view, choices)
            keys = {("apply", f"{o['kind']}/{o['metadata']['name']}") for o in (*part.apply, *part.create)}
            keys |= {("annotation", key) for key in part.annotations} | {("status", key) for key in part.status}
            keys |= {("condition", condition.type) for condition in part.conditions}
            keys |= {("delete", f"{ref.kind}/{ref.name}") for ref in part.delete}
            keys |= {("single", n) for n in ("wakes", "finalizers", "phase") if getattr(part, n) is not None}
            assert not keys & owners.keys(), f"{room.__module__} and {owners}"
            owners |= dict.fromkeys(keys, room.__module__)
        world.step()


def steps(made: Plan) -> tuple[str, ...]:
    return tuple(canonical(part) for part in (made.apply, made.create, made.delete, made.calls, made.annotations))


@pytest.mark.parametrize("story", STORIES)
def test_the_order_of_rooms_changes_no_step(story: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the order of sentences only."""
    world = _world(story)
    for _ in range(8):
        seen = world.observe()
        forth = planner.plan(seen, some_supplies(), world.now)
        with monkeypatch.context() as context:
            context.setattr(planner, "ROOMS", planner.ROOMS[::-1])
            back = planner.plan(seen, some_supplies(), world.now)
        assert steps(forth) == steps(back) and set(forth.why) == set(back.why)
        assert forth.status["phase"] == back.status["phase"]
        world.step()


def _restarts_besides(view: Facts, choices: Choices) -> Contribution:
    """A room that does not know of the others: it restarts a reader whose parameters are old."""
    waiting = [a.name for a in view.answering if a.pending_restart and a.role == "reader"]
    return Contribution(calls=tuple(Restart(name) for name in waiting))


def _replaces_besides(view: Facts, choices: Choices) -> Contribution:
    """A room that deletes the StatefulSet of a reader while another one restarts."""
    outdated = choices.rollout.outdated[1:2]
    sets = view.observed.children.get("StatefulSet", {})
    uids = {name: raw["metadata"]["uid"] for name, raw in sets.items()}
    return Contribution(delete=tuple(ObjectRef("StatefulSet", name, uids[name]) for name in outdated))


def _switches_besides(view: Facts, choices: Choices) -> Contribution:
    """A room that moves the writer while a pod is replaced."""
    if choices.rollout.now is None or view.leader is None:
        return NOTHING
    return Contribution(calls=(Switchover(view.leader.name, None),))


def _stops_besides(view: Facts, choices: Choices) -> Contribution:
    """A room that takes the pods away from two readers."""
    if choices.rollout.now is None:
        return NOTHING
    stopped = [{**choices.statefulsets[o], "spec": {"replicas": 0}} for o in list(choices.statefulsets)[1:]]
    return Contribution(apply=tuple(stopped))


@pytest.mark.parametrize("room", [_restarts_besides, _replaces_besides, _switches_besides, _stops_besides])
def test_a_room_that_disrupts_besides_is_noticed(room: planner.Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The property that every story checks (`safety.check_plan`) fails where a room breaks it."""
    world = ready(parameters={"max_connections": "100"})
    world.edit(parameters={"max_connections": "200"})
    monkeypatch.setattr(planner, "ROOMS", (*planner.ROOMS, room))
    with pytest.raises(AssertionError, match="several disruptions at once"):
        for _ in range(20):
            world.step()
