"""What the clients' checks notice."""

from __future__ import annotations

import pytest
from tests.integration.agents.writers import Acknowledged, Read, check_order, check_reads

FIRST = Acknowledged(1, "demo-1", 2, 1.0, 1.1)
SECOND = Acknowledged(2, "demo-2", 4, 2.0, 2.1)


def test_an_earlier_leader_may_end_what_it_began() -> None:
    check_order([FIRST, Acknowledged(3, "demo-1", 2, 2.05, 2.2), SECOND])


def test_an_earlier_leader_that_takes_more_is_noticed() -> None:
    with pytest.raises(AssertionError, match="after"):
        check_order([FIRST, SECOND, Acknowledged(3, "demo-1", 2, 2.2, 2.3)])


def test_two_leaders_of_an_epoch_are_noticed() -> None:
    with pytest.raises(AssertionError, match="two writers of epoch 2"):
        check_order([FIRST, Acknowledged(2, "demo-2", 2, 0.5, 0.6)])


def test_a_stale_read_is_noticed() -> None:
    check_reads([FIRST, SECOND], [Read(1, "demo-1", 2.05), Read(2, "demo-2", 2.2)])
    with pytest.raises(AssertionError, match="lacks row 2"):
        check_reads([FIRST, SECOND], [Read(1, "demo-1", 2.2)])
