from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit import virtual_time

from aurora_operator.agent.lifecycle import hang_detector as module
from aurora_operator.agent.lifecycle.hang_detector import HangDetector
from aurora_operator.postgres.errors import QueryError, Unavailable
from aurora_operator.postgres.sql.session import Session


class FakeSession(Session):
    """Answers, refuses, or stays silent as `mood` says."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.mood = "answers"
        self.seconds = 1.0
        """After which a question that is not answered is given up."""

    async def row(self, *_: Any, **__: Any) -> tuple[int]:
        if self.mood == "silent":
            await asyncio.sleep(self.seconds)
            raise Unavailable("no answer")
        if self.mood == "refuses":
            raise Unavailable("too many clients")
        if self.mood == "errs":
            raise QueryError("an error", "XX000")
        return (1,)


def _stops(
    mood: str,
    *,
    serving: bool = True,
    seconds: float = 15,
    patience: float = 4,
    gives_up: float = 1.0,
    heard: Callable[[float], float] = lambda now: -math.inf,
) -> list[float]:
    """When it was stopped, within so many seconds; `heard` is told what time it is."""

    async def story(clock: Callable[[], float]) -> list[float]:
        session, stops = FakeSession(), list[float]()
        session.mood, session.seconds = mood, gives_up
        detector = HangDetector(
            session,
            heard=lambda: heard(clock()),
            serving=lambda: serving,
            patience=lambda: patience,
            stop=lambda: stops.append(clock()),
            clock=clock,
        )
        task = asyncio.create_task(detector.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return stops

    return virtual_time.run(story)


def test_a_silent_server_is_stopped_and_given_time_to_come_back() -> None:
    first, second, third = _stops("silent")
    assert 4 <= first <= 4 + module.MOMENT_SECONDS
    assert 4 <= second - first <= 4 + module.MOMENT_SECONDS
    assert 4 <= third - second <= 4 + module.MOMENT_SECONDS


@pytest.mark.parametrize("mood", ["answers", "refuses", "errs"])
def test_one_that_answers_whatever_it_says_is_left_alone(mood: str) -> None:
    assert _stops(mood) == []


def test_one_that_is_down_or_starting_is_nobodys_pulse() -> None:
    assert _stops("silent", serving=False) == []


def test_one_that_answers_somebody_else_is_not_asked() -> None:
    assert _stops("silent", heard=lambda now: now) == []


def test_what_somebody_else_has_heard_counts_from_then_on() -> None:
    first, *_ = _stops("silent", heard=lambda now: 0.0)
    assert 4 <= first <= 4 + module.MOMENT_SECONDS + module.PERIOD_SECONDS


def test_patience_is_kept() -> None:
    assert _stops("silent", patience=20) == []


def test_patience_is_exceeded_by_a_moment_only() -> None:
    """Though a question that is not answered would take longer than that."""
    first, *_ = _stops("silent", patience=1, gives_up=60)
    assert 1 <= first <= 1 + module.MOMENT_SECONDS
