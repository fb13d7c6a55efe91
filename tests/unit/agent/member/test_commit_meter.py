"""How long a commit would wait, from what a quorum acknowledges."""

from __future__ import annotations

import math

import pytest

from aurora_operator.agent.member.commit_meter import CommitMeter
from aurora_operator.agent.replication.back_pressure import BEGIN_WAIT, EASY_BACKLOG, FULL_WAIT, pause_share

MIB = 1 << 20


def fed(written_per_second: float, acknowledged_per_second: float, seconds: float, step: float = 0.1) -> CommitMeter:
    meter = CommitMeter()
    for turn in range(round(seconds / step) + 1):
        now = turn * step
        meter.note(now, int(now * written_per_second), int(now * acknowledged_per_second))
    return meter


def test_the_wait_is_what_is_behind_by_the_rate_at_which_it_is_taken() -> None:
    meter = fed(50 * MIB, 10 * MIB, 5)
    assert meter.backlog == pytest.approx(200 * MIB, rel=0.01)
    assert meter.expected_wait() == pytest.approx(20, rel=0.3)
    assert meter.stalled(5) == 0.0, "it moves, however far behind it is"


def test_a_quorum_that_keeps_up_makes_nobody_wait() -> None:
    meter = fed(100 * MIB, 100 * MIB, 5)
    assert meter.expected_wait() == 0.0 and meter.is_busy(5)


def test_a_quorum_that_stands_still_is_noticed_and_one_without_work_is_not() -> None:
    meter = fed(10 * MIB, 0, 60)
    assert meter.expected_wait() > 1e6 and meter.stalled(70) == pytest.approx(70)
    idle = CommitMeter()
    idle.note(0, 500, 500)
    idle.note(60, 500, 500)
    assert idle.stalled(60) == 0.0 and not idle.is_busy(60)


def test_a_first_burst_is_not_let_run_until_the_rate_is_known() -> None:
    meter = CommitMeter()
    meter.note(0, 0, 0)
    meter.note(0.1, 64 * MIB, 0)
    assert meter.expected_wait() == pytest.approx(2)


def test_too_few_copies_acknowledge_nothing() -> None:
    meter = CommitMeter()
    meter.note(0, 100, 100)
    meter.note(1, 200, None)
    meter.note(8, 300, None)
    assert meter.stalled(8) == pytest.approx(8) and meter.backlog == 200
    meter.note(9, 300, 300)
    assert meter.stalled(9) == 0.0


def test_pauses_begin_after_half_a_second_and_take_nearly_all_from_one_on() -> None:
    assert pause_share(64 * MIB, BEGIN_WAIT) == 0.0
    assert pause_share(64 * MIB, (BEGIN_WAIT + FULL_WAIT) / 2) == pytest.approx(0.5)
    assert pause_share(64 * MIB, FULL_WAIT) == pause_share(64 * MIB, math.inf) == 1.0
    assert pause_share(EASY_BACKLOG - 1, math.inf) == 0.0, "a trickle is nobody's trouble"
