"""What agents say to each other. Every message is about one epoch; the sender's id travels in the envelope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position


@dataclass(frozen=True, slots=True)
class Rank:
    """What the promotion order looks at: Aurora's tier, then size; the ordinal breaks ties."""

    can_lead: bool
    tier: int
    size: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The leader of `epoch` is there; `start` is None while it is elected but not yet promoted.

    `sent` is the leader's own clock (ms), echoed in the acknowledgement: its lease runs from then.
    """

    epoch: int
    sent: int
    config: Config
    start: int | None
    lsn: int


@dataclass(frozen=True, slots=True)
class HeartbeatAck:
    """Answer to a heartbeat. `accepted` is False from a copy that has promised a higher epoch, or knows of a newer
    membership under which this leader was not elected."""

    epoch: int
    sent: int
    accepted: bool
    promised: int
    config: ConfigKey
    position: Position | None
    rank: Rank
    bound: int = 0
    """For how long (ms) a leader of an earlier epoch may still rely on the sender."""
    newer: Config | None = None
    """The membership that the leader should know."""


@dataclass(frozen=True, slots=True)
class PreVote:
    """Would you promise an epoch to me? Changes nothing at the receiver. `attempt` matches answers to questions."""

    attempt: int


@dataclass(frozen=True, slots=True)
class PreVoteReply:
    """`granted` unless a leader is alive for the sender, or it could not promise now."""

    attempt: int
    granted: bool
    promised: int
    position: Position | None
    config: Config
    rank: Rank
    leading: bool = False
    """The sender leads, or has been elected: the asker will hear it soon."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Promise me this epoch."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Promise:
    """The answer. When `granted`, the sender acknowledges nothing to any lower epoch's leader from now on, and
    `position` was read after its WAL receiver was gone."""

    epoch: int
    granted: bool
    promised: int
    position: Position | None
    config: Config


@dataclass(frozen=True, slots=True)
class Resigned:
    """The leader of `epoch` has stopped its PostgreSQL; `preferred` is whom a switchover named."""

    epoch: int
    preferred: CopyId | None


Message: TypeAlias = Heartbeat | HeartbeatAck | PreVote | PreVoteReply | Prepare | Promise | Resigned
