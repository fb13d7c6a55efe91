"""Rule 4: for how long a leader may go on."""

from __future__ import annotations

import math

from aurora_operator.consensus.state import PROMOTED, Leadership, Role, State, Turn
from aurora_operator.consensus.types import Quorum


def lease_end(s: State) -> float:
    """When (ms) a leader must have ended its sessions if it hears nothing more; infinity where it votes alone.

    A read quorum must have heard it within the lease. With less than a write quorum, the others may have shrunk the
    membership: then reads go on only while the record says that they have not. Half a heartbeat period is left for
    noticing, for ending the sessions, and for clocks that differ in speed.
    """
    led = s.leadership
    if led is None or s.role not in PROMOTED:
        return math.inf
    config = s.durable.config
    quorums = (config.old,) if config.new is None else (config.old, config.new)
    heard = min(_heard_by(s, led, quorum, quorum.read) for quorum in quorums)
    if s.role == Role.LEADING:
        undisputed = _heard_by(s, led, config.old, config.old.write)
        heard = min(heard, max(undisputed, -math.inf if s.record_seen is None else s.record_seen))
    return heard + s.timing.lease - s.timing.heartbeat // 2


def _heard_by(s: State, led: Leadership, quorum: Quorum, need: int) -> float:
    """When the newest heartbeat was sent that so many of these, ourselves among them, acknowledged; at first, all."""
    need -= s.me in quorum.voters
    others = quorum.voters - {s.me}
    sent = sorted((led.peers[c].sent if c in led.peers else led.since for c in others), reverse=True)
    return math.inf if need <= 0 else sent[need - 1]


def keep_lease(t: Turn) -> bool:
    """Step down when the lease is over; whether it is not.

    After every event, not only with time: one that stood still finds much to do before its next tick.
    """
    if t.now < lease_end(t.state):
        return True
    t.step_down()
    return False


def lease_left(s: State, now: int) -> float | None:
    """For how long (ms) sessions may go on without another step of this core; None where no time limits them."""
    end = lease_end(s)
    return None if math.isinf(end) else end - now
