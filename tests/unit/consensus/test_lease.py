"""Rule 4: for how long a leader may go on."""

from __future__ import annotations

from tests.unit.consensus.bench import ALL, A, B, Bench, C, D, F, G, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.lease import lease_left
from aurora_operator.consensus.state import Role

LEASE = 3000 - 250


def leader(*voters: str) -> Bench:
    bench = Bench(config(*voters))
    bench.lead(*voters[1:])
    return bench


def test_runs_from_when_the_heartbeat_was_sent_that_a_read_quorum_has_heard() -> None:
    bench = leader(A, B, C)
    now = bench.now
    bench.ack(B, sent=now - 100)
    bench.now = now + 1000
    bench.ack(C, sent=now + 600)
    assert lease_left(bench.state, bench.now) == 600 + LEASE - 1000


def test_without_a_write_quorum_it_runs_from_the_records_reading() -> None:
    bench = leader(*ALL)
    now = bench.now
    bench.now = now + 2500
    for peer in (B, C):
        bench.ack(peer)
    assert lease_left(bench.state, bench.now) == LEASE - 2500
    bench.do(ev.RecordSeen(now + 2000, 0, bench.state.durable.config))
    assert lease_left(bench.state, bench.now) == LEASE - 500
    for peer in (D, F, G):
        bench.ack(peer)
    assert lease_left(bench.state, bench.now) == LEASE


def test_who_is_not_open_needs_no_write_quorum() -> None:
    bench = Bench(config(*ALL))
    bench.elect(B, C, D)
    bench.do(ev.Promoted(bench.state.durable.promised, 1008))
    bench.now += 2500
    for peer in (B, C):
        bench.ack(peer)
    assert bench.role() == Role.OPENING
    assert lease_left(bench.state, bench.now) == LEASE


def test_one_that_votes_alone_or_does_not_lead_has_no_limit() -> None:
    bench = Bench(config(A), quiet=True)
    bench.up()
    assert lease_left(bench.state, bench.now) is None
    bench = Bench(config(A))
    bench.lead()
    assert lease_left(bench.state, bench.now + 10**9) is None


def test_the_core_ends_it_at_that_moment() -> None:
    bench = leader(A, B, C)
    left = lease_left(bench.state, bench.now)
    assert left is not None
    bench.now += int(left) - 1
    bench.do(ev.Tick())
    assert bench.role() == Role.LEADING
    bench.now += 1
    bench.do(ev.Tick())
    assert bench.role() == Role.DOWN
