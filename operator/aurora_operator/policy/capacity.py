"""How large a serverless instance should be: from its load, once a second. Pure; `bench/capacity.py` simulates it.

Up at once, by at most as much again (2 ACU when it is small): what is large grows in larger steps. Down only to what
was needed at most in the last minute, and by a quarter at a time, so that a pause between two queries costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from aurora_operator.api.base.load import Load
from aurora_operator.api.spec.capacity import ACU_BYTES, ACU_CPU_MILLIS, STEP, CapacityRange, round_up

CPU_TARGET: Final = 0.75
"""How much of its share of CPU an instance should use: the rest is for what comes in the next second."""
OVERHEAD_MILLIS: Final = 60
"""What the agent and an idle PostgreSQL use: no reason to grow."""
SATURATED: Final = 0.9
"""From this share of the limit on, use says less than there is to do: the run queue tells more."""
THROTTLED: Final = 0.2
MEMORY_TARGET: Final = 0.8
"""How much of the memory may be such that cannot be dropped."""
CONNECTION_BYTES: Final = 10 << 20
MEMORY_FULL: Final = 0.85
PRESSURE: Final = 10.0
"""Percent of 10 s in which something waited for memory."""
REFAULTS: Final = 500.0
"""Pages a second, read again soon after they were dropped: the cache is too small."""
GROWTH: Final = 1.5
LEAST_STEP_UP: Final = 2.0
DOWN_SECONDS: Final = 60.0
"""What was needed within this time is kept."""
DOWN_SHARE: Final = 0.25
DOWN_EVERY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Need:
    """A capacity in ACU, not yet rounded, and what asks for it."""

    acu: float
    reason: str


def needs(load: Load, capacity: float) -> Need:
    """The capacity that the load asks for, of an instance that has `capacity` now: the largest of its parts."""
    parts = [_cpu(load), _memory(load, capacity), _connections(load)]
    return max(parts, key=lambda need: need.acu)


def _cpu(load: Load) -> Need:
    use, limit = load.cpu_millis, load.cpu_limit_millis
    if use < limit / 2:
        # Nothing is held back yet, so a single second (an autovacuum worker's, say) decides nothing.
        use = min(use, 2 * load.cpu_millis_10s)
    used = max(use - OVERHEAD_MILLIS, 0)
    reason = "CPU"
    if limit and (load.cpu_millis >= SATURATED * limit or load.cpu_throttled >= THROTTLED):
        # What runs and what would like to: the limit hides it. Twice the use is believed, and then seen.
        used, reason = max(used, min(load.running * 1000, 2 * used)), "the run queue"
    return Need(used / (CPU_TARGET * ACU_CPU_MILLIS), reason)


def _memory(load: Load, capacity: float) -> Need:
    fixed = load.memory_anonymous_bytes + load.memory_shared_bytes
    cache = max(load.memory_working_set_bytes - fixed, 0)
    used_cache = min(cache, round(load.cache_reads_60s * 60 * 8192))
    need = Need((fixed / MEMORY_TARGET + used_cache) / ACU_BYTES, "memory")
    full = load.memory_limit_bytes and load.memory_bytes >= MEMORY_FULL * load.memory_limit_bytes
    if full and ((load.memory_pressure or 0) >= PRESSURE or load.memory_refaults_10s >= REFAULTS):
        need = max(need, Need(capacity * GROWTH, "memory pressure"), key=lambda n: n.acu)
    return need


def _connections(load: Load) -> Need:
    return Need((load.connections or 0) * CONNECTION_BYTES / ACU_BYTES, "connections")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was needed at a time, in seconds."""

    time: float
    acu: float


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered from second to second. A new one (after a restart of the agent) begins the minute anew."""

    wishes: tuple[Wish, ...] = ()
    """The needs of the last minute, without those that a later one exceeds: the first is the largest."""
    since: float | None = None
    lowered: float = field(default=float("-inf"))


@dataclass(frozen=True, slots=True)
class Decision:
    """The capacity to have now."""

    acu: float
    reason: str
    state: State


def decide(state: State, load: Load, limits: CapacityRange, capacity: float, now: float, floor: float = 0) -> Decision:
    """The capacity to have, of an instance that has `capacity`. `now` is in seconds of any clock that only goes on.

    `floor` is what it should have besides, whatever its own load: the writer's capacity, for those who follow it.
    """
    need = needs(load, capacity)
    if floor > need.acu:
        need = Need(floor, "the writer's capacity")
    target = limits.at_least(need.acu)
    since = now if state.since is None else state.since
    wishes = remember(state.wishes, Wish(now, target))
    state = replace(state, wishes=wishes, since=since)
    if target > capacity:
        return Decision(min(target, limits.at_least(capacity + max(capacity, LEAST_STEP_UP))), need.reason, state)
    kept = max(wish.acu for wish in wishes)
    if now - since < DOWN_SECONDS:
        kept = max(kept, limits.at_least(capacity))
    if kept >= capacity or now - state.lowered < DOWN_EVERY_SECONDS:
        return Decision(limits.at_least(capacity), need.reason, state)
    step = max(STEP, round_up(capacity * DOWN_SHARE))
    return Decision(limits.at_least(max(kept, capacity - step)), "less is needed", replace(state, lowered=now))


def remember(wishes: Iterable[Wish], new: Wish) -> tuple[Wish, ...]:
    """The wishes of the last minute with another, without those that it exceeds."""
    kept = [w for w in wishes if new.time - w.time < DOWN_SECONDS and w.acu > new.acu]
    return (*kept, new)


def start_capacity(before: float | None, seen: float | None, limits: CapacityRange) -> float:
    """With what a new pod of the instance should start: about what it had. `before` is what its template says;
    that is left as it is until it is wrong by more than a factor of two, because each change is a write (and those of
    Serverless v1 are rare)."""
    if seen is None:
        return limits.at_least(limits.least if before is None else before)
    if before is not None and limits.scaling_point is None and before == limits.at_least(before):
        return before if before / 2 <= seen <= before * 2 else limits.at_least(seen)
    return limits.at_least(seen)
