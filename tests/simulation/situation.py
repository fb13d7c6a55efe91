"""One moment of a small cluster around the real core, as a value: what `exhaustive` searches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tests.simulation.checker import ViolationError

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.membership import record_allows
from aurora_operator.consensus.messages import Heartbeat, HeartbeatAck, Message, PreVote, PreVoteReply, Resigned
from aurora_operator.consensus.state import State, Timing
from aurora_operator.consensus.step import step
from aurora_operator.consensus.types import NO_CONFIG, NO_KEY, Config, ConfigKey, Position, SyncRule

COPIES = ("a/1", "b/1", "c/1")
TIMING = Timing()
DIGESTS: dict[int, tuple[State, int]] = {}
EAGER = (PreVote, PreVoteReply, HeartbeatAck, Resigned)
Entry: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Log:
    """One copy's PostgreSQL."""

    entries: tuple[Entry, ...]
    up: bool = True
    upstream: int | None = None
    epoch: int | None = None
    open: bool = False
    rule: SyncRule | None = None
    flushed: tuple[int, ...] = (0, 0, 0)
    instance: bool = True
    """Else a log copy."""

    def position(self) -> Position:
        """End of the log."""
        return Position(self.entries[-1][0], len(self.entries))

    def common(self, other: Log) -> int:
        """Length of the common beginning."""
        pairs = zip(self.entries, other.entries, strict=False)
        return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(self.entries), len(other.entries)))


@dataclass(frozen=True, slots=True)
class Budget:
    """What may still happen."""

    writes: int = 2
    crashes: int = 1
    heals: int = 1
    leases: tuple[int, ...] = (0, 1, 1)
    requests: tuple[int, ...] = (0, 1, 1)
    lost: int = 0
    """Answers of the API server, which may have done what it was asked."""


@dataclass(slots=True)
class Situation:
    """Everything at one moment; copied before it is changed."""

    states: list[State]
    clocks: list[int]
    logs: list[Log]
    messages: frozenset[tuple[int, int, Message]] = frozenset()
    tasks: frozenset[tuple[int, ev.Effect]] = frozenset()
    cut: bool = True
    """Whether the agent of copy 0 is cut off."""
    safe: tuple[Entry, ...] = ()
    """What was acknowledged or shown: no later leader may lack it."""
    leaders: frozenset[int] = frozenset()
    floor: ConfigKey = NO_KEY
    """Leaders that work with an older membership may lack commits: they never open."""
    budget: Budget = field(default_factory=Budget)
    record: Config = NO_CONFIG
    """What the API server holds; it does not answer where it holds nothing."""
    record_epoch: int = 0

    def copy(self) -> Situation:
        """To be changed."""
        return replace(self, states=self.states[:], clocks=self.clocks[:], logs=self.logs[:])

    def key(self) -> int:
        """Tells it from all others (64 bits of it)."""
        return hash(
            (
                *(tuple(map(_digest, self.states)), tuple(self.clocks), tuple(self.logs), self.messages, self.tasks),
                *(self.cut, self.safe, self.leaders, self.floor, self.budget, self.record, self.record_epoch),
            )
        )

    # --- steps of the core -----------------------------------------------------------------------------------------

    def happen(self, copy: int, event: ev.Event) -> None:
        """Let the core see it; begin its effects, and at once end those that nothing can come between."""
        self.states[copy], effects = step(self.states[copy], self.clocks[copy], event)
        for effect in effects:
            self.begin(copy, effect)

    def begin(self, copy: int, effect: ev.Effect) -> None:
        """Carry an effect out, or note that it is under way."""
        match effect:
            case ev.Send(to, message):
                self.send(copy, COPIES.index(to), message)
            case ev.Broadcast(message):
                for other in range(len(self.states)):
                    if other != copy:
                        self.send(copy, other, message)
            case ev.StopReceiver() | ev.Follow() | ev.Fetch():
                self.cancel(copy, ev.StopReceiver, ev.Follow, ev.Fetch)
                self.tasks |= {(copy, effect)}
            case ev.Promote() | ev.StopPostgres() | ev.SetSync():
                self.tasks |= {(copy, effect)}
            case ev.ReadRecord() if self.record != NO_CONFIG:
                self.finish(copy, effect)  # at once: it is the writing that decides
            case ev.WriteRecord() if self.record != NO_CONFIG:
                self.tasks |= {(copy, effect)}
            case ev.Open(epoch):
                if self.logs[copy].epoch == epoch and self.logs[copy].up:
                    first = next(i for i, entry in enumerate(self.logs[copy].entries) if entry[0] == epoch)
                    self.protect(copy, first + 1, "opens")
                    self.logs[copy] = replace(self.logs[copy], open=True)
                    self.release(copy)

    def send(self, source: int, to: int, message: Message) -> None:
        """On its way, unless the link is cut; what promises nothing arrives at once."""
        if self.cut and 0 in (source, to):
            return
        if isinstance(message, EAGER):
            self.happen(to, ev.Received(COPIES[source], message))
            return
        if isinstance(message, Heartbeat):
            # An older one that is still under way would change nothing that the newer one does not.
            self.messages = frozenset(
                m for m in self.messages if m[:2] != (source, to) or not isinstance(m[2], Heartbeat)
            )
        self.messages |= {(source, to, message)}

    def cancel(self, copy: int, *kinds: type) -> None:
        """Forget what is under way."""
        self.tasks = frozenset(t for t in self.tasks if t[0] != copy or not isinstance(t[1], kinds))

    # --- PostgreSQL ------------------------------------------------------------------------------------------------

    def protect(self, copy: int, length: int, doing: str) -> None:
        """These entries are durable for somebody: they must go on from what is so already."""
        entries = self.logs[copy].entries
        if length:
            self.floor = max(self.floor, self.states[copy].durable.config.floor)
        if entries[: len(self.safe)] != self.safe:
            raise ViolationError(f"{COPIES[copy]} {doing} with {entries} without {self.safe}")
        if length > len(self.safe):
            self.safe = entries[:length]

    def stop(self, copy: int) -> None:
        """PostgreSQL is down, and its connections with it."""
        self.tasks = frozenset(task for task in self.tasks if task[0] != copy)
        self.logs[copy] = Log(self.logs[copy].entries, up=False, instance=self.logs[copy].instance)
        self.logs = [replace(log, upstream=None) if log.upstream == copy else log for log in self.logs]

    def acknowledge(self, copy: int) -> None:
        """A standby's acknowledgement reaches its upstream: commits are released, the leader's core looks."""
        source = self.logs[copy].upstream
        assert source is not None
        log = self.logs[source]
        flushed = list(log.flushed)
        flushed[copy] = self.logs[copy].common(log)
        self.logs[source] = replace(log, flushed=tuple(flushed))
        self.release(source)
        self.look(source)

    def write(self, copy: int) -> None:
        """A client commits, and waits."""
        log = self.logs[copy]
        self.logs[copy] = replace(log, entries=(*log.entries, (log.epoch or 0, len(log.entries))))
        self.release(copy)

    def release(self, copy: int) -> None:
        """Tell clients of the commits that satisfy the rule."""
        log = self.logs[copy]
        if log.epoch is None or log.rule is None or not log.open:
            return
        lengths = sorted((log.flushed[COPIES.index(name)] for name in log.rule.names), reverse=True)
        limit = lengths[log.rule.need - 1] if log.rule.need else len(log.entries)
        if limit > len(self.safe) or self.safe[:limit] != log.entries[: len(self.safe)][:limit]:
            self.protect(copy, limit, "acknowledges")

    def look(self, copy: int) -> None:
        """The leader's agent reads pg_stat_replication."""
        log = self.logs[copy]
        if log.epoch is not None and log.up:
            flushed = {COPIES[i]: length for i, length in enumerate(log.flushed) if length}
            self.happen(copy, ev.Replication(log.epoch, flushed, len(log.entries)))

    def finish(self, copy: int, task: ev.Effect) -> None:
        """What was under way is done."""
        self.tasks -= {(copy, task)}
        log = self.logs[copy]
        match task:
            case ev.StopReceiver(epoch):
                self.logs[copy] = replace(log, upstream=None)
                self.happen(copy, ev.ReceiverStopped(epoch, log.position()))
            case ev.Follow(leader):
                source = COPIES.index(leader)
                # A log copy keeps a history's files until another has something new for it.
                kept = log.entries[: log.common(self.logs[source])] if log.instance else log.entries
                self.logs[copy] = replace(log, entries=kept, upstream=source)
            case ev.Fetch(epoch, name, target):
                other = self.logs[COPIES.index(name)]
                if not other.instance and log.common(other) < len(log.entries):
                    self.happen(copy, ev.Fetched(epoch, None))
                    return
                self.logs[copy] = replace(log, entries=other.entries[: target.lsn], upstream=None)
                self.happen(copy, ev.Fetched(epoch, self.logs[copy].position()))
            case ev.Promote(epoch, rule):
                if not log.instance:
                    raise ViolationError(f"{COPIES[copy]}, a log copy, is promoted")
                if epoch in self.leaders:
                    raise ViolationError(f"two leaders of epoch {epoch}")
                self.leaders |= {epoch}
                entries = (*log.entries, (epoch, 0))
                self.logs[copy] = Log(entries, epoch=epoch, rule=rule)
                if epoch == max(self.leaders) and self.states[copy].durable.config.key >= self.floor:
                    self.protect(copy, 0, f"is promoted to {epoch}")
                self.happen(copy, ev.Promoted(epoch, len(entries)))
                self.look(copy)
            case ev.StopPostgres():
                self.stop(copy)
                self.happen(copy, ev.PostgresDown())
                self.restart(copy)
            case ev.SetSync(key, rule):
                if log.epoch is not None:
                    self.logs[copy] = replace(log, rule=rule)
                    self.release(copy)
                    self.happen(copy, ev.SyncInForce(key, len(log.entries)))
            case ev.WriteRecord():
                done = self.write_record(task)
                self.happen(copy, ev.RecordWritten(task.after.key, done, None if done else self.record))
            case ev.ReadRecord(asked):
                self.happen(copy, ev.RecordSeen(asked, self.record_epoch, self.record))

    def write_record(self, wish: ev.WriteRecord) -> bool:
        """Compare and swap."""
        if not record_allows(wish, self.record_epoch, self.record.key):
            return False
        self.record, self.record_epoch = wish.after, wish.epoch
        return True

    def lose_answer(self, copy: int, wish: ev.WriteRecord, *, done: bool) -> None:
        """The API server does not say whether it did it."""
        self.tasks -= {(copy, wish)}
        if done:
            self.write_record(wish)
        self.happen(copy, ev.RecordWritten(wish.after.key, False))

    def restart(self, copy: int) -> None:
        """PostgreSQL comes up as a standby."""
        self.logs[copy] = Log(self.logs[copy].entries, instance=self.logs[copy].instance)
        self.happen(copy, ev.PostgresUp(self.logs[copy].position()))


def _digest(state: State) -> int:
    known = DIGESTS.get(id(state))
    if known is not None and known[0] is state:
        return known[1]
    election, led = state.election, state.leadership
    digest = hash(
        (
            *(state.durable, state.quiet_until, state.role, state.position, state.leader, state.following),
            *(state.promising, state.preferred, state.next_try, state.attempt, state.abstain_until),
            *(state.short_since, state.record_seen, state.record_asked, state.given, state.unspent),
            election
            and (
                *(election.attempt, election.started, election.epoch, election.target, election.beat),
                *(frozenset(election.replies.items()), frozenset(election.promises.items())),
            ),
            led
            and (
                *(led.epoch, led.since, led.lsn, led.beat, led.preferred, led.proposal, led.recorded, led.version),
                *(led.synced, led.sync_lsn, led.sync_asked, led.sync_asked_at),
                *(frozenset(led.peers.items()), frozenset(led.flushed.items())),
            ),
        )
    )
    DIGESTS[id(state)] = (state, digest)
    return digest
