"""How many readers there should be, as arithmetic, and over the traces of a day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.spec.autoscaling import ReaderAutoscaling
from aurora_operator.planning.autoscaling.target import Decision, Situation, decide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def policy(**changes: Any) -> ReaderAutoscaling:
    target = {"metric": "CPUUtilization", "value": 60}
    return ReaderAutoscaling.model_validate({"minCapacity": 1, "maxCapacity": 6, "target": target} | changes)


def situation(*readings: float | None, manual: int = 1, **changes: Any) -> Situation:
    fields: dict[str, Any] = {
        "manual": manual,
        "readers": len(readings),
        "readings": readings,
        "writer": 10.0,
        "last_out": None,
        "last_in": None,
        "now": NOW,
    }
    return Situation(**(fields | changes))


def test_as_many_as_bring_the_average_to_the_target() -> None:
    decision = decide(policy(), situation(90, 100))
    assert (decision.readers, decision.direction, decision.average) == (4, "out", 95)


def test_on_target_nothing_changes() -> None:
    assert decide(policy(), situation(60, 60)) == Decision(2, None, 60)


def test_never_more_than_the_maximum_or_fewer_than_the_minimum() -> None:
    assert decide(policy(maxCapacity=2), situation(100)).readers == 2
    assert decide(policy(minCapacity=3), situation(0)).readers == 3
    assert decide(policy(maxCapacity=2), situation(100, 100, 100)) == Decision(2, "in", 100, "maxCapacity is 2")


def test_the_users_own_readers_are_never_removed() -> None:
    assert decide(policy(), situation(0, 0, 0, manual=3)).readers == 3
    assert decide(policy(maxCapacity=1), situation(0, 0, 0, manual=3)).readers == 3


def test_one_is_removed_at_a_time_and_only_with_slack() -> None:
    assert decide(policy(), situation(1, 1, 1)).readers == 2
    assert decide(policy(), situation(35, 35, 35)).readers == 2
    assert decide(policy(), situation(37, 37, 37)).readers == 3


def test_scale_in_can_be_switched_off() -> None:
    assert decide(policy(disableScaleIn=True), situation(0, 0, 0)).readers == 3
    assert decide(policy(disableScaleIn=True, maxCapacity=2), situation(0, 0, 0)).readers == 3


def test_cool_downs() -> None:
    recent, long_ago = NOW - timedelta(seconds=299), NOW - timedelta(seconds=300)
    assert decide(policy(), situation(100, last_out=recent)).readers == 1
    assert decide(policy(), situation(100, last_out=long_ago)).readers == 2
    assert decide(policy(), situation(100, last_in=recent)).readers == 2  # a removal does not delay help
    assert decide(policy(), situation(0, 0, last_in=recent)).readers == 2
    assert decide(policy(), situation(0, 0, last_out=recent)).readers == 2
    assert decide(policy(), situation(0, 0, last_in=long_ago, last_out=long_ago)).readers == 1


def test_a_failed_reader_neither_adds_nor_removes_any() -> None:
    assert decide(policy(), situation(70, None)).readers == 2
    assert decide(policy(), situation(20, None)).readers == 2
    assert decide(policy(), situation(None, None)) == Decision(2)


def test_without_readers_the_writer_says_whether_one_is_needed() -> None:
    none = policy(minCapacity=0)
    assert decide(none, situation(manual=0, writer=61)).readers == 1
    assert decide(none, situation(manual=0, writer=59)).readers == 0
    assert decide(none, situation(5, manual=0)).readers == 0
    assert decide(none, situation(30, manual=0)).readers == 1
    assert decide(none, situation(0, manual=0, writer=61)).readers == 1, "it would come back at once"
    assert decide(none, situation(0, manual=0, writer=None)).readers == 1


readings = st.lists(st.one_of(st.none(), st.floats(0, 1000)), max_size=15).map(tuple)
policies = st.builds(
    policy,
    minCapacity=st.integers(0, 5),
    maxCapacity=st.integers(5, 15),
    disableScaleIn=st.booleans(),
)


@given(policies, readings, st.integers(0, 15), st.floats(0, 100))
def test_bounds_always_hold(chosen: ReaderAutoscaling, seen: tuple[float | None, ...], manual: int, own: float) -> None:
    decision = decide(chosen, situation(*seen, manual=manual, writer=own))
    assert max(manual, chosen.min_capacity) <= decision.readers
    assert decision.readers <= max(15, manual)
    if not chosen.disable_scale_in:
        assert decision.readers <= max(chosen.max_capacity, manual)
    changed = decision.readers != max(len(seen), manual)
    assert changed == (decision.direction is not None)


@given(policies, st.floats(0, 100), st.integers(1, 15))
def test_a_steady_load_comes_to_rest(chosen: ReaderAutoscaling, load: float, start: int) -> None:
    """With a load that does not change, the number does not go up and down."""
    counts = simulate(chosen, lambda _: load * 3, start=start, minutes=240)
    assert len(set(counts[-60:])) == 1


Trace = Callable[[int], float]


def simulate(chosen: ReaderAutoscaling, load: Trace, *, start: int = 1, minutes: int, born: int = 1) -> list[int]:
    """Readers by the minute under a load in percent of one reader; a new one takes `born` minutes to serve."""
    readers, ages, counts = start, [born] * start, []
    last_out: datetime | None = None
    last_in: datetime | None = None
    for minute in range(minutes):
        now = NOW + timedelta(minutes=minute)
        serving = sum(age >= born for age in ages)
        share = min(load(minute) / serving, 100.0) if serving else None
        seen = tuple(share if age >= born else None for age in ages)
        decision = decide(
            chosen,
            situation(
                *seen, manual=0, readers=readers, writer=load(minute), last_out=last_out, last_in=last_in, now=now
            ),
        )
        last_out = now if decision.direction == "out" else last_out
        last_in = now if decision.direction == "in" else last_in
        readers = decision.readers
        ages = [age + 1 for age in ages][:readers]
        ages += [0] * (readers - len(ages))
        counts.append(readers)
    return counts


def test_a_ramp_is_followed_up_and_down() -> None:
    day = simulate(policy(), lambda m: 30 + 2 * min(m, 240 - m), minutes=300)
    assert max(day) == 5
    assert day[-1] == 1
    assert sorted(day[: day.index(5) + 1]) == day[: day.index(5) + 1]


def test_a_spike_is_met_within_minutes_and_left_slowly() -> None:
    day = simulate(policy(), lambda m: 240 if 60 <= m < 75 else 20, minutes=120)
    assert day[59] == 1
    assert max(day[60:70]) >= 3
    after = day[75:]
    assert after == sorted(after, reverse=True)
    assert all(a - b <= 1 for a, b in pairwise(after))
    assert day[-1] == 1


def test_a_sawtooth_changes_readers_no_more_often_than_the_cool_downs_let() -> None:
    day = simulate(policy(), lambda m: 150 if m % 4 < 2 else 60, minutes=240)
    changes = sum(a != b for a, b in pairwise(day))
    assert changes <= 2 * 240 // 5
    assert max(day) <= 4
