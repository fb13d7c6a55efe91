"""Accepting data loss: the survivors' membership, and who is not followed afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.consensus.bench import ALL, LSN, RANK, A, B, Bench, C, D, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus import forced
from aurora_operator.consensus.messages import Heartbeat, HeartbeatAck, Prepare, PreVote, PreVoteReply, Promise
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.types import ConfigKey, Position, Quorum


def force(bench: Bench, *survivors: str, above: int = 0) -> None:
    bench.do(ev.ForceMembership(frozenset(survivors), above))


def lonely(*voters: str) -> Bench:
    """A standby whose peers do not answer."""
    bench = Bench(config(*voters), promised=34)
    bench.up(epoch=34)
    bench.wait(2000)
    return bench


def test_the_survivors_vote_and_nobody_else() -> None:
    bench = lonely(*ALL)
    force(bench, A, B, above=66)
    held = bench.one(ev.Persist).durable.config
    assert held.voters == {A, B}
    assert held.key.epoch > 66
    assert held.floor == held.key
    assert bench.role() == Role.PREVOTING


def test_the_first_leader_needs_every_survivors_promise() -> None:
    voters = (*ALL, "h/1", "i/1")
    bench = lonely(*voters)
    force(bench, A, B, C, above=66)
    old = config(*voters)
    for peer in (B, C):
        bench.hear(peer, PreVoteReply(bench.state.attempt, True, 34, Position(34, LSN), old, RANK))
    epoch = bench.state.durable.promised
    assert epoch > bench.state.durable.config.key.epoch, "its memberships get keys above the forced one"
    bench.do(ev.ReceiverStopped(epoch, Position(34, LSN)))
    bench.hear(B, Promise(epoch, True, epoch, Position(34, LSN), old))
    assert bench.role() == Role.PREPARING
    bench.hear(C, Promise(epoch, True, epoch, Position(34, LSN + 500), old))
    assert bench.one(ev.Fetch).target == Position(34, LSN + 500)
    bench.do(ev.Fetched(epoch, Position(34, LSN + 500)))
    rule = bench.one(ev.Promote).rule
    assert rule.need == 1
    assert set(rule.names) == {B, C}


def test_one_survivor_goes_on_alone() -> None:
    bench = lonely(A, B, C)
    force(bench, A)
    epoch = bench.state.durable.promised
    bench.do(ev.ReceiverStopped(epoch, Position(34, LSN)))
    bench.do(ev.Promoted(epoch, LSN + 8))
    bench.do(ev.Replication(epoch, {}, LSN + 8))
    assert bench.role() == Role.LEADING


def test_one_whose_postgresql_is_down_stands_when_it_is_up() -> None:
    bench = Bench(config(A, B, C), promised=34)
    bench.wait(3500)
    force(bench, A)
    assert bench.one(ev.Persist).durable.config.voters == {A}
    assert bench.role() == Role.DOWN
    bench.up(epoch=34)
    assert bench.role() == Role.PREPARING


@pytest.mark.parametrize(
    ("survivors", "why"),
    [((B, C), "not among the survivors"), ((A, B, D), "read quorum")],
    ids=["not a survivor", "a quorum is there"],
)
def test_refused(survivors: tuple[str, ...], why: str) -> None:
    bench = lonely(*ALL)
    wish = ev.ForceMembership(frozenset(survivors), 0)
    assert why in (forced.refusal(bench.state, bench.now, wish) or "")
    bench.do(wish)
    assert not bench.all(ev.Persist)


def test_refused_while_a_leader_is_there() -> None:
    bench = Bench(config(*ALL), promised=34)
    bench.up(epoch=34)
    bench.beat(B, 35)
    assert "a leader is there" in (forced.refusal(bench.state, bench.now, ev.ForceMembership(frozenset({A}), 0)) or "")


def test_a_log_copy_cannot_go_on_alone() -> None:
    bench = lonely(*ALL)
    bench.state.instance = False
    assert "log copy" in (forced.refusal(bench.state, bench.now, ev.ForceMembership(frozenset({A}), 0)) or "")


# --- who is not followed afterwards -----------------------------------------------------------------------------------


def survivor() -> Bench:
    """A standby that knows a membership that a force has come to."""
    held = config(A, B, key=(66, 1))
    bench = Bench(replace(held, floor=held.key), promised=66)
    bench.up(epoch=34)
    return bench


def test_a_leader_that_works_with_an_older_membership_is_not_followed() -> None:
    bench = survivor()
    bench.hear(C, Heartbeat(100, 7, config(*ALL), LSN, LSN))
    ack = bench.sent(HeartbeatAck)[0]
    assert not ack.accepted
    assert ack.newer == bench.state.durable.config
    assert bench.state.durable.promised == 66
    assert not bench.all(ev.Follow)


def test_that_leader_stops_when_it_hears_of_the_membership() -> None:
    bench = Bench(config(*ALL))
    epoch = bench.lead(B, C, D)
    newer = survivor().state.durable.config
    bench.hear(B, HeartbeatAck(epoch, bench.now, False, 66, newer.key, None, RANK, 0, newer))
    assert bench.one(ev.StopPostgres).mode == "immediate"
    assert bench.one(ev.Persist).durable.config == newer


def test_a_copy_of_before_learns_the_membership_even_from_a_lower_epoch() -> None:
    bench = Bench(config(*ALL), promised=100)
    bench.up(epoch=34)
    newer = replace(config(B, C, key=(66, 1)), floor=ConfigKey(66, 1))
    bench.hear(B, Heartbeat(66, 7, newer, LSN, LSN))
    assert not bench.sent(HeartbeatAck)[0].accepted
    assert bench.one(ev.Persist).durable.config == newer
    bench.do(ev.Tick())
    assert not bench.sent(PreVote), "it stands for nothing: it does not vote any more"
    assert not bench.sent(Prepare)


def test_a_survivor_can_be_forced_again() -> None:
    bench = lonely(*ALL)
    force(bench, A, B)
    first = bench.state.durable.config
    bench.wait(3000)
    force(bench, A)
    assert bench.state.durable.config.key > first.key
    assert bench.state.durable.config.new == Quorum(frozenset({A}), 1)
