"""A cluster that is backed up, and its rehearsals."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.unit.planning.backup.test_backup_flow import BACKUP, REPORT
from tests.unit.planning.recording import plan
from tests.unit.planning.stories import ready
from tests.unit.planning.world import some_supplies

from aurora_operator.api.agent.messages import AgentStatus, BackupEntry
from aurora_operator.api.agent.rehearsal import RehearsalReport
from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Plan

Object = dict[str, Any]
WEEKLY = {"schedule": "0 4 * * SUN"}
GOOD = RehearsalReport(
    step="done",
    backup="20261125-020000F",
    lsn="0/5000000",
    timeline=34,
    last_commit="2026-11-25T03:59:58.5+00:00",
    restore_seconds=12.3,
)


class Story:
    """A cluster that is backed up, and the operator's passes; Jobs do what the test says."""

    def __init__(self, rehearsal: Object | None = None, *, backups: bool = True) -> None:
        backup = BACKUP if rehearsal is None else {**BACKUP, "restoreRehearsal": rehearsal}
        self.world = ready(instances=3, durability={"copies": 3}, backup=backup)
        self.jobs: dict[str, Object] = {}
        self.pods: dict[str, Object] = {}
        self.events: list[tuple[str, str, str]] = []
        self.made: list[str] = []
        at = self.world.now.isoformat()
        entry = BackupEntry(label="F", kind="full", started_at=at, finished_at=at, size_bytes=1, stored_bytes=1)
        self.report = REPORT.model_copy(update={"backups": (entry,) if backups else ()})

    @property
    def now(self) -> datetime:
        return self.world.now

    @property
    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.world.resource["metadata"].setdefault("annotations", {})
        return found

    @property
    def status(self) -> Object:
        return (self.world.resource["status"].get("backup") or {}).get("rehearsal") or {}

    def planned(self) -> Plan:
        seen = self.world.observe()
        writer = self.world.resource["status"]["writer"]
        agents = {}
        for name, agent in seen.agents.items():
            assert isinstance(agent, AgentStatus)
            told = {"backup": self.report if name == writer else None}
            agents[name] = agent.model_copy(update=told)
        children = {**seen.children, "Job": self.jobs, "Pod": {**seen.children["Pod"], **self.pods}}
        return plan(replace(seen, agents=agents, children=children), some_supplies(), self.now)

    def step(self, *, status: bool = True) -> Plan:
        """A pass; without `status`, the write of the status fails."""
        plan = self.planned()
        for obj in plan.create:
            assert obj["kind"] == "Job" and not self.jobs
            name = obj["metadata"]["name"]
            assert name not in self.made
            self.made.append(name)
            self.jobs[name] = {
                **obj,
                "metadata": {**obj["metadata"], "uid": name, "creationTimestamp": text(self.now)},
            }
        for ref in plan.delete:
            assert ref.kind == "Job" and ref.uid == ref.name
            del self.jobs[ref.name]
            self.pods.clear()
        if status:
            self.world.resource["status"] = plan.status
            for key, value in plan.annotations.items():
                self.annotations.pop(key, None)
                if value is not None:
                    self.annotations[key] = value
            self.events += [(e.type, e.reason, e.message) for e in plan.events if "Rehearsal" in e.reason]
        return plan

    def steps(self, count: int = 6) -> None:
        for _ in range(count):
            self.step()

    def begun(self) -> str:
        """Step until a Job is there and noted."""
        for _ in range(4):
            self.step()
        (name,) = self.jobs
        assert self.status["running"] == name
        return name

    def end(self, report: RehearsalReport | None, *, passed: bool = False, **terminated: Any) -> None:
        """Its pod, and then the Job, have ended."""
        (name,) = self.jobs
        message = {"message": report.to_message()} if report is not None else {}
        state = {"terminated": {"exitCode": 0 if passed else 1, "finishedAt": text(self.now), **message, **terminated}}
        self.pods = {f"{name}-x": pod(name, {"containerStatuses": [{"state": state}]})}
        self.close("Complete" if passed else "Failed", "BackoffLimitExceeded")

    def close(self, type_: str, reason: str) -> None:
        (job,) = self.jobs.values()
        ended = {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": text(self.now)}
        job["status"] = {"startTime": job["metadata"]["creationTimestamp"], "conditions": [ended]}

    def said(self) -> tuple[str, str, str] | None:
        found = [c for c in self.world.resource["status"]["conditions"] if c["type"] == "RestoreRehearsed"]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(job: str, status: Object) -> Object:
    labels = {names.LABEL_CLUSTER: "demo", "batch.kubernetes.io/job-name": job}
    return {"metadata": {"name": f"{job}-x", "labels": labels}, "status": status}


def under_way() -> Story:
    story = Story(WEEKLY)
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.step()
    story.begun()
    return story
