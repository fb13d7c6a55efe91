"""What is said about volumes: `status.storage`, condition StorageHealthy, events."""

from __future__ import annotations

from aurora_operator.api.base import reasons
from aurora_operator.api.base.conditions import STORAGE_HEALTHY, get_condition
from aurora_operator.api.base.quantity import to_bytes
from aurora_operator.api.spec.autoscaling import StorageAutoscaling
from aurora_operator.api.status import AuroraClusterStatus, StorageStatus
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.model.plan_model import EventSpec
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.volume_expansion import Growth, coarse, full, use_of
from aurora_operator.planning.volumes.volume_size import gib


def storage_status(growths: tuple[Growth, ...], facts: Facts, policy: StorageAutoscaling) -> StorageStatus:
    """The volumes, and how much the writer's holds."""
    ordinal = facts.leader_ordinal
    use = use_of(facts.copies[ordinal]) if ordinal is not None else None
    volumes = tuple(growth.status for growth in growths)
    before = facts.before.storage
    if use is None or facts.leader is None:
        known = before or StorageStatus()
        return StorageStatus(used_bytes=known.used_bytes, bytes_left=known.bytes_left, volumes=volumes)
    used, now = coarse(use.used_bytes), use.size_bytes
    claim = next((to_bytes(v.size) for v in volumes if v.name == facts.leader.name), now)
    most = max(policy.max_bytes, claim) if policy.enabled else now
    return StorageStatus(used_bytes=used, bytes_left=max(most - used, 0), volumes=volumes)


def storage_condition(growths: tuple[Growth, ...], facts: Facts) -> Condition:
    """Condition StorageHealthy: False when a volume is full, cannot grow though it should, or something piles up."""
    troubles = [growth.trouble for growth in growths if growth.trouble is not None]
    stopped = full_volumes(facts)
    if stopped:
        reason = troubles[0].reason if troubles else reasons.STORAGE_FULL
        return Condition(STORAGE_HEALTHY, "False", reason, " ".join((*stopped, *(t.message for t in troubles))))
    if troubles:
        return Condition(
            STORAGE_HEALTHY, "False", troubles[0].reason, " ".join(dict.fromkeys(t.message for t in troubles))
        )
    left = left_slots(facts)
    if left:
        return Condition(STORAGE_HEALTHY, "False", reasons.SLOT_LEFT_BEHIND, " ".join(left))
    growing = [f"{g.status.name} to {g.status.size}" for g in growths if g.pending]
    if growing:
        return Condition(STORAGE_HEALTHY, "True", reasons.VOLUME_GROWING, f"Growing: {', '.join(growing)}.")
    return Condition(STORAGE_HEALTHY, "True", reasons.ROOM_LEFT, "All volumes have room left.")


def left_slots(facts: Facts) -> tuple[str, ...]:
    """A sentence for each logical slot that is still where the writer was."""
    return tuple(
        f"{agent.name} has the logical replication slot {slot.name} of database {slot.database} from when it was the "
        f"writer. Nobody uses it there: it keeps {gib(slot.retained_bytes)} of WAL, holds back VACUUM on the writer, "
        "and is dropped when it has not been used for an hour. Its consumer needs a new slot on the writer."
        for agent in sorted(facts.answering, key=lambda agent: agent.name)
        for slot in agent.left_slots
    )


def full_volumes(facts: Facts) -> tuple[str, ...]:
    """A sentence for each volume that is so full that its agent had to act."""
    return tuple(text for copy in facts.copies.values() if (text := full(copy)) is not None)


def storage_events(before: AuroraClusterStatus, after: AuroraClusterStatus) -> list[EventSpec]:
    """A volume was told to grow, has grown, or there is trouble with it."""
    if after.storage is None:
        return []
    events: list[EventSpec] = []
    old = {v.name: v for v in before.storage.volumes} if before.storage is not None else {}
    for volume in after.storage.volumes:
        known = old.get(volume.name)
        if known is None:
            continue
        if to_bytes(volume.size) > to_bytes(known.size):
            used = f", of which {volume.used_bytes >> 20} MiB are used" if volume.used_bytes is not None else ""
            text = f"The volume of {volume.name} grows from {known.size}{used} to {volume.size}."
            events.append(EventSpec("Normal", reasons.VOLUME_GROWING, text))
        if (
            volume.capacity is not None
            and known.capacity is not None
            and to_bytes(volume.capacity) > to_bytes(known.capacity)
        ):
            text = f"The volume of {volume.name} has grown from {known.capacity} to {volume.capacity}."
            events.append(EventSpec("Normal", reasons.VOLUME_GROWN, text))
    condition, former = (get_condition(s.conditions, STORAGE_HEALTHY) for s in (after, before))
    if condition is not None and condition.status == "False":
        if former is None or former.status != "False" or former.reason != condition.reason:
            events.append(EventSpec("Warning", condition.reason, condition.message))
    elif condition is not None and former is not None and former.status == "False":
        events.append(EventSpec("Normal", condition.reason, condition.message))
    return events
