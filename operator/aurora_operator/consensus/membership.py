"""Rule 6: changing who votes, by a compare-and-swap of the record and a joint step.

One change at a time: the joint membership goes into the record, then to the copies, and only when a write quorum of
the old and of the new has it on disk does PostgreSQL's setting change. When a write quorum of the new then has
everything committed before that, the final membership takes the same way.
"""

from __future__ import annotations

from dataclasses import replace

from aurora_operator.consensus import shrink
from aurora_operator.consensus.events import RecordWritten, SetSync, SyncInForce, WriteRecord
from aurora_operator.consensus.state import PROMOTED, Leadership, Proposal, Role, State, Turn
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Quorum, majority, name_of

CAUGHT_UP_BYTES = 16 << 20
"""How far behind a copy may be to join the vote, or to take over in a switchover: one WAL segment."""


def advance(t: Turn) -> None:
    """Take the next step towards the membership that is wanted, if one can be taken now."""
    s = t.state
    led = s.leadership
    if led is None or s.role not in (Role.OPENING, Role.LEADING):
        return
    config = s.durable.config
    if led.proposal is not None and not _expired(t, led.proposal):
        return
    if config.new is not None and _in_vain(t, led, config, config.new):
        # Every commit has its old quorum, with the joint rule in force or before.
        _propose(t, led, config.settled(_next_key(led, config), config.old))
        return
    step = shrink.proposal(t, led, _next_key(led, config))
    if step is not None:
        _propose(t, led, step)
        return
    if config.key != led.synced:
        waiting = led.sync_asked == config.key and t.now - led.sync_asked_at < 2 * s.timing.request
        if _held_by_enough(s, led, config) and not waiting:
            s.leadership = replace(led, sync_asked=config.key, sync_asked_at=t.now)
            t.do(SetSync(config.key, config.sync_rule(s.me)))
        return
    if config.shrinking:
        if config.new is not None and shrink.can_end(t, led, config):
            _propose(t, led, config.settled(_next_key(led, config), config.new))
        return
    if s.role != Role.LEADING:
        return
    if config.new is not None:
        flushed = {s.me, *(c for c, lsn in led.flushed.items() if lsn >= led.sync_lsn)}
        if config.can_write(flushed):
            # Both sides hold every commit, so the step may end in either: a leader ends it where it stays a voter.
            end = config.new if s.me in config.new.voters else config.old
            _propose(t, led, config.settled(_next_key(led, config), end))
        return
    target = next_quorum(t, led)
    if target is not None:
        _propose(t, led, config.joint(_next_key(led, config), target))


def _in_vain(t: Turn, led: Leadership, step: Config, new: Quorum) -> bool:
    """Whether a joint step should be given up: who was to join has gone again, or who was lost is back.

    One that cannot commit for as long as a lost copy is waited for is in the way of giving that one up.
    """
    s = t.state
    if step.old.write < majority(len(step.old.voters)):
        return False  # forced: its old side would let one copy commit alone
    if not new.can_write(shrink.heard(t, led, 2 * s.timing.lease)):
        return True
    if step.shrinking:
        # Each of those who stay must hold it; without one of them it could only be waited for.
        missing = not new.voters <= shrink.heard(t, led, max(2 * s.timing.lease, shrink.delay(s)))
        return s.me not in new.voters or missing or step.old.can_write(shrink.serving(t, led))
    return shrink.is_long(t)


def _held_by_enough(s: State, led: Leadership, config: Config) -> bool:
    """Whether no election can miss this membership any more."""
    holders = {s.me, *(c for c, p in led.peers.items() if p.config >= config.key)}
    if config.shrinking and config.new is not None:
        return config.new.voters <= holders
    return config.can_write(holders)


def _expired(t: Turn, proposal: Proposal) -> bool:
    return t.now - proposal.at >= t.state.timing.request * (1 if proposal.failed else 5)


def _next_key(led: Leadership, config: Config) -> ConfigKey:
    """Never one that was proposed before: a late answer must not be taken for another proposal's."""
    return ConfigKey(led.epoch, max(config.key.version, led.version) + 1)


def _propose(t: Turn, led: Leadership, config: Config) -> None:
    s = t.state
    s.leadership = replace(led, proposal=Proposal(config, t.now), version=config.key.version)
    t.do(WriteRecord(led.epoch, s.durable.config.key, config))


def next_quorum(t: Turn, led: Leadership) -> Quorum | None:
    """The next single change towards the wanted voters: one copy joins, leaves, or replaces its own lost volume.

    None when all is as wanted, or when a step would leave the writer without a write quorum of streaming copies.
    """
    s = t.state
    wanted, config = s.wanted, s.durable.config
    if wanted is None:
        return None
    voters = config.old.voters
    # PostgreSQL shows a connection for long after the other side has gone.
    alive = {c for c, p in led.peers.items() if p.sent > t.now - s.timing.lease}
    streaming = {s.me, *(c for c, lsn in led.flushed.items() if lsn + CAUGHT_UP_BYTES >= led.lsn and c in alive)}
    present = {name_of(c): c for c in led.peers if c in streaming}
    ready = {c for name, c in present.items() if name in wanted.voters and led.peers[c].refusing_since is None}
    joining = sorted(ready - voters)
    leaving = sorted(c for c in voters if c != s.me and name_of(c) not in wanted.voters)
    lost = sorted(c for c in voters if c != s.me and present.get(name_of(c), c) != c)
    options: list[frozenset[CopyId]] = []
    for copy in joining:
        old = {c for c in lost if name_of(c) == name_of(copy)}
        options.append((voters - old) | {copy})
    options += [voters - {copy} for copy in (*lost, *leaving)]
    options += [voters] if _wanted_write(s, voters) != config.old.write else []
    for option in options:
        quorum = Quorum(option, _wanted_write(s, option))
        if _safe(s, config, quorum, streaming):
            return quorum
    return None


def _wanted_write(s: State, voters: frozenset[CopyId]) -> int:
    """W for these voters: what was asked for, if they are the ones that it was asked for; else a majority."""
    wanted = s.wanted
    if wanted is None or {name_of(c) for c in voters} != wanted.voters:
        return majority(len(voters))
    return min(max(wanted.write_quorum, majority(len(voters))), len(voters))


def _safe(s: State, config: Config, quorum: Quorum, streaming: set[CopyId]) -> bool:
    """Whether the copies that stream now can keep commits flowing through the joint step and after it."""
    joint = config.joint(config.key, quorum)
    rule = joint.sync_rule(s.me)
    enough = len(streaming.intersection(rule.names)) >= rule.need
    return enough and joint.can_write(streaming)


def is_settled(s: State) -> bool:
    """Whether no change of membership is wanted or under way, as far as a leader knows."""
    led, wanted, config = s.leadership, s.wanted, s.durable.config
    if led is None or wanted is None or led.proposal is not None or config.new is not None:
        return False
    as_wanted = {name_of(c) for c in config.voters} == wanted.voters and config.voters <= led.peers.keys() | {s.me}
    return as_wanted and led.synced == config.key and config.old.write == _wanted_write(s, config.voters)


def on_record_written(t: Turn, event: RecordWritten) -> None:
    """The record holds the membership: spread it. If it holds another that we did not know, then that. Else try
    again later, from what we know then."""
    s = t.state
    led = s.leadership
    if led is None or led.proposal is None or led.proposal.config.key != event.key or s.role not in PROMOTED:
        return
    if not event.ok and (event.held is None or event.held.key <= s.durable.config.key):
        s.leadership = replace(led, proposal=replace(led.proposal, at=t.now, failed=True))
        return
    if event.ok or event.held is None or event.held.key.epoch == led.epoch:
        # Or an answer of ours was lost, and that one counts.
        config = led.proposal.config if event.ok or event.held is None else event.held
        t.persist(config=config)
        s.leadership = replace(led, proposal=None, beat=t.now, recorded=t.now)
    else:
        config = event.held
        t.learn(config)
        if s.role not in PROMOTED:
            return
        s.leadership = replace(led, proposal=None, beat=t.now)
    t.beat(led.epoch, led.start, led.lsn)
    if s.me in config.voters:
        advance(t)
    else:
        t.step_down()


def record_allows(wish: WriteRecord, epoch: int, held: ConfigKey | None) -> bool:
    """Whether a record of this epoch that holds this membership (None: none yet) may become what is wished.

    A record that was lost, or comes from a backup, cannot decide between two halves: no shrink by it.
    """
    if epoch > wish.epoch:
        return False
    return held == wish.before if wish.after.shrinking else held is None or held <= wish.before


def on_sync_in_force(t: Turn, event: SyncInForce) -> None:
    """PostgreSQL obeys the membership from here on."""
    s = t.state
    led = s.leadership
    if led is None or event.key != s.durable.config.key:
        return
    s.leadership = replace(led, synced=event.key, sync_lsn=event.lsn)
    advance(t)
