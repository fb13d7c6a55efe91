"""One core on the bench: feed it events by hand, look at what it wants."""

from __future__ import annotations

from typing import TypeVar

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.messages import (
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVote,
    PreVoteReply,
    Promise,
    Rank,
)
from aurora_operator.consensus.state import Role, State, Timing
from aurora_operator.consensus.step import start, step
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position, Quorum, majority, name_of

E = TypeVar("E")
A, B, C, D, F, G = "a/1", "b/1", "c/1", "d/1", "f/1", "g/1"
ALL = (A, B, C, D, F, G)
RANK = Rank(can_lead=True, tier=1, size=1, ordinal=9)
LSN = 1000


def config(*voters: CopyId, write: int | None = None, key: tuple[int, int] = (0, 2)) -> Config:
    """A membership without a joint step."""
    return Config(ConfigKey(*key), Quorum(frozenset(voters), write or majority(len(voters))))


class Bench:
    """The copy `a/1` (ordinal 1): its state, its clock, and the effects of its latest step."""

    def __init__(self, membership: Config, *, promised: int = 0, quiet: bool = False, rested: bool = False) -> None:
        self.now = 100_000
        self.timing = Timing()
        self.state: State = start(A, 1, ev.Durable(promised, membership), self.now, self.timing, rested=rested)
        if not quiet:
            self.now += self.timing.lease
        self.effects: list[ev.Effect] = []
        voters = frozenset(name_of(c) for c in membership.voters)
        self.do(ev.Wanted(voters, membership.old.write, tier=1, size=2))

    def role(self) -> Role:
        """What it is doing."""
        return self.state.role

    def do(self, event: ev.Event) -> list[ev.Effect]:
        """Let it happen."""
        self.state, self.effects = step(self.state, self.now, event)
        return self.effects

    def hear(self, sender: CopyId, message: Message) -> list[ev.Effect]:
        """A message comes."""
        return self.do(ev.Received(sender, message))

    def wait(self, milliseconds: int, *beats_from: CopyId) -> None:
        """Time passes in ticks; these followers acknowledge each heartbeat. All effects are kept."""
        end = self.now + milliseconds
        effects: list[ev.Effect] = []
        while self.now < end:
            self.now = min(self.now + 100, end)
            effects += self.do(ev.Tick())
            if self.sent(Heartbeat):
                for peer in beats_from:
                    self.ack(peer)
                    effects += self.effects
        self.effects = effects

    def all(self, kind: type[E]) -> list[E]:
        """The effects of this kind in the latest step."""
        return [e for e in self.effects if isinstance(e, kind)]

    def one(self, kind: type[E]) -> E:
        """The only effect of this kind in the latest step."""
        (effect,) = self.all(kind)
        return effect

    def sent(self, kind: type[E]) -> list[E]:
        """The messages of this kind in the latest step."""
        messages = [e.message for e in self.effects if isinstance(e, ev.Send | ev.Broadcast)]
        return [m for m in messages if isinstance(m, kind)]

    # --- shortcuts -------------------------------------------------------------------------------------------------

    def up(self, epoch: int = 1, lsn: int = LSN) -> None:
        """PostgreSQL comes up as a standby."""
        self.do(ev.PostgresUp(Position(epoch, lsn)))

    def beat(self, sender: CopyId, epoch: int, *, start: int | None = LSN) -> None:
        """A leader's heartbeat."""
        self.hear(sender, Heartbeat(epoch, 7, self.state.durable.config, start, LSN))

    def grant(self, peer: CopyId, *, lsn: int = LSN, epoch: int = 1, rank: Rank = RANK, **fields: object) -> None:
        """A peer's answer to our pre-vote."""
        values: dict[str, object] = {"granted": True, "promised": 0, "config": self.state.durable.config, **fields}
        self.hear(peer, PreVoteReply(self.state.attempt, position=Position(epoch, lsn), rank=rank, **values))  # type: ignore[arg-type]

    def promise(self, peer: CopyId, *, lsn: int = LSN, epoch: int = 1, membership: Config | None = None) -> None:
        """A peer's promise."""
        promised = self.state.durable.promised
        held = membership or self.state.durable.config
        self.hear(peer, Promise(promised, True, promised, Position(epoch, lsn), held))

    def ack(self, peer: CopyId, *, sent: int | None = None, key: ConfigKey | None = None, bound: int = 0) -> None:
        """A peer's acknowledgement of a heartbeat sent just now."""
        led = self.state.leadership
        assert led is not None
        held = self.state.durable.config.key if key is None else key
        sent = self.now if sent is None else sent
        self.hear(peer, HeartbeatAck(led.epoch, sent, True, led.epoch, held, Position(led.epoch, LSN), RANK, bound))

    def refuse(self, peer: CopyId) -> None:
        """A peer says that it has promised a higher epoch."""
        led = self.state.leadership
        assert led is not None
        self.hear(peer, HeartbeatAck(led.epoch, self.now, False, led.epoch + 5, ConfigKey(0, 2), None, RANK))

    def replicate(self, *peers: CopyId, lsn: int | None = None) -> None:
        """pg_stat_replication shows these at this LSN."""
        led = self.state.leadership
        assert led is not None
        at = led.lsn if lsn is None else lsn
        self.do(ev.Replication(led.epoch, dict.fromkeys(peers, at), led.lsn))

    def elect(self, *peers: CopyId) -> int:
        """Win an election with these peers; returns the epoch, with PostgreSQL about to be promoted."""
        self.up()
        if self.state.role == Role.STANDBY:
            self.do(ev.Tick())
        for peer in peers:
            if self.state.role == Role.PREVOTING:
                self.grant(peer)
        if self.state.role == Role.PREVOTING:
            self.now += self.timing.heartbeat
            self.now += self.timing.request // 2
            self.do(ev.Tick())
        epoch = self.state.durable.promised
        self.do(ev.ReceiverStopped(epoch, Position(1, LSN)))
        for peer in peers:
            if self.state.role == Role.PREPARING:
                self.promise(peer)
        return epoch

    def lead(self, *peers: CopyId) -> int:
        """Become the open leader that these peers follow; returns the epoch."""
        epoch = self.elect(*peers)
        self.do(ev.Promoted(epoch, LSN + 8))
        for peer in peers:
            self.ack(peer)
        self.replicate(*peers)
        assert self.state.role == Role.LEADING, self.state.role
        return epoch


__all__ = ["ALL", "LSN", "RANK", "A", "B", "Bench", "C", "D", "F", "G", "PreVote", "config"]
