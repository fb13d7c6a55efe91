"""Accepting data loss: a membership of the survivors, on somebody's explicit command."""

from __future__ import annotations

from aurora_operator.consensus.election import give_up, try_election
from aurora_operator.consensus.events import ForceMembership
from aurora_operator.consensus.state import Role, State, Turn
from aurora_operator.consensus.types import Config, ConfigKey, Quorum, majority, next_epoch


def newest(s: State, known: Config) -> Config:
    """Which membership the survivors are of: this copy's, or the record's, which it may not have heard of."""
    return max(s.durable.config, known, key=lambda config: config.key)


def refusal(s: State, now: int, wish: ForceMembership) -> str | None:
    """Why this copy cannot take that membership now; None when it can."""
    if s.me not in wish.survivors:
        return f"{s.me} is not among the survivors: ask one of them"
    if not s.instance:
        return f"{s.me} is a log copy, which cannot lead: ask an instance among the survivors"
    if s.role not in (Role.DOWN, Role.STANDBY, Role.PREVOTING, Role.PREPARING) or Turn(s, now).leader_alive():
        return "a leader is there, or was until a moment ago: the cluster works without this"
    if newest(s, wish.known).can_read(wish.survivors):
        return "these survivors are a read quorum: they elect a writer without losing anything"
    return None


def on_force(t: Turn, event: ForceMembership) -> None:
    """Persist the survivors' membership, under a key above all known ones, and stand.

    Its first leader needs the promise of every survivor, so that no more is lost than must be: it is a joint step
    from "one is enough to commit" to a majority. Copies that come back with an older membership are not followed.
    """
    s = t.state
    if refusal(s, t.now, event) is not None:
        return
    if s.role != Role.DOWN:  # else it stands when PostgreSQL is up
        give_up(t)
    epoch = next_epoch(max(s.durable.promised, newest(s, event.known).key.epoch, event.above), s.ordinal)
    key = ConfigKey(epoch, 1)
    survivors = event.survivors
    t.persist(config=Config(key, Quorum(survivors, 1), Quorum(survivors, majority(len(survivors))), floor=key))
    s.next_try = t.now
    try_election(t)
