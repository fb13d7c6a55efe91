"""An AuroraSnapshot of method Backup: the next step of taking it, of copying one, and of removing what it holds.

A copy of the cluster takes it, a reader if there is one, into a path of its own in the cluster's destination. Two must
never write to the same path: it is asked for again at the same one only of the same instance, which then says that it
does not work on it any more; of another one in a new path beside it. All are below one folder, which goes whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from aurora_operator.api.agent.messages import AgentStatus, SnapshotRequest, SnapshotRun
from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.api.snapshot import (
    AuroraSnapshotSpec,
    AuroraSnapshotStatus,
    ConsistencyPoint,
    SnapshotBackup,
    SnapshotSource,
)
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.repository import Repository
from aurora_operator.planning.backup.backup import backup_settings, under_way, who_takes
from aurora_operator.planning.deletion import clients_are_in
from aurora_operator.planning.model.plan_model import ObjectRef, Observed, TakeSnapshot, parse_time
from aurora_operator.planning.model.snapshot_model import (
    STEADY_SECONDS,
    WAITING_SECONDS,
    SnapshotSeen,
    Step,
    by_backup,
    ready_message,
    status_of,
)
from aurora_operator.planning.objects.common import is_leaving
from aurora_operator.planning.objects.snapshotjob import (
    COPY,
    REMOVE,
    build_copy,
    build_removal,
    complaint,
    has_failed,
    is_complete,
)
from aurora_operator.planning.power.waking import without_writer
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.view.parsing import parse_spec

RETRY: Final = timedelta(minutes=1)
"""After one that failed, it is tried again no sooner."""
LONGEST_PATH: Final = 200


def plan_backed_up(seen: SnapshotSeen, spec: AuroraSnapshotSpec, before: AuroraSnapshotStatus, now: datetime) -> Step:
    """The next step towards a complete snapshot."""
    work = _Work(seen, before, now)
    if before.completed_at is not None:
        return Step("Ready", reasons.SNAPSHOT_READY, ready_message(work.name), seconds=STEADY_SECONDS)
    return work.take(spec) if spec.cluster is not None else work.copy(spec)


def plan_removal(seen: SnapshotSeen, before: AuroraSnapshotStatus, kept: tuple[str, ...], now: datetime) -> Step:
    """The next step towards its end; with the finalizers `kept` it is let go."""
    return _Work(seen, before, now).remove(kept)


@dataclass(frozen=True)
class _Work:
    seen: SnapshotSeen
    before: AuroraSnapshotStatus
    now: datetime

    @property
    def name(self) -> str:
        name: str = self.seen.snapshot["metadata"]["name"]
        return name

    @property
    def uid(self) -> str:
        uid: str = self.seen.snapshot["metadata"]["uid"]
        return uid

    @property
    def namespace(self) -> str:
        return str(self.seen.snapshot["metadata"].get("namespace", "default"))

    def _cannot(self, message: str) -> Step:
        return Step("Pending", reasons.CANNOT_TAKE_SNAPSHOT, message, seconds=WAITING_SECONDS)

    # --- taking one ---

    def take(self, spec: AuroraSnapshotSpec) -> Step:
        facts = self._facts()
        if facts is None:
            return self._cannot(f"There is no AuroraCluster {spec.cluster} in namespace {self.namespace}.")
        run = self._own(facts)
        if run is not None and run[1].finished_at is None:
            return self._taking(*run)
        if run is not None and run[1].error is None:
            return self._complete(run[1])
        if run is not None and run[1].error is not None and self.now - parse_time(run[1].finished_at or "") < RETRY:
            message = f"The backup for it on {run[0].name} failed, and is tried again in a minute: {run[1].error}"
            return Step("Creating", reasons.SNAPSHOT_FAILING, message, seconds=WAITING_SECONDS)
        return self._ask(spec, facts)

    def _facts(self) -> Facts | None:
        source = self.seen.source
        if source is None:
            return None
        operator = self.seen.operator
        observed = Observed(cluster=source.cluster, operator=operator, children=source.children, agents=source.agents)
        return Facts(observed, self.now)

    def _runs(self, facts: Facts) -> list[tuple[AgentStatus, SnapshotRun]]:
        """What copies do, or have done, for this snapshot."""
        found = [(a, a.snapshot_run) for a in facts.answering if a.snapshot_run is not None]
        return [(agent, run) for agent, run in found if run.token == self.uid]

    def _own(self, facts: Facts) -> tuple[AgentStatus, SnapshotRun] | None:
        """What was last asked for: not what somebody made that was given up."""
        backup = self.before.backup
        runs = [r for r in self._runs(facts) if backup is not None and r[1].path == backup.path]
        return max(runs, key=lambda r: r[1].started_at, default=None)

    def _taking(self, agent: AgentStatus, run: SnapshotRun) -> Step:
        task = agent.task
        part = None
        if task is not None and task.kind == "backup" and task.total_bytes:
            part = min(100, task.done_bytes * 100 // task.total_bytes)
        message = f"{agent.name} stores it in {run.path}{f', {part} % done' if part is not None else ''}."
        return Step("Creating", reasons.TAKING_SNAPSHOT, message, {"progress": part})

    def _complete(self, run: SnapshotRun) -> Step:
        backup = self.before.backup
        assert backup is not None  # noqa: S101  its path is the run's
        point = ConsistencyPoint(
            lsn=format_lsn(run.lsn),
            timeline=run.timeline,
            time=None if run.taken_at is None else parse_time(run.taken_at),
        )
        changes: dict[str, Any] = {
            "backup": backup.model_copy(update={"label": run.label, "stored_bytes": run.stored_bytes}),
            "consistency_point": point,
            "size": f"{-(-run.size_bytes >> 20)}Mi",
            "progress": None,
            "completed_at": self.now.replace(microsecond=0),
        }
        return Step("Ready", reasons.SNAPSHOT_READY, ready_message(self.name), changes, seconds=STEADY_SECONDS)

    def _ask(self, spec: AuroraSnapshotSpec, facts: Facts) -> Step:
        theirs = parse_spec(facts, facts.observed.cluster.get("spec") or {})
        wanted = backup_settings(theirs, facts) if isinstance(theirs, AuroraClusterSpec) else None
        if wanted is None or not isinstance(theirs, AuroraClusterSpec):
            return self._cannot(
                f"{spec.cluster} has no spec.backup, whose destination method Backup needs: set it, or take a "
                "snapshot by method VolumeSnapshot."
            )
        leader = facts.leader
        report = leader.backup if leader is not None else None
        if leader is None or report is None or not report.archiving:
            why = f": {report.error}" if report is not None and report.error else without_writer(facts)
            return self._wait(f"Waiting for a writer of {spec.cluster} that archives{why}.")
        if report.cause is not None:
            return self._cannot(f"The destination of {spec.cluster} cannot be used: {report.error}")
        if (doors := clients_are_in(self.seen.snapshot, facts)) is not None:
            return self._wait(doors)
        busy, taker = under_way(facts), who_takes(facts)
        if busy is not None or taker is None:
            return self._wait(f"Waiting for the end of another backup: {busy}.")
        root = wanted.repository.destination.path or ""
        path = names.snapshot_path(root, self.name, self.uid, self._attempt(taker))
        if len(path) > LONGEST_PATH:
            return self._cannot(f"The path {path} has more than {LONGEST_PATH} characters: give it a shorter name.")
        repository = _at(wanted.repository, path)
        changes = {
            "backup": SnapshotBackup(path=path, repository=repository),
            "source": SnapshotSource(
                database_name=theirs.database_name,
                master_username=theirs.master_username,
                engine_version=leader.server_version,
                instance=taker.name,
                zone=taker.zone,
            ),
        }
        call = TakeSnapshot(taker.name, SnapshotRequest(token=self.uid, repository=repository))
        message = f"{taker.name} is asked to store it in {path}."
        return Step("Creating", reasons.TAKING_SNAPSHOT, message, changes, call=call)

    def _wait(self, message: str) -> Step:
        return Step("Pending", reasons.WAITING, message)

    def _attempt(self, taker: AgentStatus) -> int:
        """The number of the path; the last one again where the same instance had it."""
        backup, source = self.before.backup, self.before.source
        if backup is None or source is None:
            return 1
        last = int(backup.path.rpartition("/")[2])
        return last if source.instance == taker.name else last + 1

    # --- copying one ---

    def copy(self, spec: AuroraSnapshotSpec) -> Step:
        job = self.seen.jobs.get(names.snapshot_job(self.name, self.uid, COPY))
        if job is not None and is_complete(job) and self.before.backup is not None:
            changes: dict[str, Any] = {"completed_at": self.now.replace(microsecond=0)}
            message = ready_message(self.name)
            return Step("Ready", reasons.SNAPSHOT_READY, message, changes, seconds=STEADY_SECONDS)
        if job is not None:
            return self._copying(spec, job)
        there = self.seen.copied
        if there is None:
            return self._cannot(f"There is no AuroraSnapshot {spec.source_snapshot} in namespace {self.namespace}.")
        if not by_backup(there):
            return self._cannot(
                f"{spec.source_snapshot} is a VolumeSnapshot of the storage driver, which cannot be copied to a "
                "destination: copy one of method Backup."
            )
        found = status_of(there)
        if found.completed_at is None or found.backup is None:
            return self._wait(f"Waiting for the snapshot {spec.source_snapshot}: {found.message or 'it is new.'}")
        assert spec.destination is not None  # noqa: S101  a rule of the spec
        target = spec.destination.resolved(self.namespace)
        path = names.snapshot_path(target.path or "", self.name, self.uid, 1)
        if len(path) > LONGEST_PATH:
            return self._cannot(f"The path {path} has more than {LONGEST_PATH} characters: give it a shorter name.")
        ours = found.backup.repository.model_copy(update={"destination": target})
        repository = _at(ours, path)
        taken: dict[str, Any] = {
            "backup": found.backup.model_copy(update={"path": path, "repository": repository}),
            "consistency_point": found.consistency_point,
            "size": found.size,
            "source": found.source,
        }
        made = build_copy(self.seen.snapshot, self.seen.operator.default_image, found.backup.repository, repository)
        message = f"{spec.source_snapshot} is copied to {path}."
        return Step("Creating", reasons.TAKING_SNAPSHOT, message, taken, create=(made,))

    def _copying(self, spec: AuroraSnapshotSpec, job: Any) -> Step:
        name, why = job["metadata"]["name"], complaint(job, self.seen.job_pods)
        if has_failed(job) and not is_leaving(job):
            gone = ObjectRef("Job", name, job["metadata"].get("uid"))
            return Step("Creating", reasons.SNAPSHOT_FAILING, f"The Job {name} is made anew.", delete=(gone,))
        if why is not None:
            message = f"{spec.source_snapshot} could not be copied yet, which is tried again: {why}"
            return Step("Creating", reasons.SNAPSHOT_FAILING, message, seconds=WAITING_SECONDS)
        message = f"The Job {name} copies {spec.source_snapshot}; its log says how far it is."
        return Step("Creating", reasons.TAKING_SNAPSHOT, message)

    # --- removing one ---

    def remove(self, kept: tuple[str, ...]) -> Step:
        policy = (self.seen.snapshot.get("spec") or {}).get("deletionPolicy", "Delete")
        backup = self.before.backup
        if backup is None or policy == "Retain":
            where = f" What it holds stays in {backup.path}." if backup is not None else ""
            return Step("Deleting", reasons.DELETING, f"The snapshot is being let go.{where}", finalizers=kept)
        if self.seen.namespace_ends:
            message = f"The namespace is being deleted, and nobody can remove what is in {backup.path}: it stays."
            return Step("Deleting", reasons.SNAPSHOT_LEFT, message, finalizers=kept)
        facts = self._facts()
        working = [a.name for a, run in self._runs(facts) if run.finished_at is None] if facts is not None else []
        if working:
            message = f"{', '.join(working)} still works on it; then it is removed."
            return Step("Deleting", reasons.DELETING, message, seconds=WAITING_SECONDS)
        copying = names.snapshot_job(self.name, self.uid, COPY)
        job = self.seen.jobs.get(copying)
        if job is not None:
            gone = () if is_leaving(job) else (ObjectRef("Job", copying, job["metadata"].get("uid")),)
            return Step("Deleting", reasons.DELETING, "The copying is being called off.", delete=gone)
        removing = names.snapshot_job(self.name, self.uid, REMOVE)
        pods = [p for p in self.seen.job_pods if p["metadata"]["name"].startswith(f"{copying}-")]
        if pods:
            return Step("Deleting", reasons.DELETING, "The copying is being called off.")
        job = self.seen.jobs.get(removing)
        if job is None:
            # All that was ever begun for it, and nothing else.
            folder = backup.path.rpartition("/")[0]
            if "/snapshots/" not in folder or not folder.endswith(f"-{self.uid[:8]}"):
                return self._cannot(f"{backup.path} is not a path of this snapshot: nothing is removed.")
            made = build_removal(self.seen.snapshot, self.seen.operator.default_image, _at(backup.repository, folder))
            return Step("Deleting", reasons.DELETING, f"What is in {folder} is being removed.", create=(made,))
        if is_complete(job):
            return Step("Deleting", reasons.DELETING, "What it held is removed.", finalizers=kept)
        why = complaint(job, self.seen.job_pods)
        if why is None:
            return Step("Deleting", reasons.DELETING, "What it holds is being removed.")
        message = (
            f"What it holds could not be removed yet, which is tried again: {why} To leave it where it is, set "
            "deletionPolicy: Retain."
        )
        return Step("Deleting", reasons.SNAPSHOT_FAILING, message, seconds=WAITING_SECONDS)


def _at(repository: Repository, path: str) -> Repository:
    destination = repository.destination.model_copy(update={"path": path})
    return repository.model_copy(update={"destination": destination})
