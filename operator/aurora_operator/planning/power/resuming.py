"""Which copies of a cluster that wakes start first: as many as it takes to open it. Pure.

Clients wait, and pods that start together slow each other down. The writer of before and log copies, which are cheap,
make a write quorum: they elect, and let clients in. The others start when nobody waits any more, or when the first
ones do not get there.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from aurora_operator.planning.model.plan_model import Raw, parse_time
from aurora_operator.planning.view.facts import Facts

HEAD_START: Final = timedelta(seconds=10)
"""Of the first ones, from when the first of their pods was made."""


def held_back(facts: Facts, *, waiting: bool) -> frozenset[str]:
    """The copies that sleep on for now, by name; `waiting`: clients wait. One that has been started is never among
    them."""
    sleeping = {n for n, copy in facts.all_copies.items() if copy.statefulset is not None and asleep(copy.statefulset)}
    open_to_all = facts.leader is not None and not waiting
    stuck = any(copy.stuck is not None for copy in facts.all_copies.values())
    if not sleeping or open_to_all or stuck or _had_their_time(facts):
        return frozenset()
    first = _first(facts)
    return frozenset(sleeping - first) if first is not None else frozenset()


def asleep(statefulset: Raw) -> bool:
    """Whether a StatefulSet is to have no pod."""
    return bool(statefulset["spec"].get("replicas") == 0)


def _had_their_time(facts: Facts) -> bool:
    made = [copy.pod["metadata"].get("creationTimestamp") for copy in facts.all_copies.values() if copy.pod is not None]
    return any(at is not None and facts.now - parse_time(at) >= HEAD_START for at in made)


def _first(facts: Facts) -> frozenset[str] | None:
    """The last writer and the cheapest others of a write quorum; None where that cannot be told."""
    settings, record = facts.settings, facts.record
    if settings is None or record is None or record.leader is None:
        return None
    writer = record.leader.partition("/")[0]
    if writer not in settings.voters:
        return None
    instances = {copy.name for copy in facts.copies.values()}
    others = sorted({*settings.voters} - {writer}, key=lambda name: (name in instances, name))
    return frozenset({writer, *others[: settings.write_quorum - 1]})
