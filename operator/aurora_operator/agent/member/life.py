"""How a copy's part in the consensus begins and ends, and what one life of its agent tells the next."""

from __future__ import annotations

from aurora_operator.agent.member.durable_state import Store
from aurora_operator.consensus.state import State, Timing
from aurora_operator.consensus.step import relied_upon, start
from aurora_operator.consensus.types import CopyId


def begin(store: Store, me: CopyId, ordinal: int, now: int, timing: Timing, *, instance: bool) -> State:
    """The state of a copy whose agent has just started, by what its volume keeps. Raises StoreError, OSError."""
    durable = store.durable()
    rested = store.take_rested() == durable.promised
    return start(me, ordinal, durable, now, timing, instance=instance, rested=rested)


def rest(store: Store, state: State, now: int) -> None:
    """Keep that no leader relies on this copy, if so: as at the end of a cluster that is to sleep.

    The agent must answer nobody any more, and PostgreSQL be down. Raises OSError.
    """
    if not relied_upon(state, now):
        store.save_rested(state.durable.promised)
