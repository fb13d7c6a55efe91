"""`spec.backup.restoreRehearsal`: when a restore is rehearsed, and what is known from it.

Each rehearsal is a Job whose name says when it was due, so that none is made twice. Its result goes into the status
first; only then the Job is deleted, and its volume with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cronsim import CronSim, CronSimError

from aurora_operator.api.agent.rehearsal import RehearsalTask
from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import RESTORE_REHEARSED
from aurora_operator.api.base.quantity import from_bytes
from aurora_operator.api.base.requests import request
from aurora_operator.api.spec.backup import RestoreRehearsal
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import BackupStatus, RehearsalStatus
from aurora_operator.planning.backup.backup import backup_settings
from aurora_operator.planning.backup.rehearsal_result import pod_of, progress_of, result_of, vanished
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.model.plan_model import EventSpec, ObjectRef, Raw
from aurora_operator.planning.objects.common import is_leaving, label
from aurora_operator.planning.objects.rehearsal import COMPONENT, build_rehearsal
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage import requested_bytes

NOW: Final = "now"
"""What the annotation says."""


@dataclass(frozen=True)
class RehearsalPlan:
    """What to do about rehearsals, and what to say."""

    create: tuple[dict[str, Any], ...] = ()
    delete: tuple[ObjectRef, ...] = ()
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    events: tuple[EventSpec, ...] = ()
    why: tuple[str, ...] = ()
    backup: BackupStatus | None = None
    """The status of backups, with that of rehearsals in it."""
    condition: Condition | None = None


@dataclass(frozen=True)
class _Request:
    """What a user asks for by the annotation. It first gets a token, which is the Job's, so that it is carried out
    once."""

    token: int | None = None
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    events: tuple[EventSpec, ...] = ()


def schedule_problem(schedule: str) -> str | None:
    """What is wrong with a schedule that has the right form, or None."""
    try:
        next(CronSim(schedule, datetime(2026, 1, 1)))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "that never comes"
        return f"backup.restoreRehearsal.schedule cannot be {schedule}: {why[0].lower()}{why[1:]}."
    return None


def next_time(schedule: str, after: datetime) -> datetime:
    """When it comes next, after that moment, in UTC. Raises CronSimError or StopIteration for `schedule_problem`s."""
    return next(CronSim(schedule, after))


def problems(spec: AuroraClusterSpec) -> tuple[str, ...]:
    """Why the spec's schedule cannot be followed; nothing where it can."""
    wanted = spec.backup.restore_rehearsal if spec.backup is not None else None
    problem = schedule_problem(wanted.schedule) if wanted is not None and wanted.schedule is not None else None
    return () if problem is None else (problem,)


def plan_rehearsal(spec: AuroraClusterSpec, facts: Facts, backup: BackupStatus | None) -> RehearsalPlan:
    """The next step. `backup` is what the status will say of backups."""
    jobs = _jobs(facts)
    if spec.backup is None:
        return replace(_without_backup(facts), delete=tuple(_reference(job) for job in jobs if not is_leaving(job)))
    wanted = spec.backup.restore_rehearsal
    old = facts.before.backup.rehearsal if facts.before.backup is not None else None
    before = old or RehearsalStatus()
    if wanted is None and (before.configured or before.next_at is not None):
        return _dropped(jobs, backup)
    due_at = _due_at(wanted, before.next_at, facts.now)
    asked = _request(facts)
    recorded = before.last.job if before.last is not None else None
    current = next((job for job in jobs if job["metadata"]["name"] != recorded), None)
    status = before.model_copy(
        update={"next_at": due_at, "running": None, "message": None, "configured": wanted is not None or None}
    )
    create: tuple[dict[str, Any], ...] = ()
    if current is not None:
        status = _follow(status, current, before.message, facts)
        if wanted is not None and wanted.schedule is not None and due_at is not None and due_at <= facts.now:
            # This is the one that was due; or it was under way already, and there is one at a time.
            status = status.model_copy(update={"next_at": next_time(wanted.schedule, facts.now)})
    elif before.running is not None and before.running != recorded:
        status = status.model_copy(update={"last": vanished(before.running, facts.name, facts.now)})
    else:
        token = asked.token
        if token is None and due_at is not None and due_at <= facts.now:
            token = int(due_at.timestamp())
        if token is not None and not jobs and backup is not None and backup.backups:
            create = (_build(spec, wanted or RestoreRehearsal(), facts, names.rehearsal_job(facts.name, token)),)
    told = asked.token is not None and names.rehearsal_job(facts.name, asked.token) in (
        recorded,
        current["metadata"]["name"] if current is not None else None,
        before.running,
    )
    delete = tuple(_reference(job) for job in jobs if job["metadata"]["name"] == recorded and not is_leaving(job))
    nothing = status == RehearsalStatus() and asked.token is None
    return RehearsalPlan(
        create=create,
        delete=delete,
        annotations={names.ANNOTATION_REHEARSAL: None} if told else asked.annotations,
        events=asked.events,
        why=(
            *(f"rehearse a restore: {job['metadata']['name']}" for job in create),
            *(f"delete Job {ref.name}: its result is noted" for ref in delete),
        ),
        backup=None if backup is None else backup.model_copy(update={"rehearsal": None if nothing else status}),
        condition=None if nothing else _condition(status, backup),
    )


def _dropped(jobs: list[Raw], backup: BackupStatus | None) -> RehearsalPlan:
    """It was taken out of the spec: one that is under way is called off, and once its Job is gone, all is as new."""
    left = RehearsalStatus(configured=True) if jobs else None
    delete = tuple(_reference(job) for job in jobs if not is_leaving(job))
    return RehearsalPlan(
        delete=delete,
        why=tuple(f"delete Job {ref.name}: restoreRehearsal is not in the spec any more" for ref in delete),
        backup=None if backup is None else backup.model_copy(update={"rehearsal": left}),
    )


def _without_backup(facts: Facts) -> RehearsalPlan:
    if request(facts.observed.cluster, names.ANNOTATION_REHEARSAL) is None:
        return RehearsalPlan()
    return _refuse("There is nothing to restore: spec.backup is not set.")


def _refuse(message: str) -> RehearsalPlan:
    event = EventSpec("Warning", reasons.REHEARSAL_REFUSED, message)
    return RehearsalPlan(annotations={names.ANNOTATION_REHEARSAL: None}, events=(event,), why=(message,))


def _request(facts: Facts) -> _Request:
    asked = request(facts.observed.cluster, names.ANNOTATION_REHEARSAL)
    if asked is None:
        return _Request()
    word, _, token = asked.partition("/")
    if word != NOW or (token and not (token.isascii() and token.isdecimal() and len(token) <= 10)):
        refused = _refuse(f"A rehearsal is asked for by {NOW}, not by {asked}.")
        return _Request(annotations=refused.annotations, events=refused.events)
    if not token:
        return _Request(annotations={names.ANNOTATION_REHEARSAL: f"{word}/{int(facts.now.timestamp())}"})
    return _Request(token=int(token))


def _due_at(wanted: RestoreRehearsal | None, noted: datetime | None, now: datetime) -> datetime | None:
    """What was noted, as long as it is a time of the schedule: one that was missed is made up for, once."""
    if wanted is None or wanted.schedule is None:
        return None
    if noted is not None and next_time(wanted.schedule, noted - timedelta(seconds=1)) == noted:
        return noted
    return next_time(wanted.schedule, now)


def _jobs(facts: Facts) -> list[Raw]:
    found = facts.observed.children.get("Job", {})
    return [job for _, job in sorted(found.items()) if label(job, names.LABEL_COMPONENT) == COMPONENT]


def _reference(job: Raw) -> ObjectRef:
    return ObjectRef("Job", job["metadata"]["name"], job["metadata"].get("uid"))


def _follow(status: RehearsalStatus, job: Raw, progress: str | None, facts: Facts) -> RehearsalStatus:
    name, pods = job["metadata"]["name"], facts.observed.children.get("Pod", {}).values()
    result = result_of(job, pods, progress, facts.now)
    if result is None:
        return status.model_copy(update={"running": name, "message": progress_of(pod_of(name, pods))})
    passed = result.finished_at if result.result == "Passed" else status.last_passed_at
    return status.model_copy(update={"last": result, "last_passed_at": passed})


def _build(spec: AuroraClusterSpec, wanted: RestoreRehearsal, facts: Facts, name: str) -> dict[str, Any]:
    settings = backup_settings(spec, facts)
    assert settings is not None  # noqa: S101  there is spec.backup
    claims = [copy.claim for copy in facts.copies.values() if copy.claim is not None]
    size = max([spec.storage.size_bytes, *(requested_bytes(claim) for claim in claims)])
    return build_rehearsal(
        facts.identity,
        name,
        task=RehearsalTask(
            repository=settings.repository, database=wanted.database or spec.database_name, query=wanted.query
        ),
        wanted=wanted,
        image=spec.image.name or facts.observed.operator.default_image,
        image_settings=spec.image,
        scheduling=spec.scheduling,
        size=from_bytes(size),
        storage_class=spec.storage.storage_class_name,
    )


def _condition(status: RehearsalStatus, backup: BackupStatus | None) -> Condition:
    last = status.last
    if last is not None:
        began = f" It began at {_text(last.started_at)}." if last.started_at is not None else ""
        return Condition(
            RESTORE_REHEARSED, "True" if last.result == "Passed" else "False", last.reason, last.message + began
        )
    if status.running is not None:
        message = f"The first rehearsal is under way: {status.message}"
    elif backup is None or not backup.backups:
        message = "There is no backup yet that could be restored."
    elif status.next_at is not None:
        message = f"No backup has been restored yet; the first rehearsal is due at {_text(status.next_at)}."
    else:
        message = "No backup has been restored yet, and there is no schedule for it."
    return Condition(RESTORE_REHEARSED, "Unknown", reasons.REHEARSAL_PENDING, message)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
