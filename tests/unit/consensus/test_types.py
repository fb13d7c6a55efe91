from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.consensus.types import (
    NO_CONFIG,
    Config,
    ConfigKey,
    Position,
    Quorum,
    SyncRule,
    initial_config,
    is_epoch_of,
    majority,
    next_epoch,
)

COPIES = [f"c{i}/x" for i in range(7)]
ORDINALS = st.integers(1, 31)
EPOCHS = st.integers(0, 10_000)


@st.composite
def quorums(draw: st.DrawFn) -> Quorum:
    voters = draw(st.sets(st.sampled_from(COPIES), min_size=1, max_size=6))
    return Quorum(frozenset(voters), draw(st.integers(majority(len(voters)), len(voters))))


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Any two memberships, not only neighbours."""
    return Config(ConfigKey(1, 1), draw(quorums()), draw(st.none() | quorums()))


def sides(config: Config) -> list[Quorum]:
    return [config.old] if config.new is None else [config.old, config.new]


@given(EPOCHS, ORDINALS)
def test_next_epoch_is_the_lowest_own_one_above(above: int, ordinal: int) -> None:
    epoch = next_epoch(above, ordinal)
    assert epoch > above
    assert is_epoch_of(epoch, ordinal)
    assert not any(is_epoch_of(lower, ordinal) for lower in range(above + 1, epoch))


@given(EPOCHS, EPOCHS, ORDINALS, ORDINALS)
def test_two_copies_never_take_the_same_epoch(one: int, other: int, mine: int, yours: int) -> None:
    if mine != yours:
        assert next_epoch(one, mine) != next_epoch(other, yours)


def test_first_epochs_are_above_the_timeline_of_initdb() -> None:
    assert min(next_epoch(1, ordinal) for ordinal in range(1, 32)) == 2


@pytest.mark.parametrize(
    ("voters", "write", "read"), [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 3, 2), (5, 3, 3), (6, 4, 3)]
)
def test_quorums_of_the_presets(voters: int, write: int, read: int) -> None:
    quorum = Quorum(frozenset(COPIES[:voters]), majority(voters))
    assert (quorum.write, quorum.read) == (write, read)


@given(quorums())
def test_every_read_quorum_meets_every_write_quorum(quorum: Quorum) -> None:
    for readers in combinations(sorted(quorum.voters), quorum.read):
        assert quorum.can_read(readers)
        assert not quorum.can_write(quorum.voters - set(readers))


@given(quorums())
def test_two_write_quorums_meet(quorum: Quorum) -> None:
    """So that of two leaders only one can commit."""
    for writers in combinations(sorted(quorum.voters), quorum.write):
        assert not quorum.can_write(quorum.voters - set(writers))


@given(configs())
def test_sync_rule_makes_every_side_durable(config: Config) -> None:
    """Whichever copies PostgreSQL happens to count: with the leader they are a write quorum of each side."""
    for leader in sorted(config.voters):
        rule = config.sync_rule(leader)
        assert 0 <= rule.need <= len(rule.names)
        assert leader not in rule.names
        for names in combinations(rule.names, rule.need):
            flushed = {leader, *names}
            assert all(side.can_write(flushed) for side in sides(config)), (leader, names)


@given(configs())
def test_sync_rule_asks_for_no_more_than_it_must_outside_a_joint_step(config: Config) -> None:
    if config.new is None:
        for leader in config.voters:
            assert config.sync_rule(leader).need == config.old.write - 1


@given(configs(), st.sets(st.sampled_from(COPIES)))
def test_joint_quorums_are_quorums_of_both_sides(config: Config, copies: set[str]) -> None:
    assert config.can_write(copies) == all(side.can_write(copies) for side in sides(config))
    assert config.can_read(copies) == all(side.can_read(copies) for side in sides(config))


def test_replacing_a_lost_volume_tolerates_the_lost_copy() -> None:
    old = Quorum(frozenset({"a/1", "b/1", "c/1"}), 2)
    config = Config(ConfigKey(0, 2), old).joint(ConfigKey(3, 3), Quorum(frozenset({"a/1", "b/1", "c/2"}), 2))
    assert config.sync_rule("a/1") == SyncRule(2, ("b/1", "c/1", "c/2"))


def test_sync_rule_of_a_leader_on_one_side_only() -> None:
    """Elected in a joint step that removes it: it counts for the old side alone."""
    config = Config(ConfigKey(3, 3), Quorum(frozenset({"a/1", "b/1", "c/1"}), 2), Quorum(frozenset({"a/1", "b/1"}), 2))
    assert config.sync_rule("c/1") == SyncRule(2, ("a/1", "b/1"))


def test_no_sync_rule_for_who_does_not_vote() -> None:
    with pytest.raises(ValueError, match="does not vote"):
        initial_config("a/1").sync_rule("b/1")


def test_a_single_copy_waits_for_nobody() -> None:
    assert initial_config("a/1").sync_rule("a/1") == SyncRule(0, ())


def test_unknown_membership_is_no_quorum() -> None:
    assert not NO_CONFIG.can_read(COPIES)
    assert not NO_CONFIG.can_write(COPIES)


def test_position_compares_the_epoch_first() -> None:
    """A dead leader's tail, however long, is behind what a later leader wrote."""
    assert Position(5, 100) > Position(2, 10_000)
    assert Position(5, 101) > Position(5, 100)
