from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.base.lsn import MAX_LSN
from aurora_operator.postgres.wal.timeline import (
    History,
    Switch,
    adoptable,
    divergence,
    history_name,
    how_to_follow,
    parse_history,
    parse_history_name,
    render_history,
    straightened,
)

LSN = st.integers(0, MAX_LSN)
TIMELINE = st.integers(1, 2**32 - 1)


@st.composite
def histories(draw: st.DrawFn) -> History:
    numbers = sorted(draw(st.sets(TIMELINE, min_size=1, max_size=6)))
    lsns = sorted(draw(st.lists(LSN, min_size=len(numbers) - 1, max_size=len(numbers) - 1)))
    reasons = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
    return History(numbers[-1], tuple(Switch(p, lsn, draw(reasons)) for p, lsn in zip(numbers[:-1], lsns, strict=True)))


def test_only_history_files_are_named_so() -> None:
    assert parse_history_name("000000220000000100000003") is None
    assert parse_history_name(history_name(34)) == 34


@given(histories())
def test_histories_survive_their_text(history: History) -> None:
    assert parse_history(history.timeline, render_history(history)) == history
    assert history.contiguous()
    for timeline in history.timelines:
        assert history.ancestor(timeline).timelines == tuple(t for t in history.timelines if t <= timeline)


def test_history_as_postgresql_writes_it() -> None:
    text = "1\t0/3000148\tno recovery target specified\n\n34\t0/5000060\tno recovery target specified\n"
    history = parse_history(66, text)
    assert history.timelines == (1, 34, 66)
    assert history.start == 0x5000060
    assert history.end_of(1) == 0x3000148 and history.end_of(66) is None
    assert render_history(history) == text
    assert parse_history(5, "# a comment\n\n").placeholder
    assert not History(1).placeholder


@pytest.mark.parametrize("text", ["x\t0/1\n", "1\n", "1\t0-1\n", "2\t0/1\n\n1\t0/2\n", "7\t0/1\n"])
def test_broken_histories_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"history|increase|LSN"):
        parse_history(7, text)


@given(histories())
def test_a_straight_history_stays(history: History) -> None:
    assert straightened(history) == history


def test_timelines_that_were_aimed_at_and_never_reached_are_left_out() -> None:
    """As PostgreSQL records a recovery that aimed at 34, and ended at 400 on 2, before 34 began."""
    recorded = History(67, (Switch(1, 100), Switch(2, 500), Switch(34, 700), Switch(66, 400, "before")))
    assert straightened(recorded) == History(67, (Switch(1, 100), Switch(2, 400, "before")))


def test_a_history_that_goes_back_is_not_contiguous() -> None:
    assert not History(9, (Switch(1, 500), Switch(5, 400))).contiguous()


LEADER = History(34, (Switch(1, 100), Switch(2, 200)))


def test_divergence() -> None:
    assert divergence(LEADER, 1, 100) is None
    assert divergence(LEADER, 1, 101) == 100
    assert divergence(LEADER, 34, 10_000) is None
    with pytest.raises(KeyError):
        divergence(LEADER, 33, 150)


@given(histories(), TIMELINE)
def test_a_history_knows_its_own(history: History, number: int) -> None:
    for timeline in (number, *history.timelines):
        assert history.includes(timeline) == (timeline in history.timelines)
        assert history.ancestors_above(timeline) == tuple(t for t in history.timelines[:-1] if t > timeline)
        if history.includes(timeline):
            assert history.ancestor(timeline).timelines == tuple(t for t in history.timelines if t <= timeline)
            ends = {s.parent: s.lsn for s in history.switches}
            assert history.end_of(timeline) == ends.get(timeline)


def test_how_to_follow() -> None:
    real = {2: LEADER.ancestor(2), 34: LEADER}
    assert how_to_follow(LEADER, 1, 100, {}) == "stream"
    assert how_to_follow(LEADER, 1, 100, real) == "stream"
    assert how_to_follow(LEADER, 2, 150, real) == "stream"
    assert how_to_follow(LEADER, 1, 101, {}) == "rewind"
    assert how_to_follow(LEADER, 33, 150, {}) == "rewind"
    # It holds a placeholder, or somebody else's history, where the leader's should be.
    assert how_to_follow(LEADER, 2, 150, {34: History(34)}) == "restart"
    assert how_to_follow(LEADER, 2, 150, {34: History(34, (Switch(2, 190),))}) == "restart"
    # It may aim at a timeline of a leader that nobody followed.
    assert how_to_follow(LEADER, 2, 150, {33: History(33, (Switch(2, 160),))}) == "restart"
    # Placeholders elsewhere, and timelines that it cannot have adopted, do no harm.
    assert how_to_follow(LEADER, 2, 150, {33: History(33), 40: History(40, (Switch(2, 140),))}) == "stream"


def test_adoptable_timelines_are_those_that_branch_off_ahead() -> None:
    branch = {n: History(n, (Switch(1, lsn),)) for n, lsn in ((3, 99), (4, 100), (5, 150))}
    assert adoptable(branch.values(), 1, 100) == [4, 5]
    assert adoptable(branch.values(), 1, 100, besides=branch[5]) == [4]
    assert adoptable(branch.values(), 5, 100) == []
    assert adoptable([History(7)], 1, 0) == []
