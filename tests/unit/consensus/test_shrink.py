"""Rule 6 when a write quorum is lost: giving up who is missing, as the record decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.consensus.bench import ALL, LSN, RANK, A, B, Bench, C, D, F, G, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.membership import record_allows
from aurora_operator.consensus.messages import Heartbeat, HeartbeatAck, Prepare
from aurora_operator.consensus.shrink import hears_write_quorum
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Quorum, name_of

DELAY = 5_000


def wish(bench: Bench, *voters: CopyId) -> None:
    names = frozenset(name_of(c) for c in voters)
    bench.do(ev.Wanted(names, len(voters) // 2 + 1, tier=1, size=2, repair_delay=DELAY))


def leader(*voters: CopyId) -> Bench:
    """An open leader of these."""
    bench = Bench(config(*voters))
    wish(bench, *voters)
    bench.lead(*voters[1:])
    return bench


def go_on(bench: Bench, milliseconds: int, *left: CopyId, record: bool = True, until: type | None = None) -> None:
    """Time passes with only these left; the record stays as this copy knows it."""
    for _ in range(milliseconds // 100):
        bench.wait(100, *left)
        kept = bench.effects
        if record:
            for ask in bench.all(ev.ReadRecord):
                bench.do(ev.RecordSeen(ask.asked, 0, bench.state.durable.config))
                kept = kept + bench.effects
        if bench.state.leadership is not None:
            bench.replicate(*left)
            kept = kept + bench.effects
        bench.effects = kept
        if until is not None and bench.all(until):
            return


def stepping(bench: Bench, *left: CopyId) -> Config:
    """Up to the step being written into the record; these are left."""
    go_on(bench, DELAY + 5000, *left, until=ev.WriteRecord)
    return bench.one(ev.WriteRecord).after


def hold(bench: Bench, *left: CopyId, lsn: int | None = None) -> None:
    """These say that they hold the membership, and have so much WAL."""
    for peer in left:
        bench.ack(peer)
    bench.replicate(*left, lsn=lsn)


@pytest.mark.parametrize(
    ("voters", "left", "write"),
    [(ALL, (B, C), 2), ((A, B, C, D), (B,), 2), ((A, B), (), 1)],
    ids=["3 of 6", "2 of 4", "1 of 2"],
)
def test_the_whole_way(voters: tuple[CopyId, ...], left: tuple[CopyId, ...], write: int) -> None:
    bench = leader(*voters)
    step = stepping(bench, *left)
    assert step.new == Quorum(frozenset({A, *left}), write)
    assert step.old.voters == set(voters)
    assert step.floor == step.key
    bench.do(ev.RecordWritten(step.key, True))
    assert bench.one(ev.Persist).durable.config == step
    hold(bench, *left)
    if left:
        assert bench.state.leadership is not None
    go_on(bench, 200, *left)
    bench.do(ev.SyncInForce(step.key, LSN + 8))
    go_on(bench, 3500, *left, until=ev.WriteRecord)
    end = bench.one(ev.WriteRecord).after
    assert end == Config(end.key, Quorum(frozenset({A, *left}), write), None, step.key)
    bench.do(ev.RecordWritten(end.key, True))
    hold(bench, *left)
    go_on(bench, 4000, *left, record=False)
    assert bench.role() == Role.LEADING, "with a write quorum again, the record does not matter any more"


def test_three_copies_do_not_shrink_to_one() -> None:
    """One of three is no read quorum: the others may go on, and it must step down."""
    bench = leader(A, B, C)
    go_on(bench, DELAY + 5000)
    assert not bench.all(ev.WriteRecord)
    assert bench.role() == Role.DOWN


def test_heard_is_not_enough_to_stay() -> None:
    """Three of six are heard, and only two of them have WAL that goes on."""
    bench = leader(*ALL)
    for _ in range(3 * DELAY // 100):
        bench.wait(100, B, C)
        effects = bench.effects
        for ask in bench.all(ev.ReadRecord):
            bench.do(ev.RecordSeen(ask.asked, 0, bench.state.durable.config))
        bench.replicate(B)
        assert not [e for e in (*effects, *bench.effects) if isinstance(e, ev.WriteRecord)]
    assert bench.role() == Role.LEADING


def test_just_elected_it_waits_for_those_whom_it_hears_to_stream() -> None:
    bench = Bench(config(A, B, C, D))
    wish(bench, A, B, C, D)
    bench.elect(B, C)
    bench.do(ev.Promoted(bench.state.durable.promised, LSN + 8))
    bench.state.short_since = bench.now - 2 * DELAY
    for peer in (B, C):
        bench.ack(peer)
    bench.replicate(B)
    assert not bench.all(ev.WriteRecord)


def test_not_before_the_repair_delay() -> None:
    bench = leader(*ALL)
    go_on(bench, DELAY, B, C)
    assert not bench.all(ev.WriteRecord)


def test_not_while_a_write_quorum_is_there() -> None:
    bench = leader(*ALL)
    go_on(bench, 4 * DELAY, B, C, D)
    assert not bench.all(ev.WriteRecord)


def joined(bench: Bench, *left: CopyId) -> Config:
    """The step is in the record and with this leader; nobody else has said that it holds it."""
    step = stepping(bench, *left)
    bench.do(ev.RecordWritten(step.key, True))
    return step


def test_the_rule_changes_only_when_each_that_stays_holds_the_step() -> None:
    bench = leader(*ALL)
    joined(bench, B, C)
    bench.ack(B)
    assert not bench.all(ev.SetSync)
    bench.ack(C)
    assert bench.one(ev.SetSync)


def ending(*, lsn: int = LSN + 8, key: ConfigKey | None = None, bound: int = 0, wait: int = 3500) -> Bench:
    """B is as these say when the step could end."""
    bench = leader(*ALL)
    step = joined(bench, B, C)
    for peer in (B, C):
        bench.ack(peer)
    bench.do(ev.SyncInForce(step.key, LSN + 8))
    led = bench.state.leadership
    assert led is not None
    doubtful = replace(led.peers[B], config=key or step.key, free_from=bench.now + bound)
    bench.state.leadership = replace(led, peers={**led.peers, B: doubtful})
    for _ in range(wait // 100):
        bench.now += 100
        bench.do(ev.Tick())
        for ask in bench.all(ev.ReadRecord):
            bench.do(ev.RecordSeen(ask.asked, 0, step))
        bench.ack(B, key=key, bound=bound)
        bench.ack(C)
        bench.do(ev.Replication(led.epoch, {B: lsn, C: LSN + 8}, LSN + 8))
        if bench.state.leadership is not None and bench.state.leadership.proposal is not None:
            break
    return bench


def proposes(bench: Bench) -> bool:
    return bench.state.leadership is not None and bench.state.leadership.proposal is not None


def test_ends() -> None:
    assert proposes(ending())


def test_does_not_end_before_each_that_stays_holds_it() -> None:
    assert not proposes(ending(key=ConfigKey(0, 2)))


def test_does_not_end_before_each_that_stays_has_everything() -> None:
    assert not proposes(ending(lsn=LSN + 7))


def test_does_not_end_within_a_lease() -> None:
    assert not proposes(ending(wait=2800))


def test_does_not_end_while_an_earlier_leader_relies_on_one_that_stays() -> None:
    """It may be the only one of those that the earlier leader hears."""
    assert not proposes(ending(bound=60_000))


def test_is_given_up_when_the_lost_ones_are_back() -> None:
    bench = leader(*ALL)
    step = joined(bench, B, C)
    bench.ack(D)
    bench.replicate(B, C, D)
    back = bench.one(ev.WriteRecord).after
    assert back.old == step.old
    assert back.new is None
    assert back.floor == step.key


def test_is_given_up_when_one_of_those_who_stay_is_gone() -> None:
    """Elected in the step by enough of the old voters: without it, these could shrink to themselves."""
    key = ConfigKey(1, 3)
    bench = Bench(Config(key, Quorum(frozenset(ALL), 4), Quorum(frozenset({A, B, C}), 2), key))
    wish(bench, *ALL)
    bench.elect(B, D, F, G)
    bench.do(ev.Promoted(bench.state.durable.promised, LSN + 8))
    go_on(bench, DELAY + 5000, B, D, until=ev.WriteRecord)
    back = bench.all(ev.WriteRecord)[0].after
    assert back.old.voters == set(ALL)
    assert back.new is None


def test_a_leader_that_would_not_stay_gives_the_step_up() -> None:
    """Elected in the step by the old voters: somebody else's step."""
    key = ConfigKey(1, 3)
    bench = Bench(Config(key, Quorum(frozenset(ALL), 4), Quorum(frozenset({B, C, D}), 2), key))
    bench.elect(B, C, D, F, G)
    bench.do(ev.Promoted(bench.state.durable.promised, LSN + 8))
    bench.do(ev.Tick())
    assert bench.one(ev.WriteRecord).after.old.voters == set(ALL)


def test_an_answer_that_was_lost_counts_all_the_same() -> None:
    bench = leader(*ALL)
    step = stepping(bench, B, C)
    go_on(bench, 6000, B, C, until=ev.WriteRecord)
    again = bench.one(ev.WriteRecord).after
    bench.do(ev.RecordWritten(again.key, False, step))
    assert bench.state.durable.config == step
    assert bench.role() == Role.LEADING


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "allowed"),
    [(ConfigKey(0, 2), True), (None, False), (ConfigKey(0, 1), False), (ConfigKey(9, 3), False)],
    ids=["as known", "lost", "from a backup", "the other half's"],
)
def test_the_record_allows_a_step_only_from_what_it_holds(held: ConfigKey | None, allowed: bool) -> None:
    key = ConfigKey(66, 3)
    step = Config(key, Quorum(frozenset(ALL), 4), Quorum(frozenset({A, B, C}), 2), key)
    assert record_allows(ev.WriteRecord(66, ConfigKey(0, 2), step), 66, held) is allowed


def test_without_a_write_quorum_and_the_record_a_leader_steps_down() -> None:
    bench = leader(*ALL)
    go_on(bench, 3500, B, C, record=False)
    assert bench.role() == Role.DOWN


def test_a_leader_that_has_been_given_up_steps_down() -> None:
    bench = leader(*ALL)
    go_on(bench, 3500, B, C)
    key = ConfigKey(99, 3)
    others = Config(key, Quorum(frozenset(ALL), 4), Quorum(frozenset({D, F, G}), 2), key)
    bench.do(ev.RecordSeen(bench.now, 0, others))
    assert bench.one(ev.Persist).durable.config == others
    assert bench.one(ev.StopPostgres).mode == "immediate"


def test_a_record_of_a_later_leader_ends_this_one() -> None:
    bench = leader(*ALL)
    bench.do(ev.RecordSeen(bench.now, 9999, bench.state.durable.config))
    assert bench.role() == Role.DOWN


def test_its_own_proposal_in_the_record_is_no_change() -> None:
    bench = leader(*ALL)
    step = stepping(bench, B, C)
    bench.do(ev.RecordSeen(bench.now, 0, step))
    assert bench.role() == Role.LEADING
    assert bench.state.record_seen == bench.now


def test_hears_write_quorum() -> None:
    bench = leader(*ALL)
    assert hears_write_quorum(bench.state, bench.now)
    go_on(bench, 3500, B, C)
    assert not hears_write_quorum(bench.state, bench.now)


# --- candidates -------------------------------------------------------------------------------------------------------


def short(*, record: Config | None, milliseconds: int = 3 * DELAY) -> Bench:
    """A standby that two of five others answer; the record holds this."""
    bench = Bench(config(*ALL))
    wish(bench, *ALL)
    bench.up()
    for _ in range(milliseconds // 100):
        bench.now += 100
        bench.do(ev.Tick())
        if bench.role() == Role.PREVOTING:
            for peer in (B, C):
                bench.grant(peer)
        for ask in bench.all(ev.ReadRecord):
            if record is not None:
                bench.do(ev.RecordSeen(ask.asked, 0, record))
        if bench.role() == Role.PREPARING:
            break
    return bench


def test_stands_when_it_could_shrink() -> None:
    bench = short(record=config(*ALL))
    assert bench.role() == Role.PREPARING


def test_does_not_stand_before_the_repair_delay_is_over() -> None:
    assert short(record=config(*ALL), milliseconds=DELAY).role() != Role.PREPARING


def test_does_not_stand_without_the_record() -> None:
    bench = short(record=None)
    assert bench.role() in (Role.STANDBY, Role.PREVOTING)
    assert not bench.sent(Prepare)


def test_does_not_stand_when_others_have_shrunk() -> None:
    key = ConfigKey(66, 3)
    others = Config(key, Quorum(frozenset({D, F, G}), 2), None, key)
    bench = short(record=others)
    assert bench.state.durable.config == others
    assert bench.role() == Role.STANDBY


def test_hearing_a_leader_starts_the_delay_again() -> None:
    bench = short(record=None)
    assert bench.state.short_since is not None
    bench.beat(B, 99)
    assert bench.state.short_since is None


# --- coming back ------------------------------------------------------------------------------------------------------


def test_a_given_up_copy_that_promised_a_higher_epoch_gets_a_new_leader() -> None:
    """It is wanted, but can follow only a leader of an epoch above its promise."""
    bench = leader(A, B)
    wish(bench, A, B, C)
    led = bench.state.leadership
    assert led is not None
    for _ in range(100):
        bench.wait(100, B)
        if bench.state.leadership is None:
            break
        bench.hear(C, HeartbeatAck(led.epoch, bench.now, False, 700, ConfigKey(0, 2), None, RANK))
    assert bench.role() == Role.DOWN
    bench.do(ev.PostgresDown())
    bench.up(epoch=led.epoch)
    bench.grant(C, promised=700)
    bench.grant(B)
    assert bench.state.durable.promised > 700


def test_heartbeats_carry_the_membership_to_those_who_were_given_up() -> None:
    bench = leader(A, B, C, D)
    step = joined(bench, B)
    assert bench.sent(Heartbeat)[0].config == step
