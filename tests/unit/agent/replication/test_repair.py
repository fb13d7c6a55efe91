"""What happens to a copy's data before its PostgreSQL starts."""

from __future__ import annotations

from itertools import product

from aurora_operator.agent.replication.repair import ENDS_BEFORE_CLONE, SHORT_SECONDS, Ends, Repair, next_step

ASKED: tuple[Repair, ...] = ("rewind", "clone")
EITHER = (False, True)


def test_nothing_is_done_that_was_not_asked_for() -> None:
    for leader, torn, corrupt in product(EITHER, repeat=3):
        assert next_step(None, leader=leader, torn=torn, corrupt=corrupt) == "start"
        assert next_step("restart", leader=leader, torn=torn, corrupt=corrupt) == "start"


def test_with_a_leader_what_was_asked_for() -> None:
    for repair, torn, corrupt in product(ASKED, EITHER, EITHER):
        assert next_step(repair, leader=True, torn=torn, corrupt=corrupt) == repair


def test_a_whole_copy_waits_for_no_leader_that_may_need_its_vote() -> None:
    for repair in ASKED:
        assert next_step(repair, leader=False, torn=False, corrupt=False) == "start"


def test_corrupt_data_do_not_vote() -> None:
    for repair in ASKED:
        assert next_step(repair, leader=False, torn=False, corrupt=True) == "clone"


def test_a_torn_copy_is_completed_without_a_leader() -> None:
    for repair, corrupt in product(ASKED, EITHER):
        assert next_step(repair, leader=False, torn=True, corrupt=corrupt) == "complete"


def test_a_standby_that_ends_at_one_place_again_and_again_is_cloned() -> None:
    ends = Ends()
    for _ in range(2):
        said = [ends.ended(1, 700, 1.0, led=False) for _ in range(ENDS_BEFORE_CLONE)]
        assert said == [False] * (ENDS_BEFORE_CLONE - 1) + [True]


def test_a_standby_that_gets_on_or_is_killed_is_not() -> None:
    ends = Ends()
    for lsn in range(700, 720):
        assert not ends.ended(1, lsn, 1.0, led=False)
    for _ in range(20):
        assert not ends.ended(-9, 700, 1.0, led=False)
        assert not ends.ended(1, 700, 1.0, led=True)
        assert not ends.ended(1, 700, SHORT_SECONDS + 1, led=False)
