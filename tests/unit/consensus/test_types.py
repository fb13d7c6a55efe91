"""Quorums, epochs and the rule that PostgreSQL is given, for all memberships."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.consensus.types import (
    EPOCH_STRIDE,
    Config,
    ConfigKey,
    Quorum,
    initial_config,
    is_epoch_of,
    majority,
    next_epoch,
)

COPIES = [f"demo-{n}/0000000{n}" for n in range(1, 9)]


@st.composite
def quorums(draw: st.DrawFn) -> Quorum:
    voters = draw(st.frozensets(st.sampled_from(COPIES), min_size=1, max_size=6))
    return Quorum(voters, draw(st.integers(majority(len(voters)), len(voters))))


@given(quorums())
def test_every_read_quorum_meets_every_write_quorum(quorum: Quorum) -> None:
    for readers in combinations(sorted(quorum.voters), quorum.read):
        for writers in combinations(sorted(quorum.voters), quorum.write):
            assert set(readers) & set(writers)


@given(quorums(), quorums())
def test_a_joint_rule_implies_both_write_quorums(old: Quorum, new: Quorum) -> None:
    config = Config(ConfigKey(2, 1), old).joint(ConfigKey(2, 2), new)
    for leader in sorted(old.voters & new.voters):
        try:
            rule = config.sync_rule(leader)
        except ValueError:
            continue
        for acknowledged in combinations(rule.names, rule.need):
            assert config.can_write({leader, *acknowledged})


@given(quorums())
def test_a_plain_rule_is_exactly_the_write_quorum(quorum: Quorum) -> None:
    config = Config(ConfigKey(2, 1), quorum)
    leader = min(quorum.voters)
    rule = config.sync_rule(leader)
    assert rule.need == quorum.write - 1
    for acknowledged in combinations(rule.names, rule.need):
        assert config.can_write({leader, *acknowledged})


def test_a_leader_that_does_not_vote_has_no_rule() -> None:
    with pytest.raises(ValueError, match="does not vote"):
        initial_config(COPIES[0]).sync_rule(COPIES[1])


@given(st.integers(0, 10**6), st.integers(1, 31))
def test_an_epoch_is_above_all_known_and_of_one_copy_only(above: int, ordinal: int) -> None:
    epoch = next_epoch(above, ordinal)
    assert above < epoch <= above + EPOCH_STRIDE
    assert [o for o in range(1, 32) if is_epoch_of(epoch, o)] == [ordinal]


def test_the_first_epoch_of_the_first_instance_is_the_timeline_after_initdbs() -> None:
    assert next_epoch(1, 1) == 2
