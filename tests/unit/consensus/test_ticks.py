"""When the next tick is due."""

from __future__ import annotations

import pytest
from tests.unit.consensus.bench import A, B, Bench, C, D, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import Heartbeat, Resigned
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.ticks import next_tick

SHORT, LONG = 125, 500


def settled() -> Bench:
    """A leader whose last heartbeat both others have acknowledged."""
    bench = Bench(config(A, B, C))
    bench.lead(B, C)
    bench.wait(LONG, B, C)
    return bench


def after(bench: Bench) -> int:
    """Milliseconds from a tick now to the next."""
    return next_tick(bench.state, bench.now) - bench.now


def test_a_settled_leader_wakes_to_beat() -> None:
    bench = settled()
    led = bench.state.leadership
    assert led is not None
    last = led.beat
    assert next_tick(bench.state, last) == last + LONG
    bench.now = last + 499
    assert bench.do(ev.Tick()) == []
    bench.now = last + 500
    bench.do(ev.Tick())
    assert len(bench.sent(Heartbeat)) == 1


def test_a_follower_wakes_when_its_leader_has_been_missed_for_a_lease() -> None:
    bench = Bench(config(A, B, C))
    bench.up()
    bench.beat(B, 3)
    assert after(bench) == LONG, "it shows that it goes on"
    bench.now += 2900
    assert after(bench) == 100
    bench.now += 100
    bench.do(ev.Tick())
    assert bench.role() == Role.PREVOTING


@pytest.mark.parametrize("why", ["unheard", "refused", "joining", "down", "electing", "resigned", "missed"])
def test_all_else_is_looked_at_soon(why: str) -> None:
    bench = settled()
    match why:
        case "unheard":
            bench.wait(2 * LONG, B)
        case "refused":
            bench.refuse(C)
        case "joining":
            bench.do(ev.Wanted(frozenset({"a", "b", "c", "d"}), 3, tier=1, size=2))
            bench.ack(D)
        case "down":
            bench.do(ev.PostgresDown())
        case _:
            bench = Bench(config(A, B, C))
            bench.up()
            bench.beat(B, 3)
            bench.state.abstain_until = 0 if why == "electing" else bench.now + 10_000
            if why == "resigned":
                bench.hear(B, Resigned(3, None))
            else:
                bench.now += 3000
                bench.do(ev.Tick())
            assert bench.role() == (Role.PREVOTING if why == "electing" else Role.STANDBY)
    assert after(bench) == SHORT
