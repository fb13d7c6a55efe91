"""Rules 1 and 5: following a leader, promising, and coming back."""

from __future__ import annotations

from dataclasses import replace

from aurora_operator.consensus.election import count_own_promise, give_up, try_election
from aurora_operator.consensus.events import Broadcast, Follow, PostgresUp, ReceiverStopped, StopReceiver
from aurora_operator.consensus.messages import Heartbeat, HeartbeatAck, Prepare, Promise, Resigned
from aurora_operator.consensus.state import ELECTED, ELECTING, PROMOTED, Known, Role, Turn
from aurora_operator.consensus.types import CopyId


def on_heartbeat(t: Turn, sender: CopyId, beat: Heartbeat) -> None:
    """A leader of an epoch that we have promised, or of a higher one, is followed; a lower one is refused.

    So is one that works with a membership that is over, of whatever epoch it is.
    """
    s = t.state
    if beat.config.floor > s.durable.config.key:
        t.learn(beat.config)
    if beat.epoch < s.durable.promised or beat.config.key < s.durable.config.floor:
        _acknowledge(t, sender, beat, accepted=False)
        return
    if s.role in PROMOTED or s.role == Role.PROMOTING:
        t.step_down()
    elif s.role in ELECTING:
        give_up(t)
    t.persist(promised=beat.epoch, config=beat.config)
    s.given = (beat.epoch, sender)
    s.promising = None
    s.preferred = None
    s.short_since = None
    t.follow(Known(sender, beat.epoch, until=t.now + s.timing.lease, relying=beat.start is not None))
    if s.role == Role.STANDBY and beat.start is not None and s.following != (sender, beat.epoch):
        s.following = (sender, beat.epoch)
        t.do(Follow(sender, beat.epoch))
    _acknowledge(t, sender, beat, accepted=True)


def _acknowledge(t: Turn, sender: CopyId, beat: Heartbeat, *, accepted: bool) -> None:
    s = t.state
    promised, config = s.durable.promised, s.durable.config
    newer = config if beat.config.key < config.floor else None
    values = (promised, config.key, s.position, t.rank(), t.bound(), newer)
    t.send(sender, HeartbeatAck(beat.epoch, beat.sent, accepted, *values))


def on_prepare(t: Turn, sender: CopyId, prepare: Prepare) -> None:
    """Promise an epoch above all promised before, if no leader relies on us: persist, stop receiving, then answer.

    Who was promised the newest one, and has not led by it, gets it again: see `State.unspent`.
    """
    s = t.state
    again = s.given == (prepare.epoch, sender) and prepare.epoch == s.durable.promised
    willing = (
        (again or prepare.epoch > s.durable.promised)
        and s.role != Role.DOWN
        and s.role not in ELECTED
        and (not t.leader_alive() or (again and _is_candidate(t)))
    )
    if not willing:
        t.send(sender, Promise(prepare.epoch, False, s.durable.promised, None, s.durable.config))
        return
    if s.role in ELECTING:
        give_up(t)
    t.persist(promised=prepare.epoch)
    s.given = s.promising = (prepare.epoch, sender)
    s.following = None
    # The candidate gets this long to show itself; no lease runs for it before its first heartbeat.
    s.leader = Known(sender, prepare.epoch, until=t.now + 2 * s.timing.request)
    t.do(StopReceiver(prepare.epoch))


def _is_candidate(t: Turn) -> bool:
    """Whether who holds our promise has only asked for it, and no leader relies on this copy."""
    known = t.state.leader
    return t.bound() == 0 and known is not None and not known.relying and t.state.given == (known.epoch, known.id)


def on_receiver_stopped(t: Turn, event: ReceiverStopped) -> None:
    """Now the position cannot change any more: answer the candidate, which may be ourselves."""
    s = t.state
    if s.promising is None or s.promising[0] != event.epoch or s.role == Role.DOWN:
        return
    epoch, candidate = s.promising
    s.promising = None
    s.position = event.position
    promise = Promise(epoch, True, s.durable.promised, event.position, s.durable.config)
    if candidate == s.me:
        count_own_promise(t, promise)
    else:
        t.send(candidate, promise)


def on_resigned(t: Turn, sender: CopyId, message: Resigned) -> None:
    """The leader says that its PostgreSQL is gone."""
    s = t.state
    known = s.leader
    if message.epoch < s.durable.promised or (known is not None and known.epoch > message.epoch):
        return
    t.follow(Known(sender, message.epoch, until=t.now, alive=False))
    s.preferred = message.preferred
    s.next_try = t.now
    try_election(t)


def on_peer_dead(t: Turn, peer: CopyId) -> None:
    """The leader's pod is gone: do not wait for its lease."""
    s = t.state
    if s.leader is not None and s.leader.id == peer and s.leader.alive:
        s.leader = replace(s.leader, alive=False)
        s.next_try = t.now
        try_election(t)


def on_postgres_up(t: Turn, event: PostgresUp) -> None:
    """A standby is back; the next heartbeat says whom to follow."""
    s = t.state
    s.role, s.position, s.following, s.leadership = Role.STANDBY, event.position, None, None
    try_election(t)


def on_postgres_down(t: Turn) -> None:
    """No session is left here. If this copy led, say so: nobody needs to wait for the lease."""
    s = t.state
    led = s.leadership
    if led is not None:
        resigned_on_request = s.role == Role.RESIGNING
        if resigned_on_request:
            s.abstain_until = t.now + 2 * s.timing.lease
        t.do(Broadcast(Resigned(led.epoch, led.preferred if resigned_on_request else None)))
        if s.leader is None or s.leader.epoch <= led.epoch:
            s.leader = Known(s.me, led.epoch, until=t.now, alive=False)
    s.role, s.leadership, s.election, s.following, s.promising = Role.DOWN, None, None, None, None
