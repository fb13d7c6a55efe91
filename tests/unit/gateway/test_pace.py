"""Held clients come in slowly at first, and then faster."""

from __future__ import annotations

from aurora_operator.gateway.pace import BURST, Pace


def turns(clients: int, pace: Pace, now: float) -> list[float]:
    """When each of these gets in, in seconds from now."""
    return [max(pace.turn(now) - now, 0.0) for _ in range(clients)]


def within(seconds: float, found: list[float]) -> int:
    return sum(turn <= seconds for turn in found)


def test_a_burst_then_as_many_as_a_small_instance_bears_then_more() -> None:
    pace = Pace()
    pace.opened(100.0)
    found = turns(3000, pace, 100.0)
    assert found == sorted(found)
    assert within(0, found) in (BURST, BURST - 1)
    assert 150 < within(1, found) - BURST < 250
    assert 500 < within(2, found) < 800, "half of a thousand clients have their session two seconds after it opened"
    assert within(5, found) - within(4, found) <= 1201


def test_each_opening_begins_slowly() -> None:
    pace = Pace()
    pace.opened(100.0)
    turns(2000, pace, 100.0)
    pace.opened(200.0)
    assert within(1, turns(2000, pace, 200.0)) < 300


def test_a_client_that_comes_alone_waits_for_nobody() -> None:
    pace = Pace()
    pace.opened(100.0)
    assert all(pace.turn(100.0 + n) <= 100.0 + n for n in range(10))
