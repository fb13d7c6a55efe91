"""What a copy knows, and the working context of one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Final

from aurora_operator.consensus.events import Broadcast, Durable, Effect, Persist, Send, StopPostgres, Wanted
from aurora_operator.consensus.messages import Heartbeat, Message, PreVoteReply, Promise, Rank
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position


class Role(StrEnum):
    """What a copy is doing in the consensus."""

    DOWN = "down"
    """PostgreSQL is not there: promises nothing, stands for nothing."""
    STANDBY = "standby"
    PREVOTING = "prevoting"
    """Asks, without side effects, whether the others would promise."""
    PREPARING = "preparing"
    """Collects promises for an epoch."""
    FETCHING = "fetching"
    """Elected; receives from the furthest promiser what it lacks."""
    PROMOTING = "promoting"
    OPENING = "opening"
    """Promoted; waits for a write quorum on its timeline before it lets clients in."""
    LEADING = "leading"
    RESIGNING = "resigning"
    """A switchover: PostgreSQL is stopping."""


PROMOTED: Final = frozenset({Role.OPENING, Role.LEADING, Role.RESIGNING})
ELECTED: Final = PROMOTED | {Role.FETCHING, Role.PROMOTING}
ELECTING: Final = frozenset({Role.PREVOTING, Role.PREPARING, Role.FETCHING})


@dataclass(frozen=True, slots=True)
class Timing:
    """The periods, in milliseconds of a monotonic clock."""

    heartbeat: int = 500
    lease: int = 3000
    request: int = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """The leader (or the candidate that we promised) as we know it: alive until `until` unless it said otherwise."""

    id: CopyId
    epoch: int
    until: int
    alive: bool = True
    relying: bool = False
    """It leads, and we have acknowledged a heartbeat: it may serve reads until then."""

    def lives(self, now: int) -> bool:
        """Whether it was heard within the lease (now in ms), and has neither resigned nor died."""
        return self.alive and now < self.until


@dataclass(frozen=True, slots=True)
class Election:
    """An attempt to become leader. `epoch` and `target` come with its later stages."""

    attempt: int
    started: int
    epoch: int = 0
    replies: Mapping[CopyId, PreVoteReply] = field(default_factory=dict)
    promises: Mapping[CopyId, Promise] = field(default_factory=dict)
    target: Position | None = None
    beat: int = 0


@dataclass(frozen=True, slots=True)
class Peer:
    """A member as its acknowledgements show it to the leader."""

    sent: int
    """When the newest heartbeat that it acknowledged was sent (ms)."""
    config: ConfigKey
    rank: Rank
    refusing_since: int | None = None
    """Since when it refuses us, having promised a higher epoch."""
    free_from: int = 0
    """From when on no leader of an earlier epoch relies on it (ms)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A membership on its way into the record."""

    config: Config
    at: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Leadership:
    """What only a leader knows."""

    epoch: int
    start: int
    since: int
    lsn: int
    beat: int
    synced: ConfigKey
    """The membership whose rule PostgreSQL obeys."""
    sync_lsn: int
    """Where the WAL was when it began to."""
    sync_asked: ConfigKey | None = None
    sync_asked_at: int = 0
    peers: Mapping[CopyId, Peer] = field(default_factory=dict)
    flushed: Mapping[CopyId, int] = field(default_factory=dict)
    proposal: Proposal | None = None
    recorded: int = 0
    """When the record last took a membership of this leader's (ms); its promotion, before."""
    version: int = 0
    """The newest version that was proposed in this epoch."""
    preferred: CopyId | None = None


@dataclass(slots=True)
class State:
    """A copy's whole state. Treat it as a value: `step` copies it and never changes what it was given."""

    me: CopyId
    ordinal: int
    instance: bool
    """Whether it can lead at all; a log copy cannot."""
    timing: Timing
    durable: Durable
    quiet_until: int
    """Until then a leader of an epoch before `leader`'s may rely on this copy. One that has just started may have
    acknowledged a heartbeat that it no longer remembers."""
    role: Role = Role.DOWN
    position: Position | None = None
    leader: Known | None = None
    following: tuple[CopyId, int] | None = None
    promising: tuple[int, CopyId] | None = None
    """A persisted promise whose answer waits for the WAL receiver to be gone."""
    election: Election | None = None
    leadership: Leadership | None = None
    wanted: Wanted | None = None
    preferred: CopyId | None = None
    given: tuple[int, CopyId] | None = None
    """The newest promise and whom it was given to; None after a start. Who was given it may ask for it again."""
    unspent: int = 0
    """The epoch of an attempt of this copy's that has failed, or goes on, without a promotion that may have begun; 0
    where there is none. The next attempt takes it again while it is the highest that anybody tells of, so that attempts
    that fail one after the other take one number together.

    The invariant: an epoch is led once at most, by the copy that it belongs to. What follows for a number that is taken
    again: its candidate has ordered no promotion onto it, in this life of its agent or (it takes none over from an
    earlier one) in another; and a promise of it, whichever attempt it answers, still says all that it said. For who
    promised it has acknowledged nothing to lower epochs since, and to this one there was nothing to acknowledge.
    """
    next_try: int = 0
    attempt: int = 0
    short_since: int | None = None
    """Since when this copy knows of no write quorum (ms): as a leader by who streams, as a candidate by who answers."""
    record_asked: int = 0
    record_seen: int | None = None
    """When the newest reading of the record was begun (ms) that found this copy's membership there."""
    abstain_until: int = 0
    """Stands for no election until then: it has just resigned, or could not catch up."""


_values: Final = attrgetter(*(f.name for f in fields(State)))


class Turn:
    """One step under way: the copied state, the time, and the effects so far."""

    __slots__ = ("effects", "now", "state")

    def __init__(self, state: State, now: int) -> None:
        self.state = State(*_values(state))
        self.now = now
        self.effects: list[Effect] = []

    def do(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def send(self, to: CopyId, message: Message) -> None:
        """Send one message."""
        self.effects.append(Send(to, message))

    def persist(self, promised: int | None = None, config: Config | None = None) -> None:
        """Make a promise or a membership durable, if it is new. Neither ever goes back."""
        durable = self.state.durable
        new = Durable(
            promised=durable.promised if promised is None else max(durable.promised, promised),
            config=config if config is not None and config.key > durable.config.key else durable.config,
        )
        if new != durable:
            self.state.durable = new
            self.effects.append(Persist(new))

    def rank(self) -> Rank:
        """This copy's place in the promotion order."""
        s = self.state
        wanted = s.wanted
        return Rank(
            can_lead=s.instance
            and (wanted is None or wanted.stands)
            and self.now >= s.abstain_until
            and s.position is not None
            and s.role != Role.DOWN,
            tier=15 if wanted is None else wanted.tier,
            size=0 if wanted is None else wanted.size,
            ordinal=s.ordinal,
        )

    def leader_alive(self) -> bool:
        """Whether some leader may still rely on this copy: only when not may it promise."""
        s = self.state
        if s.role in ELECTED:
            return True
        return self.bound() > 0 or (s.leader is not None and s.leader.lives(self.now))

    def bound(self) -> int:
        """For how long (ms) a leader of an epoch before the known one's may rely on this copy."""
        s = self.state
        return max(s.quiet_until - self.now, 0) if s.durable.config.voters != {s.me} else 0

    def follow(self, known: Known) -> None:
        """Another leader, or the same one again. What an earlier one may rely on is not forgotten."""
        s = self.state
        old = s.leader
        if old is not None and old.epoch < known.epoch and old.alive and old.relying:
            s.quiet_until = max(s.quiet_until, old.until)
        s.leader = known

    def beat(self, epoch: int, start: int | None, lsn: int) -> None:
        """Send everybody a heartbeat."""
        self.do(Broadcast(Heartbeat(epoch, self.now, self.state.durable.config, start, lsn)))

    def withdraw(self) -> None:
        """Be a standby that stands for nothing and has promised nothing that is not answered."""
        s = self.state
        s.role, s.election, s.promising, s.following = Role.STANDBY, None, None, None

    def learn(self, config: Config) -> None:
        """A membership that somebody knows. One that a shrink or a force has come to ends what was begun without it:
        a leader that was elected by the quorums of before cannot know of commits by those of after."""
        s = self.state
        before = s.durable.config
        self.persist(config=config)
        if config.key <= before.key:
            return
        later = s.leadership is not None and config.key.epoch > s.leadership.epoch
        if config.floor <= before.key and s.me in config.voters and not later:
            return
        s.unspent = 0
        if s.role in PROMOTED or s.role == Role.PROMOTING:
            self.step_down()
        elif s.role in ELECTING:
            self.withdraw()

    def step_down(self) -> None:
        """Stop leading at once. Peers hear of it when PostgreSQL is gone."""
        s = self.state
        s.role, s.election, s.following, s.promising = Role.DOWN, None, None, None
        self.do(StopPostgres("immediate"))
