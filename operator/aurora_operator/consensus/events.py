"""What happens to a copy (events), and what it wants done (effects).

The shell runs the effects of one step in their order. `Persist` is done, durably, before any later effect of the same
step begins; everything else may take its time and reports back by an event where one is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aurora_operator.consensus.messages import Message
from aurora_operator.consensus.types import NO_CONFIG, Config, ConfigKey, CopyId, Position, SyncRule

# --- events -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. The shell sends one at least every quarter of a heartbeat period."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message came."""

    sender: CopyId
    message: Message


@dataclass(frozen=True, slots=True)
class PeerDead:
    """A peer's pod refuses connections on both its ports, or has closed both and cannot be reached: dead, not slow."""

    peer: CopyId


@dataclass(frozen=True, slots=True)
class Initialise:
    """This copy holds the one right to initialise the cluster, and is about to: it is the only voter."""


@dataclass(frozen=True, slots=True)
class PostgresUp:
    """PostgreSQL serves as a standby that follows nobody yet; `position` was read with all its WAL replayed."""

    position: Position


@dataclass(frozen=True, slots=True)
class PostgresDown:
    """PostgreSQL has stopped, wanted or not: no session is left. The shell brings it back as a standby."""


@dataclass(frozen=True, slots=True)
class LocalPosition:
    """A standby's progress, for the promotion order; not for promises."""

    position: Position


@dataclass(frozen=True, slots=True)
class ReceiverStopped:
    """Answer to `StopReceiver`: the WAL receiver is gone, all WAL is replayed, and only then `position` was read."""

    epoch: int
    position: Position


@dataclass(frozen=True, slots=True)
class Fetched:
    """Answer to `Fetch`: `position` is what the copy has now; None when the source could not be used."""

    epoch: int
    position: Position | None


@dataclass(frozen=True, slots=True)
class Promoted:
    """Answer to `Promote`: PostgreSQL writes on timeline `epoch`; a copy that has flushed `start` is on it.

    `start` is None when it failed; PostgreSQL is then being restarted as a standby (`PostgresDown` follows). `begun` is
    False where PostgreSQL has certainly not been told to promote, so that nothing can bear the epoch's number.
    """

    epoch: int
    start: int | None
    begun: bool = True


@dataclass(frozen=True, slots=True)
class Replication:
    """What the leader's pg_stat_replication says: flushed LSN by copy, and the leader's own."""

    epoch: int
    flushed: Mapping[CopyId, int]
    lsn: int


@dataclass(frozen=True, slots=True)
class SyncInForce:
    """Answer to `SetSync`: every commit from `lsn` on waits for this membership's rule."""

    key: ConfigKey
    lsn: int


@dataclass(frozen=True, slots=True)
class RecordWritten:
    """Answer to `WriteRecord`: whether the compare-and-swap succeeded.

    `held` is the membership that the record holds, where it is known and not what was to be written.
    """

    key: ConfigKey
    ok: bool
    held: Config | None = None


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """Answer to `ReadRecord`, if the record could be read: it held this at some time after `asked`."""

    asked: int
    epoch: int
    held: Config | None


@dataclass(frozen=True, slots=True)
class SwitchoverRequested:
    """Somebody asks this leader to hand over. `target` None leaves the choice to Aurora's order."""

    target: CopyId | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The operator's wish: names of the copies that should vote, W for exactly these, this copy's own rank, and for
    how long (ms) a write quorum must have been missing before the membership may shrink."""

    voters: frozenset[str]
    write_quorum: int
    tier: int
    size: int
    repair_delay: int = 60_000
    stands: bool = True
    """False while the cluster is to stop: then nobody is to lead it."""


@dataclass(frozen=True, slots=True)
class ForceMembership:
    """Somebody accepts the loss of what only lost copies hold: from now on these vote, and nobody else.

    Nothing else is sent. `above` is the highest epoch that the record knows of, `known` the membership that it holds.
    """

    survivors: frozenset[CopyId]
    above: int
    known: Config = NO_CONFIG


Event: TypeAlias = (
    Tick
    | Received
    | PeerDead
    | Initialise
    | PostgresUp
    | PostgresDown
    | LocalPosition
    | ReceiverStopped
    | Fetched
    | Promoted
    | Replication
    | SyncInForce
    | RecordWritten
    | RecordSeen
    | SwitchoverRequested
    | Wanted
    | ForceMembership
)

# --- effects ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Durable:
    """What a copy must never forget."""

    promised: int
    config: Config


@dataclass(frozen=True, slots=True)
class Persist:
    """Write this and fsync it before anything after it."""

    durable: Durable


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer, at most once; it may get lost."""

    to: CopyId
    message: Message


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every other member, voting or not."""

    message: Message


@dataclass(frozen=True, slots=True)
class StopReceiver:
    """Stop receiving WAL, from whomever, and report `ReceiverStopped`. Cancels an earlier `Follow` or `Fetch`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Follow:
    """Stream from this leader; rewind or reclone first where histories differ. Cancels `StopReceiver` and `Fetch`."""

    leader: CopyId
    epoch: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Receive WAL from a promiser until `target` is replayed, stop again, and report `Fetched`."""

    epoch: int
    source: CopyId
    target: Position


@dataclass(frozen=True, slots=True)
class Promote:
    """Refuse clients, put `rule` in force, promote onto timeline `epoch`, and report `Promoted`."""

    epoch: int
    rule: SyncRule


@dataclass(frozen=True, slots=True)
class Open:
    """Let clients in, and point the writer's endpoint here."""

    epoch: int


@dataclass(frozen=True, slots=True)
class StopPostgres:
    """End all sessions and stop. `fast` lets standbys receive everything first; `immediate` asks nobody.

    `immediate` must end the sessions within a quarter of a heartbeat period, however slow the disk: the lease ends.
    """

    mode: Literal["fast", "immediate"]


@dataclass(frozen=True, slots=True)
class SetSync:
    """Put a membership's rule in force and report `SyncInForce`."""

    key: ConfigKey
    rule: SyncRule


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """Compare-and-swap the record's membership from `before` to `after`, if `membership.record_allows` it; report
    `RecordWritten`.

    The record decides which membership follows which. Its last writer may have died before any copy heard of what it
    wrote there; that is then adopted, never overwritten: two successors of one joint step need not overlap.
    """

    epoch: int
    before: ConfigKey
    after: Config


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """Read the record, and nothing older than what it holds now; report `RecordSeen`. `asked` is this copy's clock."""

    asked: int


Effect: TypeAlias = (
    Persist
    | Send
    | Broadcast
    | StopReceiver
    | Follow
    | Fetch
    | Promote
    | Open
    | StopPostgres
    | SetSync
    | WriteRecord
    | ReadRecord
)
