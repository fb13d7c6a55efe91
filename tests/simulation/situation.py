"""One moment of a small cluster around the real core, as a value: what `exhaustive` searches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tests.simulation.checker import ViolationError

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import Heartbeat, HeartbeatAck, Message, PreVote, PreVoteReply, Resigned
from aurora_operator.consensus.state import State, Timing
from aurora_operator.consensus.step import step
from aurora_operator.consensus.types import Position, SyncRule

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
    budget: Budget = field(default_factory=Budget)

    def copy(self) -> Situation:
        """To be changed."""
        return replace(self, states=self.states[:], clocks=self.clocks[:], logs=self.logs[:])

    def key(self) -> int:
        """Tells it from all others (64 bits of it)."""
        return hash(
            (
                *(tuple(map(_digest, self.states)), tuple(self.clocks), tuple(self.logs), self.messages, self.tasks),
                *(self.cut, self.safe, self.leaders, self.budget),
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
                for other in range(len(COPIES)):
                    if other != copy:
                        self.send(copy, other, message)
            case ev.StopReceiver() | ev.Follow() | ev.Fetch():
                self.cancel(copy, ev.StopReceiver, ev.Follow, ev.Fetch)
                self.tasks |= {(copy, effect)}
            case ev.Promote() | ev.StopPostgres():
                self.tasks |= {(copy, effect)}
            case ev.Open(epoch):
                if self.logs[copy].epoch == epoch and self.logs[copy].up:
                    first = next(i for i, entry in enumerate(self.logs[copy].entries) if entry[0] == epoch)
                    self.protect(copy, first + 1, "opens")
                    self.logs[copy] = replace(self.logs[copy], open=True)

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
        if entries[: len(self.safe)] != self.safe:
            raise ViolationError(f"{COPIES[copy]} {doing} with {entries} without {self.safe}")
        if length > len(self.safe):
            self.safe = entries[:length]

    def stop(self, copy: int) -> None:
        """PostgreSQL is down, and its connections with it."""
        self.tasks = frozenset(task for task in self.tasks if task[0] != copy)
        self.logs[copy] = Log(self.logs[copy].entries, up=False)
        self.logs = [replace(log, upstream=None) if log.upstream == copy else log for log in self.logs]

    def acknowledge(self, copy: int) -> None:
        """A standby's acknowledgement reaches its upstream: commits are released, the leader's core looks."""
        source = self.logs[copy].upstream
        assert source is not None
        log = self.logs[source]
        flushed = list(log.flushed)
        flushed[copy] = len(self.logs[copy].entries)
        self.logs[source] = log = replace(log, flushed=tuple(flushed))
        if log.epoch is None or log.rule is None:
            return
        if log.open:
            lengths = sorted((flushed[COPIES.index(name)] for name in log.rule.names), reverse=True)
            limit = lengths[log.rule.need - 1] if log.rule.need else len(log.entries)
            if limit > len(self.safe) or self.safe[:limit] != log.entries[: len(self.safe)][:limit]:
                self.protect(source, limit, "acknowledges")
        self.look(source)

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
                kept = log.entries[: log.common(self.logs[source])]
                self.logs[copy] = replace(log, entries=kept, upstream=source)
            case ev.Fetch(epoch, name, target):
                other = self.logs[COPIES.index(name)].entries[: target.lsn]
                self.logs[copy] = replace(log, entries=other, upstream=None)
                self.happen(copy, ev.Fetched(epoch, self.logs[copy].position()))
            case ev.Promote(epoch, rule):
                if epoch in self.leaders:
                    raise ViolationError(f"two leaders of epoch {epoch}")
                self.leaders |= {epoch}
                entries = (*log.entries, (epoch, 0))
                self.logs[copy] = Log(entries, epoch=epoch, rule=rule)
                if epoch == max(self.leaders):
                    self.protect(copy, 0, f"is promoted to {epoch}")
                self.happen(copy, ev.Promoted(epoch, len(entries)))
                self.look(copy)
            case ev.StopPostgres():
                self.stop(copy)
                self.happen(copy, ev.PostgresDown())
                self.restart(copy)

    def restart(self, copy: int) -> None:
        """PostgreSQL comes up as a standby."""
        self.logs[copy] = Log(self.logs[copy].entries)
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
            *(state.short_since, state.record_seen),
            election
            and (
                *(election.attempt, election.started, election.epoch, election.target, election.beat),
                *(frozenset(election.replies.items()), frozenset(election.promises.items())),
            ),
            led
            and (
                *(led.epoch, led.since, led.lsn, led.beat, led.preferred),
                *(frozenset(led.peers.items()), frozenset(led.flushed.items())),
            ),
        )
    )
    DIGESTS[id(state)] = (state, digest)
    return digest
