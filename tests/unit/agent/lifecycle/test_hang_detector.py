from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aurora_operator.agent.lifecycle import hang_detector as module
from aurora_operator.agent.lifecycle.hang_detector import HangDetector
from aurora_operator.postgres.errors import QueryError, Unavailable
from aurora_operator.postgres.sql.session import Session


class FakeSession(Session):
    """Answers, refuses, or stays silent as `mood` says."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.mood = "answers"

    async def row(self, *_: Any, **__: Any) -> tuple[int]:
        if self.mood == "silent":
            await asyncio.sleep(module.PERIOD_SECONDS * 2)
            raise Unavailable("no answer")
        if self.mood == "refuses":
            raise Unavailable("too many clients")
        if self.mood == "errs":
            raise QueryError("an error", "XX000")
        return (1,)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.02)


async def _stops(
    mood: str,
    *,
    serving: bool = True,
    seconds: float = 0.6,
    patience: float = 0.15,
    heard: Callable[[], float] = lambda: -math.inf,
) -> int:
    session, stops = FakeSession(), []
    session.mood = mood
    pulse = HangDetector(
        session, heard=heard, serving=lambda: serving, patience=lambda: patience, stop=lambda: stops.append(1)
    )
    task = asyncio.create_task(pulse.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return len(stops)


async def test_a_silent_server_is_stopped_and_given_time_to_come_back() -> None:
    assert 1 <= await _stops("silent") <= 3


@pytest.mark.parametrize("mood", ["answers", "refuses", "errs"])
async def test_one_that_answers_whatever_it_says_is_left_alone(mood: str) -> None:
    assert await _stops(mood) == 0


async def test_one_that_is_down_or_starting_is_nobodys_pulse() -> None:
    assert await _stops("silent", serving=False) == 0


async def test_one_that_answers_somebody_else_is_not_asked() -> None:
    assert await _stops("silent", heard=time.monotonic) == 0


async def test_what_somebody_else_has_heard_counts_from_then_on() -> None:
    last = time.monotonic()
    assert 1 <= await _stops("silent", heard=lambda: last) <= 3


async def test_patience_is_kept() -> None:
    assert await _stops("silent", patience=5) == 0


async def test_patience_is_exceeded_by_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a question that is not answered would take longer than that."""
    monkeypatch.setattr(module, "PERIOD_SECONDS", 30.0)
    monkeypatch.setattr(module, "MOMENT_SECONDS", 0.01)
    assert await _stops("silent", seconds=2, patience=0.2) == 1
