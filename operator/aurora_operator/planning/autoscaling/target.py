"""How many readers there should be: target tracking over what they measure, as Aurora Auto Scaling does it.

Pure arithmetic. A reader that does not answer, or is not ready yet, is taken to bear nothing when readers are to be
added (it will take its share) and to be on target when one is to be removed (it may be needed): neither a failure nor a
reader that is still being cloned makes the number jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from aurora_operator.api.spec.autoscaling import ReaderAutoscaling
from aurora_operator.api.spec.instances import MAX_INSTANCES

SLACK: Final = 0.9
"""A reader is removed only if the others would then be below this share of the target."""
IDLE: Final = 0.1
"""The last reader is removed, so that the writer serves reads too, only below this share of the target."""


@dataclass(frozen=True)
class Situation:
    """What is known. Readings are of the policy's metric; None where there is none."""

    manual: int
    """Readers that `spec.instances` asks for."""
    readers: int
    """How many there should be by the last decision, `manual` included."""
    readings: tuple[float | None, ...]
    """One for each reader that exists."""
    writer: float | None
    last_out: datetime | None
    last_in: datetime | None
    now: datetime


@dataclass(frozen=True)
class Decision:
    """How many readers there should be, and what was done about it just now."""

    readers: int
    direction: Literal["out", "in"] | None = None
    average: float | None = None
    """Of the readers that can be asked; of the writer when there are none."""
    why: str = ""


def decide(policy: ReaderAutoscaling, seen: Situation) -> Decision:
    """The number of readers. Never fewer than the user's own, never more than `max_capacity` on top of them."""
    least = max(policy.min_capacity, seen.manual)
    most = max(min(policy.max_capacity, MAX_INSTANCES - 1), seen.manual)
    known = [reading for reading in seen.readings if reading is not None]
    average = sum(known) / len(known) if known else (seen.writer if not seen.readings else None)
    now = max(seen.readers, seen.manual)
    if now < least:
        return Decision(least, "out", average, f"minCapacity is {policy.min_capacity}")
    if now > most:
        if policy.disable_scale_in:
            return Decision(now, None, average, "scale-in is disabled")
        return Decision(most, "in", average, f"maxCapacity is {policy.max_capacity}")
    wanted = _out(policy, seen, known, now)
    if wanted > now and now < most:
        if _within(seen.last_out, policy.scale_out_cooldown_seconds, seen.now):
            return Decision(now, None, average, "the scale-out cool-down is not over")
        why = f"{policy.target.metric} is {_round(average)} on average, and the target is {policy.target.value}"
        return Decision(min(wanted, most), "out", average, why)
    if now > least and not policy.disable_scale_in and _may_shrink(policy, seen, known, now):
        cooling = policy.scale_in_cooldown_seconds
        if _within(seen.last_in, cooling, seen.now) or _within(seen.last_out, cooling, seen.now):
            return Decision(now, None, average, "the scale-in cool-down is not over")
        why = f"{policy.target.metric} is {_round(average)} on average, and fewer readers keep it below the target"
        return Decision(now - 1, "in", average, why)
    return Decision(now, None, average)


def _out(policy: ReaderAutoscaling, seen: Situation, known: list[float], now: int) -> int:
    """How many readers would bring the average down to the target."""
    target = policy.target.value
    if now == 0:
        return 1 if seen.writer is not None and seen.writer > target else 0
    total = sum(known)
    return math.ceil(total / target) if total / now > target else now


def _may_shrink(policy: ReaderAutoscaling, seen: Situation, known: list[float], now: int) -> bool:
    target = policy.target.value
    if len(seen.readings) > now or not known:
        return False
    total = sum(known) + (now - len(known)) * target
    if now > 1:
        return total / (now - 1) <= SLACK * target
    # What the writer would have then must not call for a reader again.
    return total <= IDLE * target and seen.writer is not None and seen.writer + total <= SLACK * target


def _within(moment: datetime | None, seconds: int, now: datetime) -> bool:
    return moment is not None and now - moment < timedelta(seconds=seconds)


def _round(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f}"
