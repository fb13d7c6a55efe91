"""When time alone may have something to do: no copy need wake for a tick before that."""

from __future__ import annotations

from aurora_operator.consensus.membership import is_settled
from aurora_operator.consensus.state import Leadership, Role, State


def next_tick(s: State, last: int) -> int:
    """When (ms) the next tick is due after one at `last`; any event may bring it forward.

    A quarter of a heartbeat period later, but where nothing is under way and all is heard: there, when the leader's
    next heartbeat is due, or when a follower would have missed its leader for a lease. Never later than a whole
    period: ticks also show that the agent goes on.
    """
    due = _nothing_until(s)
    if due is None or due <= last:
        return last + s.timing.heartbeat // 4
    return min(due, last + s.timing.heartbeat)


def _nothing_until(s: State) -> int | None:
    led, leader = s.leadership, s.leader
    if s.role == Role.LEADING and led is not None and is_settled(s) and _all_heard(s, led):
        return led.beat + s.timing.heartbeat
    if s.role == Role.STANDBY and s.promising is None and leader is not None and leader.alive:
        return leader.until
    return None


def _all_heard(s: State, led: Leadership) -> bool:
    since = led.beat - s.timing.heartbeat
    peers = [led.peers[c] for c in s.durable.config.voters if c != s.me]
    return s.short_since is None and all(p.sent >= since and p.refusing_since is None for p in peers)
