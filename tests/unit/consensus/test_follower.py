"""Rules 1 and 5: promising, following, coming back."""

from __future__ import annotations

from tests.unit.consensus.bench import ALL, LSN, A, B, Bench, C, D, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import (
    Heartbeat,
    HeartbeatAck,
    Prepare,
    PreVote,
    PreVoteReply,
    Promise,
    Resigned,
)
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.step import relied_upon
from aurora_operator.consensus.types import NO_CONFIG, ConfigKey, Position


def standby(*, promised: int = 0, quiet: bool = False) -> Bench:
    bench = Bench(config(A, B, C), promised=promised, quiet=quiet)
    bench.state.next_try = bench.now + 10**6  # it stands for nothing by itself
    bench.up()
    return bench


def test_promise_is_persisted_then_the_receiver_stopped_then_answered() -> None:
    bench = standby()
    bench.hear(B, Prepare(67))
    assert [type(e) for e in bench.effects] == [ev.Persist, ev.StopReceiver]
    assert bench.one(ev.Persist).durable.promised == 67
    bench.do(ev.ReceiverStopped(67, Position(1, LSN + 5)))
    promise = bench.sent(Promise)[0]
    assert promise.granted
    assert promise.position == Position(1, LSN + 5), "read after the receiver was gone"


def test_no_promise_of_an_epoch_that_is_not_above_all_others() -> None:
    bench = standby(promised=70)
    for epoch in (67, 70):
        bench.hear(B, Prepare(epoch))
        assert not bench.all(ev.Persist)
        assert not bench.sent(Promise)[0].granted


def test_a_later_promise_overtakes_one_that_is_not_answered_yet() -> None:
    bench = standby()
    bench.hear(B, Prepare(67))
    bench.hear(C, Prepare(68))
    assert not bench.all(ev.StopReceiver), "the first gets some time to win"
    bench.now += 2 * bench.timing.request
    bench.hear(C, Prepare(68))
    bench.do(ev.ReceiverStopped(67, Position(1, LSN)))
    assert not bench.effects, "the lower one is void"
    bench.do(ev.ReceiverStopped(68, Position(1, LSN)))
    assert bench.one(ev.Send).to == C


def test_no_promise_while_the_leader_is_alive() -> None:
    bench = standby()
    bench.beat(B, 3)
    bench.hear(C, Prepare(68))
    assert not bench.sent(Promise)[0].granted
    bench.now += bench.timing.lease
    bench.hear(C, Prepare(68))
    assert bench.all(ev.StopReceiver)


def test_promise_at_once_when_the_leader_has_resigned_or_is_dead() -> None:
    for news in (ev.Received(B, Resigned(3, None)), ev.PeerDead(B)):
        bench = standby()
        bench.beat(B, 3)
        bench.do(news)
        bench.hear(C, Prepare(68))
        assert bench.all(ev.StopReceiver), news


def test_a_resignation_of_an_earlier_leader_says_nothing() -> None:
    bench = standby()
    bench.beat(B, 35)
    bench.hear(C, Resigned(4, None))
    bench.hear(C, Prepare(68))
    assert not bench.sent(Promise)[0].granted


def test_promises_nothing_while_postgresql_is_down() -> None:
    bench = Bench(config(A, B, C))
    bench.hear(B, Prepare(67))
    assert not bench.sent(Promise)[0].granted


def test_promises_nothing_for_a_lease_after_a_start() -> None:
    """It may have acknowledged a heartbeat a moment before it died."""
    bench = standby(promised=35, quiet=True)
    bench.hear(C, Prepare(68))
    assert not bench.sent(Promise)[0].granted


def test_needs_no_quiet_when_it_promised_to_itself_last() -> None:
    """Nobody else has relied on it since: a leader that was restarted may stand again at once."""
    bench = standby(promised=34, quiet=True)
    bench.hear(C, Prepare(68))
    assert bench.all(ev.StopReceiver)


def test_lower_heartbeats_are_refused() -> None:
    bench = standby(promised=70)
    bench.beat(B, 67)
    ack = bench.sent(HeartbeatAck)[0]
    assert (ack.accepted, ack.promised) == (False, 70)
    assert not bench.all(ev.Follow)


def test_higher_heartbeats_are_promises_and_followed() -> None:
    bench = standby()
    bench.beat(B, 67)
    assert [type(e) for e in bench.effects] == [ev.Persist, ev.Follow, ev.Send]
    bench.beat(B, 67)
    assert not bench.all(ev.Follow), "once is enough"


def test_an_elected_leader_is_followed_only_when_it_is_promoted() -> None:
    bench = standby()
    bench.beat(B, 67, start=None)
    assert not bench.all(ev.Follow)
    bench.beat(B, 67)
    assert bench.one(ev.Follow) == ev.Follow(B, 67)


def test_a_deposed_leader_stops_postgresql_before_all_else() -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.lead(B, C)
    bench.beat(B, epoch + 1)
    assert bench.effects[0] == ev.StopPostgres("immediate")
    assert bench.role() == Role.DOWN


def test_memberships_are_learned_and_never_forgotten() -> None:
    bench = Bench(NO_CONFIG)
    bench.state.durable = ev.Durable(0, config(A, B, key=(3, 5)))
    bench.up()
    bench.state.durable = ev.Durable(0, NO_CONFIG)
    bench.hear(B, Prepare(67))
    assert bench.state.durable.config == NO_CONFIG

    bench.hear(B, Heartbeat(67, 7, config(A, B, key=(3, 5)), LSN, LSN))
    assert bench.state.durable.config.key == ConfigKey(3, 5)
    bench.hear(B, Heartbeat(67, 8, config(A, B, C, key=(3, 4)), LSN, LSN))
    assert bench.state.durable.config.key == ConfigKey(3, 5)


def test_a_copy_tells_for_how_long_an_earlier_leader_relies_on_it() -> None:
    """Three of six may elect a leader that this copy hears while it still holds the old one's lease."""
    bench = Bench(config(*ALL))
    bench.up()
    bench.beat(B, 3)
    bench.now += 1000
    bench.beat(C, 36)
    assert bench.sent(HeartbeatAck)[0].bound == bench.timing.lease - 1000
    bench.now += 500
    bench.beat(C, 36)
    assert bench.sent(HeartbeatAck)[0].bound == bench.timing.lease - 1500
    bench.do(ev.PeerDead(C))
    bench.hear(D, Prepare(69))
    assert not bench.sent(Promise)[0].granted, "the first one's lease still runs"


def test_nobody_relies_on_a_copy_whose_leader_is_known_to_be_gone() -> None:
    bench = Bench(config(*ALL))
    bench.up()
    bench.beat(B, 3)
    bench.do(ev.PeerDead(B))
    bench.beat(C, 36)
    assert bench.sent(HeartbeatAck)[0].bound == 0


def test_pre_vote_changes_nothing_and_says_no_while_a_leader_is_alive() -> None:
    bench = standby()
    bench.beat(B, 3)
    before = bench.state.durable
    bench.hear(C, PreVote(4))
    reply = bench.sent(PreVoteReply)[0]
    assert (reply.granted, reply.attempt, reply.leading) == (False, 4, False)
    bench.now += bench.timing.lease
    bench.hear(C, PreVote(5))
    assert bench.sent(PreVoteReply)[0].granted
    assert bench.state.durable == before


def test_a_leader_that_is_asked_says_that_it_leads() -> None:
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    bench.hear(C, PreVote(5))
    reply = bench.sent(PreVoteReply)[0]
    assert (reply.granted, reply.leading) == (False, True)


def test_postgresql_that_dies_under_a_leader_is_a_resignation() -> None:
    """Nobody has to wait for its lease, and it may stand again itself: in a new epoch."""
    bench = Bench(config(A, B, C))
    epoch = bench.lead(B, C)
    bench.do(ev.PostgresDown())
    assert bench.sent(Resigned) == [Resigned(epoch, None)]
    bench.up(epoch, LSN + 50)
    assert bench.role() == Role.PREVOTING


def test_a_promise_is_forgotten_when_postgresql_dies_before_the_answer() -> None:
    bench = standby()
    bench.hear(B, Prepare(67))
    bench.do(ev.PostgresDown())
    bench.do(ev.ReceiverStopped(67, Position(1, LSN)))
    assert not bench.effects
    assert bench.state.durable.promised == 67


def test_needs_no_quiet_when_it_ended_in_order_and_nobody_relied_on_it() -> None:
    bench = Bench(config(A, B, C), promised=35, quiet=True, rested=True)
    bench.up()
    assert bench.role() == Role.PREVOTING


def test_who_is_to_stop_stands_for_nothing_and_promises_all_the_same() -> None:
    bench = standby()
    bench.do(ev.Wanted(frozenset("abc"), 2, tier=1, size=2, stands=False))
    bench.do(ev.PostgresDown())
    bench.up()
    bench.wait(10_000)
    assert bench.role() == Role.STANDBY
    assert not bench.sent(PreVote)
    bench.hear(B, Prepare(67))
    assert bench.state.durable.promised == 67


def test_relied_upon_while_a_leader_may_and_no_longer() -> None:
    bench = Bench(config(A, B, C), quiet=True)
    assert relied_upon(bench.state, bench.now)
    bench = standby()
    assert not relied_upon(bench.state, bench.now)
    bench.beat(B, 35)
    assert relied_upon(bench.state, bench.now)
    bench.hear(B, Resigned(35, None))
    assert not relied_upon(bench.state, bench.now)


def test_who_was_promised_an_epoch_gets_it_again_and_nobody_else_does() -> None:
    bench = standby()
    for _ in range(3):
        bench.hear(B, Prepare(67))
        assert bench.one(ev.StopReceiver).epoch == 67
        bench.do(ev.ReceiverStopped(67, Position(1, LSN + 5)))
        assert bench.sent(Promise) == [Promise(67, True, 67, Position(1, LSN + 5), bench.state.durable.config)]
    bench.hear(C, Prepare(67))
    assert [p.granted for p in bench.sent(Promise)] == [False]
    bench.hear("b/2", Prepare(67))
    assert [p.granted for p in bench.sent(Promise)] == [False], "another incarnation may have led by it"
    bench.state.leader = None
    bench.hear(C, Prepare(99))
    bench.hear(B, Prepare(67))
    assert [p.granted for p in bench.sent(Promise)] == [False], "a higher one was promised since"


def test_a_promise_is_given_again_to_who_has_said_that_it_fetches() -> None:
    bench = standby()
    bench.beat(B, 67, start=None)
    bench.hear(B, Prepare(67))
    assert bench.all(ev.StopReceiver)


def test_a_promise_is_not_given_again_while_its_leader_relies_on_this_copy() -> None:
    """The question, sent twice, comes a second time when the election is long over."""
    bench = standby()
    bench.hear(B, Prepare(67))
    bench.do(ev.ReceiverStopped(67, Position(1, LSN)))
    bench.beat(B, 67)
    bench.hear(B, Prepare(67))
    assert not bench.all(ev.StopReceiver)
    assert [p.granted for p in bench.sent(Promise)] == [False]


def test_who_has_started_since_does_not_give_its_promise_again() -> None:
    bench = standby(promised=67)
    bench.hear(B, Prepare(67))
    assert [p.granted for p in bench.sent(Promise)] == [False]
