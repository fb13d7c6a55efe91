"""Rules 3, 4 and 7: opening, the lease, resigning."""

from __future__ import annotations

from tests.unit.consensus.bench import ALL, LSN, A, B, Bench, C, D, F, G, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.leader import switchover_refusal
from aurora_operator.consensus.messages import Resigned
from aurora_operator.consensus.state import Role


def opening(*voters: str) -> tuple[Bench, int]:
    bench = Bench(config(*voters))
    epoch = bench.elect(*(v for v in voters if v != A))
    bench.do(ev.Promoted(epoch, LSN + 8))
    return bench, epoch


def test_opens_when_a_write_quorum_has_reached_the_start() -> None:
    bench, epoch = opening(A, B, C, D)
    for peer in (B, C, D):
        bench.ack(peer)
    bench.replicate(B)
    assert bench.role() == Role.OPENING, "two of four are not enough"
    bench.do(ev.Replication(epoch, {B: LSN + 8, C: LSN + 7}, LSN + 8))
    assert bench.role() == Role.OPENING, "one of them is not on our timeline yet"
    bench.replicate(B, C)
    assert bench.one(ev.Open) == ev.Open(epoch)


def test_opens_only_with_copies_that_no_earlier_leader_relies_on() -> None:
    bench, epoch = opening(*ALL)
    bench.ack(B)
    bench.ack(C)
    bench.ack(D, bound=700)
    bench.replicate(B, C, D)
    assert bench.role() == Role.OPENING
    bench.now += 600
    bench.ack(D, bound=100)
    assert bench.role() == Role.OPENING
    bench.now += 100
    bench.replicate(B, C, D)
    assert bench.one(ev.Open) == ev.Open(epoch)


def test_a_fourth_free_copy_opens_at_once() -> None:
    bench, _ = opening(*ALL)
    bench.ack(D, bound=700)
    for peer in (B, C, F):
        bench.ack(peer)
    bench.replicate(B, C, D, F)
    assert bench.role() == Role.LEADING


def test_does_not_open_on_what_waited_while_it_stood_still() -> None:
    """Another may have been elected and opened meanwhile."""
    bench, epoch = opening(A, B, C)
    sent = bench.now
    bench.now += 9000
    bench.ack(B, sent=sent)
    bench.do(ev.Replication(epoch, {B: LSN + 8, C: LSN + 8}, LSN + 8))
    assert bench.role() == Role.DOWN


def test_a_leader_that_stood_still_stops_at_the_first_event() -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.lead(B, C)
    bench.now += 9000
    bench.do(ev.Replication(epoch, {B: LSN + 8, C: LSN + 8}, LSN + 8))
    assert bench.one(ev.StopPostgres).mode == "immediate"


def test_an_old_report_of_replication_does_not_count() -> None:
    bench, epoch = opening(A, B, C)
    bench.ack(B)
    bench.do(ev.Replication(epoch - 1, {B: LSN + 50, C: LSN + 50}, LSN + 50))
    assert bench.role() == Role.OPENING


def test_steps_down_before_its_followers_leases_end() -> None:
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    bench.wait(bench.timing.lease - bench.timing.heartbeat // 2 - 100)
    assert bench.role() == Role.LEADING
    bench.wait(200)
    assert bench.role() == Role.DOWN
    assert bench.one(ev.StopPostgres).mode == "immediate"


def test_the_lease_runs_from_when_the_heartbeat_was_sent() -> None:
    """Not from when its acknowledgement came, which may have been long under way."""
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    sent = bench.now
    bench.wait(1500)
    bench.ack(B, sent=sent)
    bench.wait(1400)
    assert bench.role() == Role.DOWN


def test_an_acknowledgement_that_was_overtaken_takes_nothing_back() -> None:
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    bench.wait(2000)
    bench.ack(B, sent=bench.now)
    bench.ack(B, sent=bench.now - 1900)
    bench.wait(2000)
    assert bench.role() == Role.LEADING


def test_goes_on_with_a_read_quorum() -> None:
    """Three of six: it cannot commit, but nobody else can open while the record is as it was."""
    bench = Bench(config(*ALL))
    bench.lead(B, C, D, F, G)
    for _ in range(200):
        bench.wait(100, B, C)
        for ask in bench.all(ev.ReadRecord):
            bench.do(ev.RecordSeen(ask.asked, 0, bench.state.durable.config))
    assert bench.role() == Role.LEADING
    bench.wait(4_000, B)
    assert bench.role() == Role.DOWN


def test_one_slow_or_silent_copy_does_not_matter() -> None:
    for voters in ((A, B, C), (A, B, C, D), ALL):
        bench = Bench(config(*voters))
        bench.lead(*voters[1:])
        bench.wait(60_000, *voters[1:-1])
        assert bench.role() == Role.LEADING


def test_a_sole_copy_needs_nobody() -> None:
    bench = Bench(config(A))
    bench.lead()
    bench.wait(60_000)
    assert bench.role() == Role.LEADING


def test_steps_down_when_too_many_have_promised_another() -> None:
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    bench.refuse(B)
    assert bench.role() == Role.LEADING, "two are left to commit"
    bench.refuse(C)
    assert bench.role() == Role.DOWN


def test_a_copy_that_promised_another_who_lost_is_taken_back_by_a_new_epoch() -> None:
    """It can never follow this epoch again; its candidate gets time to win first."""
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    for _ in range(8):
        bench.refuse(B)
        bench.wait(1000, C)
    assert bench.role() == Role.LEADING
    bench.refuse(B)
    bench.wait(1500, C)
    assert bench.role() == Role.DOWN


def test_a_refusing_learner_does_not_matter() -> None:
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    for _ in range(30):
        bench.refuse(D)
        bench.wait(1000, B, C)
    assert bench.role() == Role.LEADING


# --- switchover -------------------------------------------------------------------------------------------------------


def test_switchover_stops_fast_then_names_the_target() -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.lead(B, C)
    bench.do(ev.SwitchoverRequested(B))
    assert bench.effects == [ev.StopPostgres("fast")]
    bench.do(ev.PostgresDown())
    assert bench.sent(Resigned) == [Resigned(epoch, B)]
    bench.up(epoch, LSN + 50)
    bench.wait(5000)
    assert bench.role() == Role.STANDBY, "it leaves the first tries to the others"


def test_switchover_is_refused_where_it_could_not_go_well() -> None:
    bench = Bench(config(A, B, C))
    bench.elect(B, C)
    assert switchover_refusal(bench.state, None) == "this instance is not the open writer"
    bench = Bench(config(A, B, C))
    epoch = bench.lead(B, C)
    assert switchover_refusal(bench.state, None) is None
    assert switchover_refusal(bench.state, B) is None
    assert "not a voting reader" in str(switchover_refusal(bench.state, D))
    bench.do(ev.Replication(epoch, {B: LSN + 8, C: LSN + 8}, LSN + (17 << 20)))
    assert "lag" in str(switchover_refusal(bench.state, None))
    bench.do(ev.SwitchoverRequested(None))
    assert bench.role() == Role.LEADING


def test_the_target_is_preferred_by_who_hears_of_it() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.beat(B, 3)
    bench.hear(B, Resigned(3, A))
    bench.grant(C, lsn=LSN + 5)
    assert bench.role() == Role.PREPARING, "first in the order, although the other is further"
