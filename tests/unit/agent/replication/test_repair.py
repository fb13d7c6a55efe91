"""What happens to a copy's data before its PostgreSQL starts."""

from __future__ import annotations

from itertools import product

from aurora_operator.agent.replication.repair import Repair, next_step

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
