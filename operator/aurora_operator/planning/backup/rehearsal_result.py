"""What came of a rehearsal's Job, in words that say what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from aurora_operator.api.agent.rehearsal import RehearsalReport
from aurora_operator.api.base import names, reasons
from aurora_operator.api.status import RehearsalResult
from aurora_operator.planning.backup.backup import CAUSES
from aurora_operator.planning.model.plan_model import Raw, parse_time
from aurora_operator.planning.objects.common import label
from aurora_operator.planning.objects.job import ended, pods_of


def pod_of(job: str, pods: Iterable[Raw]) -> Raw | None:
    """The newest pod of a Job."""
    return max(
        pods_of(job, pods),
        key=lambda p: (str(p["metadata"].get("creationTimestamp", "")), p["metadata"]["name"]),
        default=None,
    )


def progress_of(pod: Raw | None) -> str:
    """What a Job that has not ended is doing."""
    status: Raw = (pod or {}).get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"Its pod waits for a node: {condition.get('message') or condition.get('reason')}"
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        if "running" in state:
            return "The newest backup is being restored and looked at."
        reason = (state.get("waiting") or {}).get("reason")
        if reason not in (None, "ContainerCreating", "PodInitializing"):
            return f"Its pod does not start: {reason}. {(state.get('waiting') or {}).get('message') or ''}".rstrip()
    return "Its pod is being made."


def result_of(job: Raw, pods: Iterable[Raw], progress: str | None, now: datetime) -> RehearsalResult | None:
    """The result, or None while there is none. `progress` is what was said of it last."""
    end = ended(job)
    if end is None:
        return None
    name: str = job["metadata"]["name"]
    cluster = label(job, names.LABEL_CLUSTER) or ""
    pod = pod_of(name, pods)
    terminated = _terminated(pod)
    timed_out = end.get("reason") == "DeadlineExceeded"
    if pod is not None and terminated is None and not timed_out:
        return None  # the pods were listed a moment before the Jobs
    report = _report(terminated)
    passed = end["type"] == "Complete"
    if passed:
        reason, message = reasons.REHEARSAL_PASSED, _passed(report or RehearsalReport())
    elif timed_out:
        reason, message = reasons.REHEARSAL_TIMED_OUT, _timed_out(job, cluster, progress)
    elif report is not None and report.error is not None:
        reason, message = _failed(report, cluster)
    else:
        reason, message = reasons.REHEARSAL_INTERRUPTED, _interrupted(terminated, end, cluster)
    status = job.get("status") or {}
    started = _time(status.get("startTime") or job["metadata"].get("creationTimestamp"))
    finished = _time((terminated or {}).get("finishedAt")) or _time(end.get("lastTransitionTime")) or now
    return RehearsalResult(
        job=name,
        result="Passed" if passed else "Failed",
        reason=reason,
        message=message,
        started_at=started,
        finished_at=finished.replace(microsecond=0),
        duration_seconds=None if started is None else max(0, round((finished - started).total_seconds())),
        **_point(report),
    )


def vanished(job: str, cluster: str, now: datetime) -> RehearsalResult:
    """The result of one whose Job was deleted before it ended."""
    return RehearsalResult(
        job=job,
        result="Failed",
        reason=reasons.REHEARSAL_INTERRUPTED,
        message=f"Its Job was deleted before it ended, so it says nothing about the backups. {again(cluster)}",
        finished_at=now.replace(microsecond=0),
    )


def again(cluster: str) -> str:
    """How to have another one."""
    return f"To try again: kubectl annotate auroracluster {cluster} {names.ANNOTATION_REHEARSAL}=now"


def _terminated(pod: Raw | None) -> Raw | None:
    for container in ((pod or {}).get("status") or {}).get("containerStatuses") or ():
        found: Raw | None = (container.get("state") or {}).get("terminated")
        return found
    return None


def _report(terminated: Raw | None) -> RehearsalReport | None:
    try:
        return RehearsalReport.model_validate_json((terminated or {}).get("message") or "")
    except ValidationError:
        return None


def _time(text: Any) -> datetime | None:
    return None if not text else parse_time(str(text))


def _point(report: RehearsalReport | None) -> dict[str, Any]:
    if report is None or report.backup is None:
        return {}
    return {
        "backup": report.backup,
        "restored_lsn": report.lsn,
        "restored_time": None if report.last_commit is None else parse_time(report.last_commit).replace(microsecond=0),
        "restore_seconds": None if report.restore_seconds is None else round(report.restore_seconds),
    }


def _passed(report: RehearsalReport) -> str:
    if report.backup is None:
        return "The newest backup was restored, and all was there."
    commit = f", last commit at {report.last_commit}" if report.last_commit else ""
    pages = "page checksums and pg_amcheck" if report.checksums else "pg_amcheck (the data have no checksums)"
    return (
        f"Backup {report.backup} and the WAL after it, to LSN {report.lsn}{commit}, were restored in "
        f"{report.restore_seconds or 0:.0f} s; {pages} found nothing wrong."
    )


def _failed(report: RehearsalReport, cluster: str) -> tuple[str, str]:
    error = (report.error or "").rstrip(".")
    full = f"kubectl annotate auroracluster {cluster} {names.ANNOTATION_BACKUP}=full"
    if report.step == "restore" and report.cause == "damaged":
        return reasons.BACKUP_DAMAGED, (
            f"The newest backup cannot be restored: {error}. Take a full backup now ({full}), and find out what has "
            f"damaged the destination. {again(cluster)}"
        )
    if report.step == "restore":
        reason = CAUSES.get(report.cause or "", reasons.RESTORE_FAILED)
        return reason, f"The newest backup could not be restored: {error}. {again(cluster)}"
    if report.step == "query":
        return reasons.QUERY_FAILED, (
            f"Backup {report.backup} was restored to LSN {report.lsn}, and is sound; but the query failed: {error}. "
            f"See whether the query, or the data in the cluster, is wrong. {again(cluster)}"
        )
    return reasons.DATA_DAMAGED, (
        f"Backup {report.backup} was restored to LSN {report.lsn}, and what was restored is damaged: {error}. Look at "
        f"the cluster itself with pg_amcheck: if it is well, take a full backup ({full}); if not, an older backup may "
        f"be. {again(cluster)}"
    )


def _timed_out(job: Raw, cluster: str, progress: str | None) -> str:
    limit = (job.get("spec") or {}).get("activeDeadlineSeconds")
    last = f" The last that was seen: {progress}" if progress else ""
    return (
        f"It did not end within {limit} s.{last} Raise backup.restoreRehearsal.deadlineSeconds or its resources, if "
        f"that is what it takes. {again(cluster)}"
    )


def _interrupted(terminated: Raw | None, end: Raw, cluster: str) -> str:
    why = (terminated or {}).get("reason")
    if why == "OOMKilled":
        memory = "Raise backup.restoreRehearsal.resources.limits.memory."
        return f"Its pod used more memory than it has. {memory} {again(cluster)}"
    said = " ".join(str((terminated or {}).get("message") or end.get("message") or why or "").split())
    return f"Its pod ended without an answer: {said[-500:] or 'nothing says why'} {again(cluster)}"
