"""How large an instance of Serverless v1 should be, once a second: v1's sizes, scaling points and cool-downs. Pure.

The load asks as with v2, averaged over ten seconds. One size at a time: up without a cool-down, down 15 minutes after
the last change up and 310 s after the last one down. A change waits for a scaling point; when there is none in time,
it is given up, or made all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from aurora_operator.api.base.load import Load
from aurora_operator.api.spec.capacity import CapacityChange, CapacityRange
from aurora_operator.policy.capacity import Wish, needs, remember

DOWN_AFTER_UP_SECONDS: Final = 900.0
DOWN_AFTER_DOWN_SECONDS: Final = 310.0
WARM_UP_SECONDS: Final = 20.0
"""So much must have been seen of a load: what comes before is the start of the container itself."""
RETRY_SECONDS: Final = 60.0
"""How long a change that was given up is not tried again."""
TELL_SECONDS: Final = 20.0
"""How long it is told that a change was forced."""


@dataclass(frozen=True, slots=True)
class Point:
    """What was seen when a scaling point was looked for."""

    obstacle: str | None
    """What is in its way; None: this is one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A change that looks for a scaling point, since a time in seconds."""

    acu: float
    since: float


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered from second to second. A new one begins the cool-down of 15 minutes anew."""

    wishes: tuple[Wish, ...] = ()
    raised: float | None = None
    lowered: float = -math.inf
    attempt: Attempt | None = None
    outcome: CapacityChange | None = None
    """Of the last attempt, if it did not just find a scaling point."""
    detail: str = ""
    until: float = -math.inf
    """How long the outcome is told; what was given up is not tried again before."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The capacity to have now, and the one that would be right."""

    acu: float
    wanted: float
    reason: str
    state: State
    change: CapacityChange | None = None


def follow(state: State, limits: CapacityRange, capacity: float, now: float, writer: float | None) -> Decision:
    """For the others: as large as the writer, and no reason to wait, because nobody uses them. `writer` is None while
    its capacity is not known."""
    acu = limits.at_least(capacity if writer is None else writer)
    raised = now if state.raised is None or acu > capacity else state.raised
    lowered = now if acu < capacity else state.lowered
    return Decision(acu, acu, "the writer's capacity", State(raised=raised, lowered=lowered))


def decide(
    state: State, load: Load, limits: CapacityRange, capacity: float, now: float, point: Point | None
) -> Decision:
    """The capacity to have, of a writer that has `capacity`. `now` is in seconds of any clock that only goes on;
    `point` is what was seen just now, or None if nobody has looked: to be asked again with it if there is an attempt.

    Raises ValueError for a range that is not Serverless v1's.
    """
    rules = limits.scaling_point
    if rules is None:
        raise ValueError("these are not Serverless v1's rules")
    calm = load.model_copy(update={"cpu_millis": load.cpu_millis_10s, "running": round(load.running_10s)})
    need = needs(calm, capacity)
    if load.seconds < WARM_UP_SECONDS and limits.least <= capacity <= limits.most:
        return Decision(capacity, capacity, need.reason, replace(state, raised=now))
    wishes = remember(state.wishes, Wish(now, limits.at_least(need.acu)))
    state = replace(state, wishes=wishes, raised=now if state.raised is None else state.raised)
    target, reason = _target(state, limits, capacity, now), need.reason
    if now >= state.until or (target == capacity and state.outcome == "RolledBack"):
        state = replace(state, outcome=None, detail="")
    if target == capacity:
        return Decision(capacity, capacity, _with(reason, state.detail), replace(state, attempt=None), state.outcome)
    if target < capacity:
        reason = "less is needed"
    if state.outcome == "RolledBack":
        return Decision(capacity, target, _with(reason, state.detail), state, state.outcome)
    attempt = state.attempt
    if attempt is None or (attempt.acu > capacity) != (target > capacity):
        attempt = Attempt(target, now)
    attempt = replace(attempt, acu=target)
    state = replace(state, attempt=attempt)
    if point is None:
        return Decision(capacity, capacity, _with(reason, state.detail), state, state.outcome)
    if point.obstacle is None:
        state = replace(state, outcome=None, detail="")
        return _change(state, capacity, target, reason, now)
    if now - attempt.since < rules.seconds_before_timeout:
        reason = f"{reason}; a scaling point is waited for: {point.obstacle}"
        return Decision(capacity, target, _with(reason, state.detail), state, state.outcome or "Waiting")
    after = f"after {rules.seconds_before_timeout} s without a scaling point: {point.obstacle}"
    if rules.timeout_action == "ForceApplyCapacityChange":
        detail = f"{target:g} ACU were applied {after}"
        state = replace(state, outcome="Forced", detail=detail, until=now + TELL_SECONDS)
        return _change(state, capacity, target, reason, now)
    detail = f"{target:g} ACU were given up {after}"
    state = replace(state, attempt=None, outcome="RolledBack", detail=detail, until=now + RETRY_SECONDS)
    return Decision(capacity, target, _with(reason, detail), state, "RolledBack")


def _target(state: State, limits: CapacityRange, capacity: float, now: float) -> float:
    """The next size on the way to the most that was needed within the last minute; `capacity` if that is right."""
    if not limits.least <= capacity <= limits.most:
        return limits.at_least(capacity)
    # The range may have been another one a moment ago.
    kept = limits.at_least(max(wish.acu for wish in state.wishes))
    if kept > capacity:
        return next(size for size in limits.sizes if size > capacity)
    raised = now if state.raised is None else state.raised
    if now < max(raised + DOWN_AFTER_UP_SECONDS, state.lowered + DOWN_AFTER_DOWN_SECONDS):
        return capacity
    smaller = [size for size in limits.sizes if size < capacity]
    return max(smaller) if kept < capacity and smaller else capacity


def _change(state: State, capacity: float, target: float, reason: str, now: float) -> Decision:
    up = target > capacity
    state = replace(state, attempt=None, raised=now if up else state.raised, lowered=state.lowered if up else now)
    return Decision(target, target, _with(reason, state.detail), state, state.outcome)


def _with(reason: str, detail: str) -> str:
    return f"{reason}; {detail}" if detail else reason
