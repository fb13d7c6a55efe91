"""Rules 1 to 3, the candidate's side: pre-vote, promises, catching up, promotion."""

from __future__ import annotations

from dataclasses import replace

from aurora_operator.consensus import shrink
from aurora_operator.consensus.events import Broadcast, Fetch, Fetched, Promote, Promoted, StopReceiver
from aurora_operator.consensus.messages import Prepare, PreVote, PreVoteReply, Promise
from aurora_operator.consensus.state import ELECTED, Election, Leadership, Role, Turn
from aurora_operator.consensus.types import Config, CopyId, Position, next_epoch


def try_election(t: Turn) -> None:
    """Stand, if nothing speaks against it; a pre-vote comes first, so that trying costs nobody anything.

    In a joint step only voters of the old side stand: they can lead on even if who was to join has gone again.
    """
    s = t.state
    if (
        s.role != Role.STANDBY
        or s.promising is not None
        or t.now < s.next_try
        or s.me not in s.durable.config.old.voters
        or not t.rank().can_lead
        or t.leader_alive()
    ):
        return
    s.attempt += 1
    s.role = Role.PREVOTING
    s.election = Election(s.attempt, t.now, replies={s.me: _own_reply(t, s.attempt, granted=True)})
    # Who does not vote says what it has promised: our epoch must be above that, or it could never follow us.
    t.do(Broadcast(PreVote(s.attempt)))
    _consider(t)


def give_up(t: Turn, *, back_off: bool = False) -> None:
    """Become a standby again. Back off by a time that differs between copies and attempts, so that duels end."""
    s = t.state
    t.withdraw()
    if back_off:
        step = (s.ordinal * 5 + s.attempt * 3) % 8
        s.next_try = t.now + s.timing.request * (4 + step) // 8


def _own_reply(t: Turn, attempt: int, *, granted: bool) -> PreVoteReply:
    s = t.state
    promised, config, leading = s.durable.promised, s.durable.config, s.role in ELECTED
    return PreVoteReply(attempt, granted, promised, s.position, config, t.rank(), leading)


def on_prevote(t: Turn, sender: CopyId, message: PreVote) -> None:
    """Say whether we would promise. One that would has lost the leader too, so it looks at standing itself."""
    s = t.state
    granted = s.role in (Role.STANDBY, Role.PREVOTING) and s.promising is None and not t.leader_alive()
    t.send(sender, _own_reply(t, message.attempt, granted=granted))
    if granted:
        try_election(t)
    refused = s.election.replies.get(sender) if s.role == Role.PREVOTING and s.election is not None else None
    if refused is not None and not refused.granted:
        # It had not missed the leader when we asked; it has now.
        t.send(sender, PreVote(s.attempt))


def on_prevote_reply(t: Turn, sender: CopyId, reply: PreVoteReply) -> None:
    """Count it."""
    s = t.state
    if s.role != Role.PREVOTING or s.election is None or reply.attempt != s.election.attempt:
        return
    s.election = replace(s.election, replies={**s.election.replies, sender: reply})
    _consider(t)


def _consider(t: Turn) -> None:
    """Go on to promises when enough would promise and we are the best of them, or the best has not moved.

    Not while a write quorum could not be reached, for nothing is won then, and the old leader may still serve reads,
    unless those who are missing can be given up; nor when a leader itself answers: we shall hear it soon.
    """
    s = t.state
    election = s.election
    assert election is not None  # noqa: S101 - PREVOTING has one
    waited = t.now - election.started
    config = max((s.durable.config, *(r.config for r in election.replies.values())), key=lambda c: c.key)
    granted = {c: r for c, r in election.replies.items() if r.granted}
    denied = any(r.leading for c, r in election.replies.items() if c in config.voters)
    enough = config.can_read(granted) and not denied
    if enough and not config.old.can_write(election.replies):
        enough = _can_do_with_fewer(t, config, waited)
    elif enough:
        s.short_since = None
    if not enough:
        if waited >= s.timing.request:
            # Where nobody objects, nobody competes either: the others are not there yet.
            give_up(t, back_off=len(granted) < len(election.replies))
        return
    silent = config.voters - election.replies.keys()
    if s.leader is not None:
        silent -= {s.leader.id}  # dead, resigned, or not heard for a lease: no answer is expected
    patience = s.timing.heartbeat // 2
    if silent and waited < patience:
        return
    # Who refuses may just not have heard yet that the leader is gone, and would stand against us a moment later.
    rivals = election.replies if waited < patience else granted
    order = promotion_order({c: r for c, r in rivals.items() if c in config.old.voters}, s.preferred)
    if order[:1] == [s.me] or waited >= patience + s.timing.request // 2:
        _prepare(t, election, config)


def _can_do_with_fewer(t: Turn, config: Config, waited: int) -> bool:
    s = t.state
    if s.short_since is None:
        if waited >= s.timing.request:
            s.short_since = t.now
        return False
    if shrink.is_long(t) and not shrink.record_fresh(t):
        shrink.look(t)
    return shrink.may_follow(t, config)


def promotion_order(granted: dict[CopyId, PreVoteReply], preferred: CopyId | None) -> list[CopyId]:
    """Aurora's order: lowest tier, then largest; then the least to catch up with.

    Copies whose newest WAL is of an older epoch come only when no instance has the newest one: they might hold a
    dead leader's tail, which would have to be rewound first.
    """
    able = {c: r for c, r in granted.items() if r.rank.can_lead and r.position is not None}
    newest = max((r.position.epoch for r in granted.values() if r.position is not None), default=0)

    def key(copy: CopyId) -> tuple[bool, bool, int, int, int, int]:
        reply = able[copy]
        position = reply.position or Position(0, 0)
        rank = reply.rank
        return (position.epoch < newest, copy != preferred, rank.tier, -rank.size, -position.lsn, rank.ordinal)

    return sorted(able, key=key)


def _prepare(t: Turn, election: Election, config: Config) -> None:
    """Take an epoch above all known ones, promise it to ourselves, and ask for the others' promises.

    The last attempt's own is taken again where it is the highest known and was not spent: see `State.unspent`.
    """
    s = t.state
    if s.me not in config.old.voters:
        t.persist(config=config)
        give_up(t, back_off=True)
        return
    seen = [s.durable.promised, config.key.epoch, *(r.promised for r in election.replies.values())]
    seen += [r.position.epoch for r in election.replies.values() if r.position is not None]
    epoch = s.unspent if s.unspent == max(seen) else next_epoch(max(seen), s.ordinal)
    t.persist(promised=epoch, config=config)
    s.unspent = epoch
    s.role, s.following, s.leader = Role.PREPARING, None, None
    s.election = replace(election, epoch=epoch, started=t.now, promises={})
    s.promising = (epoch, s.me)
    t.do(StopReceiver(epoch))
    for voter in sorted(config.voters - {s.me}):
        t.send(voter, Prepare(epoch))


def on_promise(t: Turn, sender: CopyId, promise: Promise) -> None:
    """Count it; a refusal by somebody who has promised a higher epoch ends the attempt."""
    s = t.state
    election = s.election
    if s.role != Role.PREPARING or election is None or promise.epoch != election.epoch:
        return
    if not promise.granted:
        if promise.promised >= election.epoch:
            s.unspent = 0
            give_up(t, back_off=True)
        return
    s.election = replace(election, promises={**election.promises, sender: promise})
    _check_elected(t)


def count_own_promise(t: Turn, promise: Promise) -> None:
    """Our own receiver is gone: our promise to ourselves counts now."""
    on_promise(t, t.state.me, promise)


def _check_elected(t: Turn) -> None:
    """With a read quorum of promises, ours among them, no commit is unknown: fetch what we lack, then promote."""
    s = t.state
    election = s.election
    assert election is not None  # noqa: S101 - PREPARING has one
    config = max((s.durable.config, *(p.config for p in election.promises.values())), key=lambda c: c.key)
    t.persist(config=config)
    if s.me not in config.old.voters:
        give_up(t, back_off=True)
        return
    if s.me not in election.promises or not config.can_read(election.promises):
        return
    positions = {c: p.position for c, p in election.promises.items() if p.position is not None}
    furthest = max(positions, key=lambda c: (positions[c], c))
    target = positions[furthest]
    if positions[s.me] >= target:
        _promote(t)
        return
    s.role = Role.FETCHING
    s.election = replace(election, target=target, beat=t.now)
    t.do(Fetch(election.epoch, furthest, target))
    t.beat(election.epoch, None, 0)


def on_fetched(t: Turn, event: Fetched) -> None:
    """Promote only with everything that any promiser had; else let somebody else try."""
    s = t.state
    election = s.election
    if s.role != Role.FETCHING or election is None or event.epoch != election.epoch or election.target is None:
        return
    if event.position is not None and event.position >= election.target:
        s.position = event.position
        _promote(t)
        return
    s.abstain_until = t.now + s.timing.lease
    give_up(t, back_off=True)


def _promote(t: Turn) -> None:
    s = t.state
    election = s.election
    assert election is not None  # noqa: S101 - only a candidate promotes
    s.role = Role.PROMOTING
    s.unspent = 0
    s.election = replace(election, beat=t.now)
    t.do(Promote(election.epoch, s.durable.config.sync_rule(s.me)))
    t.beat(election.epoch, None, 0)


def on_promoted(t: Turn, event: Promoted) -> None:
    """Lead, but let nobody in yet: `leader.on_replication` opens once W copies have reached the start."""
    s = t.state
    election = s.election
    if s.role != Role.PROMOTING or election is None or event.epoch != election.epoch:
        if event.start is not None:
            t.step_down()
        return
    s.election = None
    if event.start is None:
        if not event.begun:
            s.unspent = event.epoch
        s.role = Role.DOWN
        s.next_try = t.now + s.timing.request
        return
    s.role = Role.OPENING
    s.position = Position(event.epoch, event.start)
    s.leadership = Leadership(
        epoch=event.epoch,
        start=event.start,
        since=t.now,
        lsn=event.start,
        beat=t.now,
        recorded=t.now,
        synced=s.durable.config.key,
        sync_lsn=event.start,
    )
    t.beat(event.epoch, event.start, event.start)


def on_tick(t: Turn) -> None:
    """Time limits of each stage."""
    s = t.state
    election = s.election
    if s.role == Role.STANDBY:
        if s.promising is None:
            try_election(t)
    elif s.role == Role.PREVOTING:
        _ask_again(t)
        _consider(t)
    elif s.role == Role.PREPARING and election is not None:
        if t.now - election.started >= s.timing.request:
            give_up(t, back_off=True)
    elif s.role in (Role.FETCHING, Role.PROMOTING) and election is not None and _beat_due(t, election):
        s.election = replace(election, beat=t.now)
        t.beat(election.epoch, None, 0)


def _ask_again(t: Turn) -> None:
    """Who refused had not missed the leader yet; it may have by now. Who is silent may just be starting."""
    s = t.state
    replies = s.election.replies if s.election is not None else {}
    for voter in sorted(s.durable.config.voters - {s.me}):
        reply = replies.get(voter)
        if reply is None or not (reply.granted or reply.leading):
            t.send(voter, PreVote(s.attempt))


def _beat_due(t: Turn, election: Election) -> bool:
    return t.now - election.beat >= t.state.timing.heartbeat
