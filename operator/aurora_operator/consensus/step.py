"""The consensus as one pure function: `step(state, now, event)` gives the next state and what is to be done."""

from __future__ import annotations

from aurora_operator.consensus import election, follower, forced, leader, lease, membership, shrink
from aurora_operator.consensus.events import (
    Durable,
    Effect,
    Event,
    Fetched,
    ForceMembership,
    Initialise,
    LocalPosition,
    PeerDead,
    PostgresDown,
    PostgresUp,
    Promoted,
    Received,
    ReceiverStopped,
    RecordSeen,
    RecordWritten,
    Replication,
    SwitchoverRequested,
    SyncInForce,
    Tick,
    Wanted,
)
from aurora_operator.consensus.messages import (
    Heartbeat,
    HeartbeatAck,
    Message,
    Prepare,
    PreVote,
    PreVoteReply,
    Promise,
    Resigned,
)
from aurora_operator.consensus.state import PROMOTED, State, Timing, Turn
from aurora_operator.consensus.types import CopyId, initial_config, is_epoch_of


def start(
    me: CopyId,
    ordinal: int,
    durable: Durable,
    now: int,
    timing: Timing,
    *,
    instance: bool = True,
    rested: bool = False,
) -> State:
    """The state of a copy whose agent has just started. Its PostgreSQL is down; nothing volatile is known.

    Where the newest promise was to itself, no leader relied on it then, and none has since. Likewise where it is
    `rested`: it ended in order when no leader relied on it (`relied_upon`), and has acknowledged nothing after that.
    """
    quiet_until = now if rested or is_epoch_of(durable.promised, ordinal) else now + timing.lease
    return State(me=me, ordinal=ordinal, instance=instance, timing=timing, durable=durable, quiet_until=quiet_until)


def relied_upon(state: State, now: int) -> bool:
    """Whether some leader may rely on this copy's not promising anybody else."""
    return Turn(state, now).leader_alive()


def step(state: State, now: int, event: Event) -> tuple[State, list[Effect]]:
    """Let one event happen at time `now` (ms, monotonic, this copy's own). `state` is left as it was."""
    t = Turn(state, now)
    match event:
        case Tick():
            election.on_tick(t)
            leader.on_tick(t)
        case Received(sender, message):
            _received(t, sender, message)
        case PeerDead(peer):
            follower.on_peer_dead(t, peer)
        case Initialise():
            t.persist(config=initial_config(t.state.me))
        case PostgresUp():
            follower.on_postgres_up(t, event)
        case PostgresDown():
            follower.on_postgres_down(t)
        case LocalPosition(position):
            if t.state.role not in PROMOTED and t.state.promising is None:
                t.state.position = position
        case ReceiverStopped():
            follower.on_receiver_stopped(t, event)
        case Fetched():
            election.on_fetched(t, event)
        case Promoted():
            election.on_promoted(t, event)
        case Replication():
            leader.on_replication(t, event)
        case SyncInForce():
            membership.on_sync_in_force(t, event)
        case RecordWritten():
            membership.on_record_written(t, event)
        case RecordSeen():
            shrink.on_record_seen(t, event)
        case SwitchoverRequested(target):
            leader.on_switchover(t, target)
        case Wanted():
            t.state.wanted = event
        case ForceMembership():
            forced.on_force(t, event)
    lease.keep_lease(t)
    return t.state, t.effects


def _received(t: Turn, sender: CopyId, message: Message) -> None:
    match message:
        case Heartbeat():
            follower.on_heartbeat(t, sender, message)
        case HeartbeatAck():
            leader.on_ack(t, sender, message)
        case PreVote():
            election.on_prevote(t, sender, message)
        case PreVoteReply():
            election.on_prevote_reply(t, sender, message)
        case Prepare():
            follower.on_prepare(t, sender, message)
        case Promise():
            election.on_promise(t, sender, message)
        case Resigned():
            follower.on_resigned(t, sender, message)
