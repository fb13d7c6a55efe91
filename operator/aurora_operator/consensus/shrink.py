"""Rule 6 when a write quorum is lost: shrink the membership to the copies that are left, as the record decides.

Both halves of a cluster can have a read quorum, and so a leader. The first to write its step into the record goes on;
nobody follows the other any more. The step is a joint one, but those who are lost cannot hold it. Instead every copy
that stays must: any write quorum of before contains one of these, and it follows no leader that works without the
step. Reads are the other danger: a leader without a write quorum serves them only while it finds the record
unchanged, and the step takes a lease longer than that.
"""

from __future__ import annotations

from dataclasses import replace

from aurora_operator.consensus.events import ReadRecord, RecordSeen
from aurora_operator.consensus.state import PROMOTED, Leadership, Role, State, Turn
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Quorum, majority


def heard(t: Turn, led: Leadership, within: int) -> set[CopyId]:
    """The voters, ourselves included, that acknowledged a heartbeat sent within so many ms; at first, all.

    Half a heartbeat period is left for noticing, for ending the sessions, and for clocks that differ in speed.
    """
    s = t.state
    since = t.now - within + s.timing.heartbeat // 2
    voters = s.durable.config.voters
    return {c for c in voters if c == s.me or (led.peers[c].sent if c in led.peers else led.since) > since}


def hears_write_quorum(s: State, now: int) -> bool:
    """Whether this is a leader that no other half can have given up."""
    t, led = Turn(s, now), s.leadership
    return led is not None and s.durable.config.old.can_write(heard(t, led, s.timing.lease))


def serving(t: Turn, led: Leadership) -> frozenset[CopyId]:
    """The voters that are heard, stream, and refuse nothing, ourselves included."""
    s = t.state
    there = {c for c in heard(t, led, s.timing.lease) if c in led.flushed}
    return frozenset({s.me, *(c for c in there if c not in led.peers or led.peers[c].refusing_since is None)})


def watch(t: Turn, led: Leadership) -> None:
    """Note since when a write quorum is missing; look at the record before that matters to readers."""
    s = t.state
    config = s.durable.config
    if config.can_write(serving(t, led)):
        s.short_since = None
    elif s.short_since is None:
        s.short_since = t.now
    if s.role == Role.LEADING and not config.old.can_write(heard(t, led, s.timing.lease // 2)):
        look(t)


def look(t: Turn) -> None:
    """Ask for the record, once a heartbeat period at most."""
    s = t.state
    if t.now - s.record_asked >= s.timing.heartbeat:
        s.record_asked = t.now
        t.do(ReadRecord(t.now))


def record_fresh(t: Turn) -> bool:
    """Whether the record held our membership within the lease."""
    s = t.state
    return s.record_seen is not None and s.record_seen > t.now - s.timing.lease + s.timing.heartbeat // 2


def is_long(t: Turn) -> bool:
    """Whether a write quorum has been missing for long enough to give up those who are missing."""
    s = t.state
    return s.short_since is not None and t.now - s.short_since >= delay(s)


def delay(s: State) -> int:
    """For how long (ms) a lost copy is waited for."""
    return 60_000 if s.wanted is None else s.wanted.repair_delay


def proposal(t: Turn, led: Leadership, key: ConfigKey) -> Config | None:
    """The step to those who are left, if it is time and they are enough to know every commit."""
    s = t.state
    config = s.durable.config
    left = serving(t, led)
    if t.now - led.since < delay(s) and config.old.can_write(heard(t, led, s.timing.lease)):
        return None  # just elected: they are there, and have yet to begin to stream
    if config.new is not None or not is_long(t) or config.can_write(left) or not config.can_read(left):
        return None
    return replace(config, key=key, new=Quorum(left, majority(len(left))), floor=key)


def can_end(t: Turn, led: Leadership, step: Config) -> bool:
    """Whether the step may end with those who stay: every one of them holds it, has all commits, and no leader of
    before serves reads."""
    s = t.state
    if step.new is None or t.now - led.recorded < s.timing.lease:
        return False
    for copy in step.new.voters - {s.me}:
        peer = led.peers.get(copy)
        if peer is None or peer.config < step.key or peer.refusing_since is not None or peer.free_from > t.now:
            return False
        if led.flushed.get(copy, 0) < led.sync_lsn:
            return False
    return True


def may_follow(t: Turn, config: Config) -> bool:
    """Whether a candidate that reaches no write quorum may stand all the same: it could shrink the membership."""
    return is_long(t) and config.key == t.state.durable.config.key and record_fresh(t)


def on_record_seen(t: Turn, event: RecordSeen) -> None:
    """Unchanged: reads may go on, or a candidate may stand. Changed: others have decided, without us."""
    s = t.state
    led, config, held = s.leadership, s.durable.config, event.held
    if s.role in (Role.PREPARING, Role.FETCHING, Role.PROMOTING):
        return
    if s.role in PROMOTED and led is not None:
        ours = held is not None and (held.key == config.key or held.key.epoch == led.epoch)
        if event.epoch > led.epoch or (held is not None and held.key > config.key and not ours):
            if held is not None:
                t.learn(held)
            if s.role in PROMOTED:
                t.step_down()
            return
    else:
        ours = held is not None and held.key == config.key
        if held is not None:
            t.learn(held)
    if ours:
        s.record_seen = max(event.asked, s.record_seen or event.asked)
