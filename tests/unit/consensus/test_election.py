"""Rules 1 to 3, the candidate's side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.consensus.bench import ALL, LSN, RANK, A, B, Bench, C, D, F, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.election import promotion_order
from aurora_operator.consensus.messages import Heartbeat, Prepare, PreVote, PreVoteReply, Promise, Rank
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.types import Config, ConfigKey, Position, Quorum, SyncRule, is_epoch_of


def reply(
    epoch: int = 1, lsn: int = LSN, tier: int = 1, size: int = 1, ordinal: int = 1, *, able: bool = True
) -> PreVoteReply:
    return PreVoteReply(1, True, 0, Position(epoch, lsn), config(A, B, C), Rank(able, tier, size, ordinal))


# --- Aurora's order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("best", "other"),
    [
        (reply(tier=0, size=1), reply(tier=1, size=9)),
        (reply(size=2), reply(size=1, lsn=LSN + 5)),
        (reply(lsn=LSN + 5, ordinal=2), reply(ordinal=1)),
        (reply(ordinal=1), reply(ordinal=2)),
        (reply(epoch=5, tier=9), reply(epoch=2, lsn=LSN + 99, tier=0)),
    ],
    ids=["tier", "size", "least to catch up with", "ordinal", "a dead leader's tail comes last"],
)
def test_order(best: PreVoteReply, other: PreVoteReply) -> None:
    assert promotion_order({"x": other, "y": best}, None) == ["y", "x"]


def test_a_switchovers_target_comes_first_but_not_before_a_newer_history() -> None:
    assert promotion_order({"x": reply(tier=0), "y": reply(tier=9)}, "y")[0] == "y"
    assert promotion_order({"x": reply(epoch=5), "y": reply(epoch=2)}, "y")[0] == "x"


def test_who_cannot_lead_is_not_in_the_order() -> None:
    assert promotion_order({"x": reply(able=False), "y": reply(tier=15)}, None) == ["y"]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 2), st.integers(1, 2)), max_size=6))
def test_all_copies_agree_on_the_order(facts: list[tuple[int, int, int, int]]) -> None:
    replies = {f"c{i}": reply(*fact, ordinal=i) for i, fact in enumerate(facts)}
    assert promotion_order(replies, None) == promotion_order(dict(reversed(replies.items())), None)


# --- pre-vote ---------------------------------------------------------------------------------------------------------


def test_pre_vote_before_promises_and_nothing_is_persisted() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    assert [type(e) for e in bench.effects] == [ev.Broadcast]
    assert bench.sent(PreVote)
    bench.grant(B)
    bench.grant(C)
    assert bench.one(ev.Persist).durable.promised == 2
    assert len(bench.sent(Prepare)) == 2


def test_gives_way_to_a_better_one_that_has_not_yet_missed_the_leader() -> None:
    """It would stand a moment later: each would have some promises, and neither enough."""
    bench = Bench(config(A, B, C))
    bench.up()
    best = replace(RANK, tier=0)
    bench.grant(B, granted=False, rank=best)
    bench.grant(C)
    assert bench.role() == Role.PREVOTING
    bench.now += bench.timing.heartbeat // 2
    bench.do(ev.Tick())
    assert bench.role() == Role.PREPARING, "it has had its time"


def test_a_sole_voter_elects_itself_at_once() -> None:
    bench = Bench(config(A), quiet=True)
    bench.up()
    assert bench.all(ev.StopReceiver)
    bench.do(ev.ReceiverStopped(2, Position(1, LSN)))
    assert bench.one(ev.Promote) == ev.Promote(2, SyncRule(0, ()))


def test_without_a_read_quorum_of_grants_nothing_happens() -> None:
    bench = Bench(config(*ALL))
    bench.up()
    bench.grant(B)
    for other in (C, D, F):
        bench.grant(other, granted=False)
    bench.wait(bench.timing.request + 200)
    assert bench.role() == Role.STANDBY
    assert bench.state.durable.promised == 0


def test_one_of_two_copies_does_not_stand_alone() -> None:
    """Its own promise is a read quorum, but it could not open; when the link heals it would depose a healthy leader."""
    bench = Bench(config(A, B))
    bench.up()
    bench.wait(20_000)
    assert bench.state.durable.promised == 0
    bench = Bench(config(A, B))
    bench.up()
    bench.grant(B, granted=False, rank=Rank(False, 1, 1, 2))
    bench.wait(1000)
    assert is_epoch_of(bench.state.durable.promised, 1), "the other is there, though its PostgreSQL is down"


def test_a_leaders_own_answer_ends_the_attempt() -> None:
    """A jumped clock ends a lease too early: the leader is there, and will be heard."""
    bench = Bench(config(A, B))
    bench.up()
    bench.grant(B, granted=False, leading=True)
    bench.wait(400)
    assert bench.state.durable.promised == 0


def test_waits_for_the_better_copy_but_not_for_ever() -> None:
    better = Rank(True, 0, 1, 2)
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B, rank=better)
    bench.grant(C)
    assert bench.role() == Role.PREVOTING
    bench.wait(1000)
    assert bench.state.durable.promised > 0


def test_does_not_wait_for_a_leader_that_is_known_dead() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.beat(C, 4)
    bench.do(ev.PeerDead(C))
    bench.grant(B)
    assert bench.sent(Prepare)


def test_does_not_wait_for_a_leader_whose_lease_is_over() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.beat(C, 4)
    bench.now += bench.timing.lease
    bench.do(ev.Tick())
    assert bench.role() == Role.PREVOTING
    bench.grant(B)
    assert bench.sent(Prepare)


def test_asks_again_who_had_not_missed_the_leader_yet() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B, granted=False)
    bench.now += 100
    bench.do(ev.Tick())
    assert ev.Send(B, PreVote(bench.state.attempt)) in bench.all(ev.Send)
    bench.grant(B)
    bench.now += bench.timing.heartbeat // 2
    bench.do(ev.Tick())
    assert bench.sent(Prepare)


def test_asks_again_who_was_not_there_yet_and_does_not_pause_for_it() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.wait(100)
    assert {e.to for e in bench.all(ev.Send)} == {B, C}
    bench.wait(bench.timing.request)
    assert bench.role() == Role.PREVOTING and bench.state.attempt == 2
    bench.grant(B)
    bench.grant(C)
    assert bench.sent(Prepare)


def test_only_the_old_side_of_a_joint_step_stands() -> None:
    joint = Config(ConfigKey(3, 3), Quorum(frozenset({B, C}), 2), Quorum(frozenset({A, B, C}), 2))
    bench = Bench(joint)
    bench.up()
    bench.wait(5000)
    assert bench.role() == Role.STANDBY
    assert not bench.sent(PreVote)


def test_learns_in_the_pre_vote_that_it_was_removed() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B, config=config(B, C, D, key=(3, 9)))
    bench.grant(C, config=config(B, C, D, key=(3, 9)))
    bench.grant(D)
    bench.wait(1000)
    assert bench.state.durable.config.key == ConfigKey(3, 9)
    assert bench.role() == Role.STANDBY
    assert bench.state.durable.promised == 0


# --- promises and catching up -----------------------------------------------------------------------------------------


def test_the_epoch_is_above_all_that_was_seen_and_its_own() -> None:
    bench = Bench(config(A, B, C))
    bench.up(epoch=140)
    bench.grant(B, promised=100)
    bench.grant(C, epoch=140)
    epoch = bench.state.durable.promised
    assert epoch > 140
    assert is_epoch_of(epoch, 1)


def test_fetches_from_the_furthest_promiser_by_epoch_first() -> None:
    bench = Bench(config(A, B, C, D))
    bench.up()
    for peer in (B, C, D):
        bench.grant(peer)
    epoch = bench.state.durable.promised
    bench.do(ev.ReceiverStopped(epoch, Position(2, 9 * LSN)))
    bench.promise(B, epoch=5, lsn=LSN)
    assert bench.one(ev.Fetch) == ev.Fetch(epoch, B, Position(5, LSN))
    assert bench.sent(Heartbeat)[0].start is None, "others shall wait for us"
    bench.do(ev.Fetched(epoch, Position(5, LSN)))
    assert bench.all(ev.Promote)


@pytest.mark.parametrize("got", [None, Position(1, LSN + 4)])
def test_promotes_only_with_everything(got: Position | None) -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B)
    bench.grant(C)
    epoch = bench.state.durable.promised
    bench.do(ev.ReceiverStopped(epoch, Position(1, LSN)))
    bench.promise(B, lsn=LSN + 5)
    bench.do(ev.Fetched(epoch, got))
    assert not bench.all(ev.Promote)
    assert bench.role() == Role.STANDBY
    assert not bench.state.election


def test_own_promise_counts_only_when_the_receiver_is_gone() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B)
    bench.grant(C)
    bench.promise(B)
    bench.promise(C)
    assert bench.role() == Role.PREPARING
    bench.do(ev.ReceiverStopped(bench.state.durable.promised, Position(1, LSN)))
    assert bench.all(ev.Promote)


def test_promisers_memberships_count() -> None:
    """A promiser knows of a joint step: its other side must promise as well."""
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B)
    bench.grant(C)
    bench.do(ev.ReceiverStopped(bench.state.durable.promised, Position(1, LSN)))
    joint = Config(ConfigKey(1, 3), Quorum(frozenset({A, B, C}), 2), Quorum(frozenset({A, C, D}), 2))
    bench.promise(B, membership=joint)
    assert not bench.all(ev.Promote)
    assert bench.one(ev.Persist).durable.config == joint
    bench.promise(C)
    assert bench.one(ev.Promote).rule == joint.sync_rule(A)


def test_a_refusal_by_a_higher_promise_ends_the_attempt_and_backs_off() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B)
    bench.grant(C)
    epoch = bench.state.durable.promised
    bench.hear(B, Promise(epoch, False, epoch + 7, None, config(A, B, C)))
    assert bench.role() == Role.STANDBY
    assert bench.state.next_try > bench.now


def test_gives_up_to_a_higher_candidate() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.grant(B)
    bench.grant(C)
    epoch = bench.state.durable.promised
    bench.hear(B, Prepare(epoch + 1))
    assert bench.one(ev.StopReceiver).epoch == epoch + 1
    bench.promise(C)
    assert bench.role() == Role.STANDBY


def test_a_failed_promotion_is_followed_by_another_try() -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.elect(B, C)
    bench.do(ev.Promoted(epoch, None))
    bench.do(ev.PostgresDown())
    bench.up()
    bench.wait(4000)
    assert bench.sent(PreVote)


def test_a_promotion_that_comes_too_late_is_undone() -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.elect(B, C)
    bench.beat(B, epoch + 1)
    assert bench.all(ev.StopPostgres)
    bench.do(ev.Promoted(epoch, LSN))
    assert bench.all(ev.StopPostgres)
    assert bench.state.leadership is None


def test_replies_of_an_earlier_attempt_do_not_count() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.hear(B, PreVoteReply(bench.state.attempt - 1, True, 0, Position(1, LSN), config(A, B, C), RANK))
    assert bench.state.election is not None
    assert B not in bench.state.election.replies


# --- numbers of attempts that fail ------------------------------------------------------------------------------------


def _try_again(bench: Bench, **reply: object) -> int:
    """Another attempt, for whose pre-vote both others are; the epoch that it asks them for."""
    while not any(isinstance(effect.message, PreVote) for effect in bench.all(ev.Broadcast)):
        bench.wait(100)
    others = replace(RANK, can_lead=False)
    bench.grant(B, rank=others, **reply)  # type: ignore[arg-type]
    if not bench.sent(Prepare):
        bench.grant(C, rank=others, **reply)  # type: ignore[arg-type]
    (epoch,) = {prepare.epoch for prepare in bench.sent(Prepare)}
    return epoch


def test_attempts_that_fail_one_after_the_other_take_one_number() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    first = _try_again(bench)
    assert [_try_again(bench, promised=first) for _ in range(50)] == [first] * 50
    bench.do(ev.ReceiverStopped(first, Position(1, LSN)))
    bench.promise(B, lsn=LSN + 5)
    bench.do(ev.Fetched(first, None))
    assert _try_again(bench, promised=first) == first, "a fetch that failed has promoted nothing"
    bench.do(ev.ReceiverStopped(first, Position(1, LSN)))
    bench.promise(B)
    assert bench.one(ev.Promote).epoch == first


@pytest.mark.parametrize("known", [{"promised": 40}, {"epoch": 40}, {"config": config(A, B, C, key=(40, 1))}])
def test_a_number_is_not_taken_again_where_a_higher_one_is_known(known: dict[str, object]) -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    assert _try_again(bench) == 2
    assert _try_again(bench, **known) == 66


def test_a_number_is_not_taken_again_where_its_promise_is_refused() -> None:
    """Who has started since does not know any more whom it promised: it would refuse it for ever."""
    bench = Bench(config(A, B, C))
    bench.up()
    first = _try_again(bench)
    bench.hear(B, Promise(first, False, first, None, config(A, B, C)))
    assert _try_again(bench, promised=first) == first + 32


@pytest.mark.parametrize(("begun", "next_one"), [(True, 34), (False, 2)])
def test_a_promotion_spends_its_number_unless_it_has_certainly_not_begun(begun: bool, next_one: int) -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.elect(B, C)
    assert epoch == 2
    bench.do(ev.Promoted(epoch, None, begun))
    bench.do(ev.PostgresDown())
    bench.up()
    assert _try_again(bench, promised=epoch) == next_one


def test_a_leadership_spends_its_number_and_so_does_a_start_of_the_agent() -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.lead(B, C)
    bench.do(ev.PostgresDown())
    bench.up()
    assert _try_again(bench, promised=epoch) == epoch + 32
    again = Bench(config(A, B, C), promised=epoch)
    again.up()
    assert _try_again(again, promised=epoch) == epoch + 32
