"""When a standby that does not come into its leader's epoch is asked why."""

from __future__ import annotations

from itertools import pairwise

from aurora_operator.agent.replication.follower import JUDGE_AFTER_SECONDS, Patience

STEP = 0.05


def _asked(patience: Patience, seconds: float, *, streaming: list[bool]) -> list[float]:
    """When it was asked, looking every 50 ms."""
    looks = range(round(seconds / STEP))
    return [i * STEP for i in looks if patience.is_over(i * STEP, streaming=streaming[i % len(streaming)])]


def test_one_that_streams_now_and_then_is_asked_as_soon_as_one_that_never_does() -> None:
    never = _asked(Patience(0), 0.7, streaming=[False])
    assert never == _asked(Patience(0), 0.7, streaming=[True, False]) == _asked(Patience(0), 0.7, streaming=[True])
    assert len(never) == 1 and never[0] > JUDGE_AFTER_SECONDS


def test_one_that_streams_and_has_much_to_catch_up_is_asked_ever_more_seldom() -> None:
    asked = _asked(Patience(0), 60, streaming=[True])
    gaps = [round(b - a, 3) for a, b in pairwise(asked)]
    assert gaps[:2] == [1.05, 2.05] and set(gaps[4:]) <= {8.0, 8.05}
    assert len(_asked(Patience(0), 60, streaming=[False])) > 100


def test_arriving_begins_anew() -> None:
    patience = Patience(0)
    assert patience.is_over(1, streaming=True) and not patience.is_over(1.6, streaming=True)
    patience.arrived(1.5)
    assert not patience.is_over(2, streaming=True)
    assert patience.is_over(2.1, streaming=True)
