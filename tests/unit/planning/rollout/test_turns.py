from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.planning.rollout.turns import Key, Standing, give_turns, standing_of, waits_for

START = datetime(2026, 3, 1, tzinfo=UTC)
A, B, C = ("one", "a"), ("one", "b"), ("two", "c")


def waiting(hours: int = 0, **more: bool) -> Standing:
    return Standing("turn", START + timedelta(hours=hours), **more)


def test_one_after_the_other_those_that_wait_longest_first() -> None:
    standings = {A: waiting(2), B: waiting(1), C: waiting(3)}
    assert give_turns(standings, standings, at_most=1) == {B}
    assert waits_for(B, standings, standings, at_most=1) is None
    standings[B] = Standing("going", START)
    assert give_turns(standings, standings, at_most=1) == {B}
    assert waits_for(A, standings, standings, at_most=1) == "its turn after one/b; 1 at a time"
    standings[B] = Standing()
    assert give_turns(standings, standings, at_most=1) == {A}


def test_nobody_begins_before_all_have_been_looked_at() -> None:
    assert give_turns({A, B}, {A: waiting()}, at_most=2) == frozenset()
    assert waits_for(A, {A, B}, {A: waiting()}, at_most=2) == "the operator to have looked at all clusters"
    assert give_turns({A, B}, {A: Standing("going")}, at_most=2) == {A}


def test_canaries_come_first_and_alone() -> None:
    standings = {A: waiting(), B: waiting(canary=True), C: waiting()}
    assert give_turns(standings, standings, at_most=3) == {B}
    standings[B] = Standing("going", START, canary=True)
    assert give_turns(standings, standings, at_most=3) == {B}
    standings[B] = Standing(canary=True)
    assert give_turns(standings, standings, at_most=3) == {A, C}


def test_nobody_follows_one_that_does_not_come_back() -> None:
    standings = {A: Standing("going", START, well=False), B: waiting(), C: waiting()}
    assert give_turns(standings, standings, at_most=3) == {A}
    assert waits_for(B, standings, standings, at_most=3) == "its turn after one/a (one/a is not well); 3 at a time"


def test_a_window_that_is_closed_takes_nobodys_turn() -> None:
    standings = {A: Standing("window", START), B: waiting(5)}
    assert give_turns(standings, standings, at_most=1) == {B}


STANDINGS = st.builds(
    Standing,
    stage=st.sampled_from([None, "window", "turn", "going"]),
    since=st.one_of(st.none(), st.integers(0, 9).map(lambda hours: START + timedelta(hours=hours))),
    canary=st.booleans(),
    well=st.booleans(),
)
FLEETS: st.SearchStrategy[dict[Key, Standing]] = st.dictionaries(
    st.tuples(st.sampled_from("xy"), st.sampled_from("abcdef")), STANDINGS
)


@given(FLEETS, st.integers(1, 4))
def test_never_more_than_so_many_begin(fleet: dict[Key, Standing], at_most: int) -> None:
    going = {key for key, standing in fleet.items() if standing.stage == "going"}
    turns = give_turns(fleet, fleet, at_most=at_most)
    assert going <= turns
    assert len(turns) <= max(at_most, len(going))
    assert all(fleet[key].stage == "turn" and fleet[key].well for key in turns - going)


@given(FLEETS)
def test_whoever_can_be_restarted_gets_a_turn_in_the_end(fleet: dict[Key, Standing]) -> None:
    fleet = {key: standing for key, standing in fleet.items() if standing.stage != "going"}
    could = {key for key, standing in fleet.items() if standing.stage == "turn" and standing.well}
    had: set[Key] = set()
    for _ in range(len(could)):
        turns = give_turns(fleet, fleet, at_most=1)
        had |= turns
        fleet.update(dict.fromkeys(turns, Standing()))
    assert had == could


def test_a_standing_is_what_status_and_annotation_say() -> None:
    cluster = {"metadata": {"annotations": {"aurorapg.io/canary": "true"}}}
    status = {"phase": "Degraded", "pendingMaintenance": {"stage": "turn", "since": "2026-03-01T00:00:00Z"}}
    assert standing_of(cluster, status) == Standing("turn", START, canary=True, well=False)
    assert standing_of({"metadata": {}}, {"phase": "Ready"}) == Standing()
    assert standing_of({"metadata": {}}, {"phase": 7}) == Standing()
