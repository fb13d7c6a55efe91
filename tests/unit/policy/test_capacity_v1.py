"""Serverless v1's decision: its sizes one at a time, scaling points, timeouts and cool-downs."""

from __future__ import annotations

import json
from itertools import groupby

import pytest
from bench.capacity import Asked, held, main, simulate
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.policy.test_capacity import loads

from aurora_operator.api.base.load import Load
from aurora_operator.api.spec.capacity import V1_SIZES, CapacityRange, ScalingPoint, TimeoutAction
from aurora_operator.policy.capacity import start_capacity
from aurora_operator.policy.capacity_v1 import (
    DOWN_AFTER_DOWN_SECONDS,
    DOWN_AFTER_UP_SECONDS,
    RETRY_SECONDS,
    Decision,
    Point,
    State,
    decide,
    follow,
)

BUSY = Load(seconds=60, cpu_millis_10s=950.0, cpu_limit_millis=1000, running_10s=4.0, cpu_throttled=1.0)
QUIET = Load(seconds=60, cpu_millis_10s=20.0, cpu_limit_millis=1000)
FREE, HELD = Point(None), Point("a transaction is open")


def limits(action: TimeoutAction = "RollbackCapacityChange", least: float = 2, most: float = 16) -> CapacityRange:
    return CapacityRange(
        least=least, most=most, scaling_point=ScalingPoint(seconds_before_timeout=60, timeout_action=action)
    )


class Writer:
    """An instance that gets what was decided at once."""

    def __init__(self, range_: CapacityRange, capacity: float = 2) -> None:
        self.range, self.capacity, self.state, self.now = range_, capacity, State(), 0.0
        self.changes: list[tuple[float, float]] = []

    def second(self, load: Load, point: Point | None) -> Decision:
        made = decide(self.state, load, self.range, self.capacity, self.now, point)
        if made.acu != self.capacity:
            self.changes.append((self.now, made.acu))
        self.state, self.capacity, self.now = made.state, made.acu, self.now + 1
        return made

    def until_change(self, load: Load, point: Point | None, within: float) -> float:
        """Seconds until the capacity changes."""
        begun, before = self.now, len(self.changes)
        while len(self.changes) == before:
            assert self.now - begun <= within
            self.second(load, point)
        return self.changes[-1][0] - begun


def test_up_without_a_cool_down_one_size_at_a_time() -> None:
    writer = Writer(limits())
    for _ in range(5):
        writer.second(BUSY, FREE)
    assert [acu for _, acu in writer.changes] == [4, 8, 16][: len(writer.changes)]
    assert writer.changes[:2] == [(0.0, 4), (1.0, 8)]


def test_nobody_has_looked_yet() -> None:
    """An attempt asks for a look; nothing is told of a wait that may not be one."""
    writer = Writer(limits())
    made = writer.second(BUSY, None)
    assert (made.acu, made.wanted, made.change) == (2, 2, None)
    assert made.state.attempt is not None
    assert writer.second(BUSY, FREE).acu == 4


def test_a_transaction_is_waited_for() -> None:
    writer = Writer(limits())
    for _ in range(30):
        made = writer.second(BUSY, HELD)
        assert (made.acu, made.wanted, made.change) == (2, 4, "Waiting")
    assert made.reason == "the run queue; a scaling point is waited for: a transaction is open"
    made = writer.second(BUSY, FREE)
    assert (made.acu, made.change) == (4, None)


def test_rolled_back_and_tried_again_later() -> None:
    writer = Writer(limits())
    while (made := writer.second(BUSY, HELD)).change != "RolledBack":
        assert writer.now < 100
    assert writer.now == 61
    assert (made.acu, made.wanted) == (2, 4)
    assert "4 ACU were given up after 60 s without a scaling point: a transaction is open" in made.reason
    assert writer.until_change(BUSY, FREE, 100) == RETRY_SECONDS - 1
    assert made.state.outcome == "RolledBack"
    assert writer.state.outcome is None


def test_what_was_given_up_is_forgotten_with_the_load() -> None:
    writer = Writer(limits())
    while writer.second(BUSY, HELD).change != "RolledBack":
        pass
    for _ in range(61):
        made = writer.second(QUIET, FREE)
    assert (made.acu, made.wanted, made.change, made.reason) == (2, 2, None, "CPU")


def test_forced_and_told_for_a_while() -> None:
    writer = Writer(limits("ForceApplyCapacityChange"))
    assert writer.until_change(BUSY, HELD, 100) == 60
    assert writer.capacity == 4
    for _ in range(19):
        made = writer.second(BUSY, HELD)
        assert (made.acu, made.wanted, made.change) == (4, 8, "Forced")
        assert "4 ACU were applied after 60 s without a scaling point" in made.reason
    assert writer.second(BUSY, HELD).change == "Waiting"
    idle = Writer(limits("ForceApplyCapacityChange", least=2, most=4))
    idle.until_change(BUSY, HELD, 100)
    assert idle.second(BUSY, HELD).change == "Forced"
    for _ in range(20):
        made = idle.second(BUSY, HELD)
    assert made.change is None


def test_down_after_fifteen_minutes_and_then_every_310_seconds() -> None:
    writer = Writer(limits())
    while writer.capacity < 16:
        writer.second(BUSY, FREE)
    raised = writer.changes[-1][0]
    for expected in (8, 4, 2):
        writer.until_change(QUIET, FREE, 1000)
        assert writer.capacity == expected
    downs = [time for time, _ in writer.changes[3:]]
    assert downs == [
        raised + DOWN_AFTER_UP_SECONDS,
        raised + DOWN_AFTER_UP_SECONDS + DOWN_AFTER_DOWN_SECONDS,
        raised + DOWN_AFTER_UP_SECONDS + 2 * DOWN_AFTER_DOWN_SECONDS,
    ]


def test_down_waits_for_a_scaling_point_too() -> None:
    writer = Writer(limits(), capacity=8)
    assert writer.until_change(QUIET, FREE, 1000) == DOWN_AFTER_UP_SECONDS
    for _ in range(int(DOWN_AFTER_DOWN_SECONDS) + 30):
        made = writer.second(QUIET, HELD)
    assert (made.acu, made.wanted, made.change) == (4, 2, "Waiting")
    assert made.reason.startswith("less is needed; a scaling point is waited for")


def test_a_change_of_direction_begins_anew() -> None:
    writer = Writer(limits("ForceApplyCapacityChange"), capacity=4)
    for _ in range(int(DOWN_AFTER_UP_SECONDS) + 50):
        made = writer.second(QUIET, HELD)
    assert made.wanted == 2
    begun = writer.now
    writer.until_change(BUSY, HELD, 100)
    assert (writer.changes[-1][0] - begun, writer.capacity) == (60, 8)


def test_a_capacity_outside_the_range_is_led_into_it() -> None:
    assert Writer(limits(least=4, most=16)).second(QUIET, FREE).acu == 4
    assert Writer(limits(least=2, most=8), capacity=64).second(BUSY, FREE).acu == 8
    # One of v2's, after engineMode has changed.
    between = Writer(limits(), capacity=6.5)
    assert between.second(BUSY, FREE).acu == 8


def test_a_range_that_shrinks_under_load() -> None:
    writer = Writer(limits())
    while writer.capacity < 16:
        writer.second(BUSY, FREE)
    writer.range = limits(least=2, most=4)
    assert writer.second(BUSY, FREE).acu == 4
    for _ in range(5):
        assert writer.second(BUSY, FREE).acu == 4


ends = st.tuples(st.sampled_from(V1_SIZES), st.sampled_from(V1_SIZES))


@given(steps=st.lists(st.tuples(loads, ends, st.sampled_from([FREE, HELD])), min_size=1, max_size=20))
def test_any_range_may_follow_any_other(steps: list[tuple[Load, tuple[float, float], Point]]) -> None:
    state, capacity = State(), 2.0
    for second, (load, (one, other), point) in enumerate(steps):
        made = decide(state, load, limits(least=min(one, other), most=max(one, other)), capacity, second, point)
        assert min(one, other) <= made.wanted <= max(one, other)
        state, capacity = made.state, made.acu


def test_the_others_follow_the_writer_at_once() -> None:
    made = follow(State(), limits(), 2, 0.0, 8)
    assert (made.acu, made.state.raised) == (8, 0.0)
    made = follow(made.state, limits(), 8, 5.0, 4)
    assert (made.acu, made.state.raised, made.state.lowered) == (4, 0.0, 5.0)
    assert follow(made.state, limits(), 4, 6.0, None).acu == 4
    assert follow(State(), limits(), 4, 6.0, 64).acu == 16


def test_rules_of_v2_are_refused() -> None:
    with pytest.raises(ValueError, match="not Serverless v1"):
        decide(State(), QUIET, CapacityRange(least=2, most=4), 2, 0.0, None)


points = st.sampled_from([None, FREE, HELD])
series = st.lists(st.tuples(loads, points, st.sampled_from([1.0, 5.0, 61.0, 400.0])), min_size=1, max_size=40)
actions = st.sampled_from(["RollbackCapacityChange", "ForceApplyCapacityChange"])


@given(steps=series, action=actions, ends=st.tuples(st.sampled_from(V1_SIZES), st.sampled_from(V1_SIZES)))
def test_what_always_holds(
    steps: list[tuple[Load, Point | None, float]], action: TimeoutAction, ends: tuple[float, float]
) -> None:
    range_ = limits(action, min(ends), max(ends))
    state, capacity, now = State(), range_.least, 0.0
    raised, lowered = 0.0, float("-inf")
    for load, point, pause in steps:
        before = state
        made = decide(state, load, range_, capacity, now, point)
        assert made.acu in range_.sizes
        assert made.wanted in range_.sizes
        if made.acu != capacity:
            sizes = range_.sizes
            assert abs(sizes.index(made.acu) - sizes.index(capacity)) == 1
            if point is not FREE:
                assert point is HELD
                assert action == "ForceApplyCapacityChange"
                assert before.attempt is not None
                assert now - before.attempt.since >= 60
                assert made.change == "Forced"
            if made.acu < capacity:
                assert now - raised >= DOWN_AFTER_UP_SECONDS
                assert now - lowered >= DOWN_AFTER_DOWN_SECONDS
                lowered = now
            else:
                raised = now
        if made.change in ("Waiting", "RolledBack"):
            assert made.acu == capacity != made.wanted
        state, capacity, now = made.state, made.acu, now + pause


def changes(trace: list[Asked], range_: CapacityRange) -> list[tuple[float, int]]:
    """Each capacity with the second from which on it is in force."""
    found, second = [], 0
    for acu, seconds in groupby(s.capacity for s in simulate(trace, range_)):
        found.append((acu, second))
        second += len(list(seconds))
    return found


def test_a_long_transaction_under_load() -> None:
    """It holds everything until it ends at 240 s; or for 60 s each size, where that is to be forced."""
    rolled = changes(list(held()), limits())
    assert [acu for acu, _ in rolled] == [2, 4, 8, 16, 8, 4, 2]
    assert 240 <= rolled[1][1] <= 243
    assert rolled[4][1] - rolled[3][1] == DOWN_AFTER_UP_SECONDS
    forced = changes(list(held()), limits("ForceApplyCapacityChange"))
    assert [acu for acu, _ in forced] == [2, 4, 8, 16, 8, 4, 2]
    assert 120 <= forced[1][1] <= 130


def test_a_short_spike_is_held_for_fifteen_minutes() -> None:
    spike = [Asked(2.0 if 60 <= second < 120 else 0.02) for second in range(2400)]
    found = changes(spike, limits(most=4))
    assert [acu for acu, _ in found] == [2, 4, 2]
    assert found[1][1] < 80
    assert found[2][1] - found[1][1] == DOWN_AFTER_UP_SECONDS


def test_a_new_pod_has_what_the_old_one_had() -> None:
    """A cluster that wakes goes on with the capacity at which it paused."""
    assert start_capacity(4, 8, limits()) == 8
    assert start_capacity(None, None, limits()) == 2
    assert start_capacity(8, None, limits()) == 8


def test_the_simulator_knows_both(capsys: pytest.CaptureFixture[str]) -> None:
    main(["held", "--v1", "--timeout", "60", "--force", "--max", "8"])
    assert set(json.loads(capsys.readouterr().out)["capacity"]) == {2, 4, 8}
    with pytest.raises(SystemExit):
        main(["held", "--v1", "--max", "10"])


def test_the_start_of_the_container_itself_is_no_load() -> None:
    young = BUSY.model_copy(update={"seconds": 8})
    assert decide(State(), young, limits(), 2.0, 0.0, FREE).wanted == 2.0
    assert decide(State(), BUSY, limits(), 2.0, 0.0, FREE).wanted == 4.0
