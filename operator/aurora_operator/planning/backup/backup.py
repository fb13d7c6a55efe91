"""`spec.backup`: when which backup is due, who takes it, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from aurora_operator.api.agent.messages import AgentStatus, BackupReport, BackupRun
from aurora_operator.api.agent.settings import BackupSettings
from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import BACKUP_HEALTHY
from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.api.base.requests import request
from aurora_operator.api.spec.backup import parse_window, window_minutes
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import BackupStatus, KeptBackup
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.model.plan_model import EventSpec, TakeBackup, parse_time
from aurora_operator.planning.view.facts import Facts

Kind = Literal["full", "diff", "incr"]

RETRY: Final = timedelta(minutes=5)
"""After a backup that failed, the next is tried no sooner."""
UNSEEN: Final = timedelta(minutes=5)
"""A backup that was taken is looked for in the repository so long."""
CAUSES: Final = {
    "credentials": reasons.CREDENTIALS_REFUSED,
    "bucket": reasons.BUCKET_MISSING,
    "unreachable": reasons.DESTINATION_UNREACHABLE,
    "certificate": reasons.CERTIFICATE_NOT_TRUSTED,
    "passphrase": reasons.PASSPHRASE_WRONG,
    "mismatch": reasons.DESTINATION_MISMATCH,
    "busy": reasons.DESTINATION_BUSY,
}
"""Why WAL cannot be stored, by the cause that the agent names."""
_KINDS: Final[Mapping[str, Kind]] = {"full": "full", "diff": "diff", "incr": "incr"}


@dataclass(frozen=True)
class BackupPlan:
    """What to do about backups, and what to say."""

    call: TakeBackup | None = None
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    events: tuple[EventSpec, ...] = ()
    why: tuple[str, ...] = ()
    status: BackupStatus | None = None
    condition: Condition | None = None
    faults: tuple[str, ...] = ()


def backup_settings(spec: AuroraClusterSpec, facts: Facts) -> BackupSettings | None:
    """What the agents are told."""
    if spec.backup is None:
        return None
    return BackupSettings(
        repository=spec.backup.repository_of(facts.name, facts.identity.namespace, facts.identity.uid),
        retention_days=spec.backup_retention_period,
        recovery_point_seconds=spec.backup.recovery_point_seconds,
    )


def in_window(window: str, now: datetime) -> bool:
    """Whether `now` lies in a daily window of UTC; one that ends before it begins goes over midnight."""
    first, _ = parse_window(window)
    moment = now.astimezone(UTC)
    begin = moment.replace(hour=first.hour, minute=first.minute, second=0, microsecond=0)
    since = (moment - begin) % timedelta(days=1)
    return since < timedelta(minutes=window_minutes(window))


def due(spec: AuroraClusterSpec, backups: tuple[KeptBackup, ...], now: datetime) -> Kind | None:
    """The kind of backup that the schedule wants now. A backup counts from its start; one that was taken in a
    window is old enough in the window that many days later, wherever in it that begins."""
    if spec.backup is None:
        return None
    schedule, inside = spec.backup.schedule, in_window(spec.preferred_backup_window, now)
    slack = min(timedelta(minutes=window_minutes(spec.preferred_backup_window)), timedelta(hours=12))

    sound = [b for b in backups if not b.damaged]
    if not any(b.type == "full" for b in sound):
        return "full"

    def age(*kinds: str) -> timedelta:
        return now - max(parse_time(b.started_at) for b in sound if b.type in kinds)

    full = age("full")
    if inside and full >= timedelta(days=schedule.full_every_days) - slack:
        return "full"
    days = schedule.differential_every_days
    if inside and days is not None and age("full", "diff") >= timedelta(days=days) - slack:
        return "diff"
    hours = timedelta(hours=schedule.incremental_every_hours)
    often = hours < timedelta(days=1)
    if (inside or often) and age("full", "diff", "incr") >= (hours if often else hours - slack):
        return "incr"
    return None


def who_takes(facts: Facts) -> AgentStatus | None:
    """A reader that is up to date and has nothing else to do; else the writer."""
    leader = facts.leader
    if leader is None:
        return None
    readers = [
        copy.agent
        for copy in facts.copies.values()
        if copy.agent is not None and copy.name != leader.name and facts.healthy(copy) and copy.agent.task is None
    ]
    return min(readers, key=lambda a: (a.lag_bytes or 0, a.name), default=leader)


def under_way(facts: Facts) -> str | None:
    """The backup that some copy takes now: `full on demo-2`, or a snapshot. There is only one at a time."""
    for agent in facts.answering:
        if agent.backup_run is not None and agent.backup_run.finished_at is None:
            return f"{agent.backup_run.kind} on {agent.name}"
        if agent.snapshot_run is not None and agent.snapshot_run.finished_at is None:
            return f"snapshot on {agent.name}"
    return None


def plan_backup(spec: AuroraClusterSpec, facts: Facts) -> BackupPlan:
    """The next step."""
    asked = request(facts.observed.cluster, names.ANNOTATION_BACKUP)
    if spec.backup is None:
        if asked is None:
            return BackupPlan()
        return _refuse("There is no backup to take: spec.backup is not set.")
    runs = [a.backup_run for a in facts.answering if a.backup_run is not None]
    running = under_way(facts)
    report = facts.leader.backup if facts.leader is not None else None
    failed = _last_failure(runs, report)
    plan = BackupPlan(
        status=_status(spec, facts, report, runs),
        condition=_condition(report, failed),
        faults=_faults(facts, report),
    )
    kind, token, notes, events = _request(asked, runs, facts.now)
    changed = BackupPlan(
        annotations=notes, events=events, status=plan.status, condition=plan.condition, faults=plan.faults,
    )  # fmt: skip
    if report is None or not report.archiving or not report.known or running is not None or notes:
        return changed
    if kind is None and not _unseen(runs, report, facts.now):
        recent = failed is not None and facts.now - parse_time(failed.finished_at or failed.started_at) < RETRY
        kind = None if recent else "full" if report.needs_backup else due(spec, _kept(report), facts.now)
    taker = who_takes(facts)
    if kind is None or taker is None:
        return changed
    return BackupPlan(
        call=TakeBackup(taker.name, kind, token),
        events=changed.events,
        why=(f"{taker.name} takes a backup ({kind})",),
        status=plan.status,
        condition=plan.condition,
        faults=plan.faults,
    )


def _refuse(message: str) -> BackupPlan:
    return BackupPlan(
        annotations={names.ANNOTATION_BACKUP: None},
        events=(EventSpec("Warning", reasons.BACKUP_REFUSED, message),),
        why=(message,),
    )


def _request(
    asked: str | None, runs: list[BackupRun], now: datetime
) -> tuple[Kind | None, str, Mapping[str, str | None], tuple[EventSpec, ...]]:
    """What a user asks for by the annotation: `full`, `diff` or `incr`. It first gets a token, by which the run that
    it leads to is known, so that it is carried out once."""
    if asked is None:
        return None, "", {}, ()
    word, _, token = asked.partition("/")
    if word not in _KINDS:
        message = f"Cannot take a backup called {word}: it can be full, diff or incr."
        return None, "", {names.ANNOTATION_BACKUP: None}, (EventSpec("Warning", reasons.BACKUP_REFUSED, message),)
    if not token:
        return None, "", {names.ANNOTATION_BACKUP: f"{word}/{now.strftime('%Y%m%dT%H%M%SZ')}"}, ()
    if any(run.token == token for run in runs):
        return None, "", {names.ANNOTATION_BACKUP: None}, ()
    return _KINDS[word], token, {}, ()


def _unseen(runs: list[BackupRun], report: BackupReport, now: datetime) -> bool:
    """Whether a backup was just taken that the report does not tell of: a reader takes it, and the writer looks into
    the repository from time to time only. Both times compared are of the copy that took it."""
    newest = max((b.started_at for b in report.backups), default="")
    return any(
        run.finished_at is not None
        and run.error is None
        and newest < run.started_at
        and now - parse_time(run.finished_at) < UNSEEN
        for run in runs
    )


def _last_failure(runs: list[BackupRun], report: BackupReport | None) -> BackupRun | None:
    """The newest run that failed, unless a backup was completed after it."""
    failed = [r for r in runs if r.error is not None and r.finished_at is not None]
    newest = max(failed, key=lambda r: r.finished_at or "", default=None)
    done = [b.finished_at for b in report.backups] if report is not None else []
    done += [r.finished_at for r in runs if r.error is None and r.finished_at is not None]
    if newest is None or (done and max(done) >= (newest.finished_at or "")):
        return None
    return newest


def _status(
    spec: AuroraClusterSpec, facts: Facts, report: BackupReport | None, runs: list[BackupRun]
) -> BackupStatus | None:
    before = facts.before.backup
    if report is None:
        settings = backup_settings(spec, facts)
        if before is not None or settings is None:
            return before
        # Nobody has looked yet, or could. A cluster that pauses then has a backup due.
        repository = settings.repository
        return BackupStatus(stanza=repository.stanza, path=repository.destination.path or "")
    return BackupStatus(
        stanza=report.stanza,
        path=report.path,
        earliest_restorable_time=report.earliest_restorable_at
        if report.known or before is None
        else before.earliest_restorable_time,
        latest_restorable_time=report.latest_restorable_at
        or (before.latest_restorable_time if before is not None and not report.needs_backup else None),
        waiting_segments=report.waiting_segments,
        running=under_way(facts),
        woken_at=before.woken_at if before is not None else None,
        backups=_kept(report) if report.known else (before.backups if before is not None else ()),
    )


def _kept(report: BackupReport) -> tuple[KeptBackup, ...]:
    """As the status has them: agents of another release go on in their own words."""
    return tuple(KeptBackup.model_validate({**b.model_dump(exclude={"kind"}), "type": b.kind}) for b in report.backups)


def _condition(report: BackupReport | None, failed: BackupRun | None) -> Condition:
    if report is None:
        return Condition(
            BACKUP_HEALTHY, "Unknown", reasons.WRITER_UNKNOWN, "Only the writer knows how its backups stand."
        )
    if report.cause is not None:
        since = f" Since {report.failing_since}." if report.failing_since else ""
        waiting = f" {report.waiting_segments} WAL segments wait." if report.waiting_segments else ""
        message = (
            f"{(report.error or '').rstrip('.')}.{since}{waiting} Nothing is lost: WAL is kept until it is stored."
        )
        return Condition(
            BACKUP_HEALTHY,
            "False",
            CAUSES.get(report.cause, reasons.ARCHIVING_FAILED),
            message[0].upper() + message[1:],
        )
    if report.waits_for_restart:
        message = "PostgreSQL has to be restarted before it archives; that is under way or waits its turn."
        return Condition(BACKUP_HEALTHY, "Unknown", reasons.BACKUP_STARTING, message)
    if failed is not None:
        message = f"The last backup ({failed.kind}) failed: {failed.error}"
        return Condition(BACKUP_HEALTHY, "False", reasons.BACKUP_FAILED, message)
    if report.needs_backup:
        message = "WAL is missing in the archive, so a new full backup is needed; it is taken as soon as it can be."
        return Condition(BACKUP_HEALTHY, "False", reasons.BACKUP_GAP, message)
    if not report.archiving or report.earliest_restorable_at is None:
        return Condition(BACKUP_HEALTHY, "Unknown", reasons.BACKUP_STARTING, "The first backup is being taken.")
    message = f"All WAL is stored, and can be restored from {report.earliest_restorable_at} on."
    return Condition(BACKUP_HEALTHY, "True", reasons.ARCHIVING, message)


def _faults(facts: Facts, report: BackupReport | None) -> tuple[str, ...]:
    """WAL that cannot be stored, before it fills the volume."""
    leader = facts.leader
    if report is None or report.cause is None or leader is None or not leader.volume_bytes:
        return ()
    waiting, free = report.waiting_segments * SEGMENT_BYTES, leader.volume_bytes - leader.volume_used_bytes
    if waiting * 4 < free:
        return ()
    return (
        f"{waiting >> 20} MiB of WAL wait to be stored on {leader.name}, whose volume has {free >> 20} MiB left: "
        f"{report.error}. Put the destination right, or raise storage.size.",
    )
