"""Rules 3, 4 and 7: opening, the lease, resigning."""

from __future__ import annotations

from dataclasses import replace

from aurora_operator.consensus import membership, shrink
from aurora_operator.consensus.events import Open, Replication, StopPostgres
from aurora_operator.consensus.lease import keep_lease
from aurora_operator.consensus.messages import HeartbeatAck
from aurora_operator.consensus.state import PROMOTED, Leadership, Peer, Role, State, Turn
from aurora_operator.consensus.types import CopyId, name_of


def on_ack(t: Turn, sender: CopyId, ack: HeartbeatAck) -> None:
    """Note who hears us, and who has promised somebody else."""
    s = t.state
    if ack.newer is not None:
        t.learn(ack.newer)
    led = s.leadership
    if led is None or s.role not in PROMOTED or ack.epoch != led.epoch:
        return
    before = led.peers.get(sender)
    sent = max(ack.sent, before.sent if before else 0) if ack.accepted else (before.sent if before else 0)
    refusing = None
    if not ack.accepted:
        refusing = before.refusing_since if before and before.refusing_since is not None else t.now
    free = min(t.now + ack.bound, before.free_from if before else t.now + ack.bound)
    peer = Peer(sent=sent, config=ack.config, rank=ack.rank, refusing_since=refusing, free_from=free)
    s.leadership = replace(led, peers={**led.peers, sender: peer})
    if refusing is not None:
        _check_refusals(t)
    if s.role in PROMOTED:
        _open(t)
        membership.advance(t)


def on_replication(t: Turn, event: Replication) -> None:
    """Note how far the copies are."""
    s = t.state
    led = s.leadership
    if led is None or s.role not in PROMOTED or event.epoch != led.epoch:
        return
    s.leadership = replace(led, flushed=dict(event.flushed), lsn=event.lsn)
    _open(t)
    membership.advance(t)


def _open(t: Turn) -> None:
    """Open once a write quorum has flushed the epoch's start: all that clients will see then survives us.

    These copies must also be free of earlier leaders. Read quorums need not overlap (3 of 6 do not): a leader that
    we never asked may still be heard by enough to serve reads, but then one of them is among ours.
    """
    s = t.state
    led = s.leadership
    if led is None or s.role != Role.OPENING:
        return
    if not keep_lease(t):
        return
    free = {s.me, *(c for c, p in led.peers.items() if p.free_from <= t.now)}
    if s.durable.config.can_write(reached(s, led, led.start) & free):
        s.role = Role.LEADING
        t.do(Open(led.epoch))


def reached(s: State, led: Leadership, lsn: int) -> set[CopyId]:
    """The copies, ourselves included, that have flushed this much of our history."""
    return {s.me, *(copy for copy, flushed in led.flushed.items() if flushed >= lsn)}


def on_tick(t: Turn) -> None:
    """Beat, if we still lead."""
    s = t.state
    led = s.leadership
    if not keep_lease(t) or led is None or s.role not in PROMOTED:
        return
    _check_refusals(t)
    if s.role not in PROMOTED:
        return
    shrink.watch(t, led)
    if t.now - led.beat >= s.timing.heartbeat:
        s.leadership = replace(led, beat=t.now)
        t.beat(led.epoch, led.start, led.lsn)
    membership.advance(t)


def _check_refusals(t: Turn) -> None:
    """A voter, or one that should be, that promised a higher epoch can never follow this one: only a new epoch takes
    it back.

    Without a write quorum among the rest, step down at once; else give whoever it promised the time to win.
    """
    s = t.state
    led = s.leadership
    if led is None:
        return
    voters = s.durable.config.voters
    wanted = frozenset() if s.wanted is None else s.wanted.voters
    refusing = {
        c: p.refusing_since
        for c, p in led.peers.items()
        if p.refusing_since is not None and (c in voters or name_of(c) in wanted)
    }
    if not refusing:
        return
    lost = not s.durable.config.can_write(voters - refusing.keys())
    if lost or t.now - min(refusing.values()) >= 3 * s.timing.lease:
        t.step_down()


def switchover_refusal(s: State, target: CopyId | None) -> str | None:
    """Why this copy cannot hand over to `target` (None: to anybody) now; None when it can."""
    led = s.leadership
    if led is None or s.role != Role.LEADING:
        return "this instance is not the open writer"
    voters = s.durable.config.voters
    close = {
        c
        for c, p in led.peers.items()
        if c in voters and p.refusing_since is None and led.flushed.get(c, 0) + membership.CAUGHT_UP_BYTES >= led.lsn
    }
    ready = {c for c in close if led.peers[c].rank.can_lead}
    if target is not None and target not in ready:
        return f"{target} is not a voting reader that streams from the writer with less than 16 MiB of lag"
    if not ready:
        return "no voting reader streams from the writer with less than 16 MiB of lag"
    if not s.durable.config.can_write(close | {s.me}):
        return "the copies that stream from the writer are fewer than its write quorum needs"
    return None


def on_switchover(t: Turn, target: CopyId | None) -> None:
    """Stop PostgreSQL so that the readers receive all of it; who is best is seen after that, by position."""
    s = t.state
    if switchover_refusal(s, target) is not None or s.leadership is None:
        return
    s.role = Role.RESIGNING
    s.leadership = replace(s.leadership, preferred=target)
    t.do(StopPostgres("fast"))
