"""Events: what changed between two statuses, told once, with reasons that stay the same."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from aurora_operator.api.base import reasons
from aurora_operator.api.base.conditions import (
    BACKUP_HEALTHY,
    CAPACITY_MET,
    SPEC_ACCEPTED,
    TROUBLES,
    Condition,
    get_condition,
)
from aurora_operator.api.status import (
    AuroraClusterStatus,
    BackupStatus,
    OriginStatus,
    PendingMaintenance,
    ReaderAutoscalingStatus,
    RehearsalStatus,
)
from aurora_operator.planning.model.plan_model import EventSpec
from aurora_operator.planning.power.power import DOWN
from aurora_operator.planning.volumes.storage_status import storage_events

_PHASES = {
    "Creating": ("Normal", "Creating"),
    "Ready": ("Normal", "Ready"),
    "Updating": ("Normal", "Updating"),
    "SwitchingOver": ("Normal", "SwitchingOver"),
    "FailingOver": ("Warning", "FailingOver"),
    "Degraded": ("Warning", "Degraded"),
    "Unavailable": ("Warning", "Unavailable"),
    "Stopping": ("Normal", "Stopping"),
    "Paused": ("Normal", "Paused"),
    "Stopped": ("Normal", "Stopped"),
    "Resuming": ("Normal", "Resuming"),
    "Deleting": ("Normal", "Deleting"),
}


def events_between(before: AuroraClusterStatus, status: dict[str, Any]) -> tuple[EventSpec, ...]:
    """What to tell about the change from `before` to `status`."""
    try:
        after = AuroraClusterStatus.model_validate(status)
    except ValidationError as error:  # our own status always fits its model
        raise ValueError("the status does not fit its model") from error
    events: list[EventSpec] = []
    events += _spec(get_condition(before.conditions, SPEC_ACCEPTED), get_condition(after.conditions, SPEC_ACCEPTED))
    events += _troubles(before, after)
    events += _writer(before, after)
    events += _instances(before, after)
    events += _capacities(before, after)
    events += _losses(before, after)
    events += _origin(before.origin, after.origin)
    events += storage_events(before, after)
    events += _readers(before.reader_autoscaling, after.reader_autoscaling)
    events += _backup(before, after)
    events += _rehearsal(before.backup, after.backup)
    events += _maintenance(before.pending_maintenance, after.pending_maintenance)
    if after.phase != before.phase and after.phase in _PHASES:
        kind, reason = _PHASES[after.phase]
        events.append(EventSpec(kind, reason, after.message or after.phase))
    return tuple(events)


def _maintenance(before: PendingMaintenance | None, after: PendingMaintenance | None) -> list[EventSpec]:
    if after is None or (before is not None and before.stage == after.stage):
        return []
    what = f"The pods of {', '.join(after.instances)} are of an earlier operator or default image"
    if after.waits_for is not None:
        text = f"{what}. Replacing them waits for {after.waits_for}; aurora apply-now does it at once."
        return [EventSpec("Normal", reasons.MAINTENANCE_PENDING, text)]
    return [EventSpec("Normal", reasons.MAINTENANCE_STARTED, f"{what}, and are replaced one at a time.")]


def _spec(before: Condition | None, after: Condition | None) -> list[EventSpec]:
    if after is None or (before is not None and (before.status, before.message) == (after.status, after.message)):
        return []
    if after.status == "False":
        return [EventSpec("Warning", reasons.SPEC_REJECTED, after.message)]
    if after.status == "True" and before is not None:
        return [EventSpec("Normal", reasons.SPEC_ACCEPTED, after.message)]
    return []


def _troubles(before: AuroraClusterStatus, after: AuroraClusterStatus) -> list[EventSpec]:
    """Conditions that are only there while something is wrong: told when they come, and when they change."""
    found = [(get_condition(before.conditions, type_), get_condition(after.conditions, type_)) for type_ in TROUBLES]
    return [
        EventSpec("Warning", now.reason, now.message)
        for then, now in found
        if now is not None and (then is None or then.message != now.message)
    ]


def _writer(before: AuroraClusterStatus, after: AuroraClusterStatus) -> list[EventSpec]:
    if after.writer is None or after.epoch is None or after.epoch == (before.epoch or 0):
        return []
    if not before.epoch:
        return [
            EventSpec("Normal", reasons.WRITER_OPENED, f"{after.writer} is the first writer, in epoch {after.epoch}.")
        ]
    if before.phase in DOWN or before.phase == "Deleting":  # the latter is started for its final snapshot
        text = f"{after.writer} is the writer again, in epoch {after.epoch}."
        return [EventSpec("Normal", reasons.WRITER_OPENED, text)]
    planned = before.phase == "SwitchingOver"
    reason = reasons.SWITCHED_OVER if planned else reasons.FAILED_OVER
    return [
        EventSpec("Normal" if planned else "Warning", reason, f"{after.writer} is the writer, in epoch {after.epoch}.")
    ]


def _instances(before: AuroraClusterStatus, after: AuroraClusterStatus) -> list[EventSpec]:
    old, new = {m.name for m in before.members}, {m.name: m for m in after.members}
    events = [
        EventSpec("Normal", reasons.INSTANCE_ADDED, f"{name} is being made" + (f" in {m.zone}." if m.zone else "."))
        for name, m in new.items()
        if name not in old
    ]
    events += [
        EventSpec("Normal", reasons.INSTANCE_REMOVED, f"{name} is removed.") for name in sorted(old - new.keys())
    ]
    return events


def _losses(before: AuroraClusterStatus, after: AuroraClusterStatus) -> list[EventSpec]:
    old = {m.name: m for m in before.members}
    events = []
    for member in after.members:
        was = old.get(member.name)
        since, since_before = member.missing_since, was.missing_since if was is not None else None
        where = f" in {member.zone}" if member.zone else ""
        if since is not None and since_before is None:
            detail = f": {member.message}" if member.message else "."
            events.append(EventSpec("Warning", reasons.COPY_LOST, f"{member.name}{where} is missing{detail}"))
        if since is None and since_before is not None:
            events.append(EventSpec("Normal", reasons.COPY_BACK, f"{member.name}{where} is up to date again."))
        ill = member.ailment if was is None or was.ailment != member.ailment else None
        if ill is not None:
            text = f"{member.name}{where} is ill ({ill}): {member.message or 'its agent says no more'}"
            events.append(EventSpec("Warning", reasons.COPY_LOST, text))
    return events


def _origin(before: OriginStatus | None, after: OriginStatus | None) -> list[EventSpec]:
    events = []
    if after is not None and after.fallback and (before is None or not before.fallback):
        events.append(EventSpec("Warning", reasons.CLONE_FALLS_BACK, f"A full copy is being made: {after.fallback}."))
    if after is not None and after.completed_at and (before is None or not before.completed_at):
        events.append(EventSpec("Normal", reasons.CLONED, f"The cluster has begun with the data of {after.source}."))
    return events


def _capacities(before: AuroraClusterStatus, after: AuroraClusterStatus) -> list[EventSpec]:
    """Each change of a capacity that was seen; and once, that there is no room for more."""
    old = {m.name: m.capacity for m in before.members}
    events = []
    for member in after.members:
        was = old.get(member.name)
        if was is not None and member.capacity is not None and was != member.capacity:
            why = f": {member.capacity_reason}" if member.capacity_reason else ""
            message = f"{member.name} has {member.capacity:g} ACU instead of {was:g}{why}."
            events.append(EventSpec("Normal", reasons.CAPACITY_CHANGED, message.replace("..", ".")))
    changes = {m.name: m.capacity_change for m in before.members}
    events += [
        EventSpec("Warning", reasons.CAPACITY_CHANGE_FORCED, f"{m.name}: {m.capacity_reason}.")
        for m in after.members
        if m.capacity_change == "Forced" and changes.get(m.name, "Forced") != "Forced"
    ]
    short, shorter = get_condition(before.conditions, CAPACITY_MET), get_condition(after.conditions, CAPACITY_MET)
    known = short.reason if short is not None and short.status == "False" else None
    if shorter is not None and shorter.status == "False" and shorter.reason != known:
        kind = "Normal" if shorter.reason == reasons.WAITING_FOR_SCALING_POINT else "Warning"
        events.append(EventSpec(kind, shorter.reason, shorter.message))
    return events


def _readers(before: ReaderAutoscalingStatus | None, after: ReaderAutoscalingStatus | None) -> list[EventSpec]:
    if after is None or after.readers is None:
        return []
    events = []
    for new, old, reason, change in (
        (after.last_scale_out, before.last_scale_out if before else None, reasons.READERS_SCALED_OUT, "added"),
        (after.last_scale_in, before.last_scale_in if before else None, reasons.READERS_SCALED_IN, "removed"),
    ):
        if new is not None and new != old:
            why = f": {after.message}" if after.message else ""
            events.append(EventSpec("Normal", reason, f"Readers are {change}, to {after.readers}{why}."))
    return events


def _backup(before: AuroraClusterStatus, after: AuroraClusterStatus) -> list[EventSpec]:
    old, new = get_condition(before.conditions, BACKUP_HEALTHY), get_condition(after.conditions, BACKUP_HEALTHY)
    events = []
    if (
        new is not None
        and new.status == "False"
        and (old is None or (old.status, old.reason) != (new.status, new.reason))
    ):
        events.append(EventSpec("Warning", reasons.BACKUP_FAILING, f"{new.reason}: {new.message}"))
    if old is not None and old.status == "False" and new is not None and new.status == "True":
        events.append(EventSpec("Normal", reasons.BACKUP_RECOVERED, new.message))
    known = {b.label for b in before.backup.backups} if before.backup is not None else set()
    for backup in after.backup.backups if after.backup is not None and before.backup is not None else ():
        if backup.label not in known:
            events.append(
                EventSpec("Normal", reasons.BACKUP_COMPLETED, f"Backup {backup.label} ({backup.type}) is complete.")
            )
    return events


def _rehearsal(before: BackupStatus | None, after: BackupStatus | None) -> list[EventSpec]:
    old = (before.rehearsal if before is not None else None) or RehearsalStatus()
    new = (after.rehearsal if after is not None else None) or RehearsalStatus()
    events = []
    if new.running is not None and new.running != old.running:
        events.append(EventSpec("Normal", reasons.REHEARSAL_STARTED, f"A restore is rehearsed by Job {new.running}."))
    if new.last is not None and (old.last is None or old.last.job != new.last.job):
        passed = new.last.result == "Passed"
        reason = reasons.REHEARSAL_PASSED if passed else reasons.REHEARSAL_FAILED
        text = new.last.message if passed else f"{new.last.reason}: {new.last.message}"
        events.append(EventSpec("Normal" if passed else "Warning", reason, text))
    return events
