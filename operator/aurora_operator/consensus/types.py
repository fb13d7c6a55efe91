"""The values of the consensus: copies, positions, epochs, memberships and their quorums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

CopyId: TypeAlias = str
"""`name/incarnation`: a copy on one volume. A copy whose volume was lost comes back as another incarnation,
because what it promised and acknowledged is lost with it."""

EPOCH_STRIDE: Final = 32
"""Epochs of one copy are this far apart, so that two copies can never take the same one: see `next_epoch`."""


def name_of(copy: CopyId) -> str:
    """The name part of a copy's id."""
    return copy.partition("/")[0]


def next_epoch(above: int, ordinal: int) -> int:
    """The lowest epoch above `above` that belongs to the copy with this ordinal (1..31).

    Read quorums need not overlap each other (3 of 6 do not), so two candidates could be promised the same number
    by different copies. Giving each ordinal its own residue makes that impossible. Epochs are timelines as well:
    initdb made timeline 1, so instance 1 starts with 2.
    """
    residue = (ordinal + 1) % EPOCH_STRIDE
    return above + 1 + (residue - above - 1) % EPOCH_STRIDE


def is_epoch_of(epoch: int, ordinal: int) -> bool:
    """Whether this epoch can only be of the copy with this ordinal."""
    return epoch % EPOCH_STRIDE == (ordinal + 1) % EPOCH_STRIDE


class Position(NamedTuple):
    """How far a copy's durable log goes; compares as (epoch, lsn).

    `epoch` is the latest epoch whose start, on its leader's own history, the copy has durably passed: the timeline
    of its newest WAL. Neither the epoch that it last heard of nor the LSN alone would do.
    """

    epoch: int
    lsn: int


class ConfigKey(NamedTuple):
    """Orders memberships: the epoch of the leader that made one, then its version."""

    epoch: int
    version: int


NO_KEY: Final = ConfigKey(0, 0)


class SyncRule(NamedTuple):
    """PostgreSQL's `synchronous_standby_names`: `ANY need (names)`; no synchronous standby when `need` is 0."""

    need: int
    names: tuple[CopyId, ...]


@dataclass(frozen=True, slots=True)
class Quorum:
    """Voting copies and how many of them, the leader included, must have flushed a commit."""

    voters: frozenset[CopyId]
    write: int

    @property
    def read(self) -> int:
        """How many must promise a new epoch: the fewest that overlap every write quorum."""
        return max(len(self.voters) - self.write + 1, 1)

    def can_write(self, copies: Iterable[CopyId]) -> bool:
        """Whether these copies contain a write quorum."""
        return len(self.voters.intersection(copies)) >= self.write

    def can_read(self, copies: Iterable[CopyId]) -> bool:
        """Whether these copies contain a read quorum."""
        return len(self.voters.intersection(copies)) >= self.read


def majority(voters: int) -> int:
    """The write quorum for this many voting copies where none is asked for: 1→1, 2→2, 3→2, 4→3, 6→4."""
    return voters // 2 + 1


@dataclass(frozen=True, slots=True)
class Config:
    """A membership. In a joint step (`new` is set) every quorum must hold in `old` and in `new`."""

    key: ConfigKey
    old: Quorum
    new: Quorum | None = None
    floor: ConfigKey = NO_KEY
    """Whoever knows this membership follows no leader that works with one older than this: a membership was put in
    force then whose quorums need not overlap that leader's."""

    @property
    def shrinking(self) -> bool:
        """Whether this is the step that gives up voters without a write quorum of them: see `shrink`."""
        return self.new is not None and self.floor == self.key and self.new.voters < self.old.voters

    @property
    def voters(self) -> frozenset[CopyId]:
        """All copies that vote."""
        return self.old.voters if self.new is None else self.old.voters | self.new.voters

    def can_write(self, copies: Iterable[CopyId]) -> bool:
        """Whether these copies are enough to make a commit survive."""
        have = frozenset(copies)
        return self.old.can_write(have) and (self.new is None or self.new.can_write(have))

    def can_read(self, copies: Iterable[CopyId]) -> bool:
        """Whether these copies are enough to elect a leader that knows all commits."""
        have = frozenset(copies)
        return self.old.can_read(have) and (self.new is None or self.new.can_read(have))

    def joint(self, key: ConfigKey, new: Quorum) -> Config:
        """The joint step towards `new`."""
        return replace(self, key=key, new=new)

    def settled(self, key: ConfigKey, quorum: Quorum) -> Config:
        """A step's end."""
        return replace(self, key=key, old=quorum, new=None)

    def sync_rule(self, leader: CopyId) -> SyncRule:
        """What PostgreSQL must be told so that each commit has its write quorum.

        One `ANY` list cannot say "of these and of those", so in a joint step it is asked of the copies that are in
        both, or of all with enough more to cover either, whichever tolerates more of them missing. The leader counts
        where it votes; in a joint step that need not be on both sides. Raises ValueError when it does not vote.
        """
        if leader not in self.voters:
            raise ValueError(f"the leader {leader} does not vote")
        if self.new is None:
            return _rule(leader, self.old.voters, (self.old,))
        quorums = (self.old, self.new)
        rules = [_rule(leader, voters, quorums) for voters in (self.old.voters & self.new.voters, self.voters)]
        return max(rules, key=lambda rule: len(rule.names) - rule.need)


def _rule(leader: CopyId, voters: frozenset[CopyId], quorums: tuple[Quorum, ...]) -> SyncRule:
    """The fewest of `voters` that, whichever they are, make a write quorum of each together with the leader."""
    names = voters - {leader}
    need = max(q.write - (leader in q.voters) + len(names - q.voters) for q in quorums)
    return SyncRule(need, tuple(sorted(names)) if need > 0 else ())


NO_CONFIG: Final = Config(key=ConfigKey(0, 0), old=Quorum(frozenset(), 1))
"""What a copy knows before it has heard of any membership: it votes for nobody and nobody counts it."""


def initial_config(copy: CopyId) -> Config:
    """The membership of a cluster that `copy` has just initialised."""
    return Config(key=ConfigKey(0, 1), old=Quorum(frozenset({copy}), 1))
