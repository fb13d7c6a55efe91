"""Rehearsals of a restore: when, one at a time, each once, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planning.stories import ready
from tests.unit.planning.test_backup_flow import BACKUP, REPORT
from tests.unit.planning.world import World, some_supplies

from aurora_operator.api import names
from aurora_operator.api.agent import AgentStatus, BackupEntry
from aurora_operator.api.backup import RestoreRehearsal
from aurora_operator.api.rehearsal import TASK_VARIABLE, RehearsalReport, RehearsalTask
from aurora_operator.planning.model import Plan
from aurora_operator.planning.plan import plan
from aurora_operator.planning.rehearsal import next_time, schedule_problem

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
                "metadata": {**obj["metadata"], "uid": name, "creationTimestamp": _text(self.now)},
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
        state = {"terminated": {"exitCode": 0 if passed else 1, "finishedAt": _text(self.now), **message, **terminated}}
        self.pods = {f"{name}-x": _pod(name, {"containerStatuses": [{"state": state}]})}
        self.close("Complete" if passed else "Failed", "BackoffLimitExceeded")

    def close(self, type_: str, reason: str) -> None:
        (job,) = self.jobs.values()
        ended = {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": _text(self.now)}
        job["status"] = {"startTime": job["metadata"]["creationTimestamp"], "conditions": [ended]}

    def said(self) -> tuple[str, str, str] | None:
        found = [c for c in self.world.resource["status"]["conditions"] if c["type"] == "RestoreRehearsed"]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _pod(job: str, status: Object) -> Object:
    labels = {names.LABEL_CLUSTER: "demo", "batch.kubernetes.io/job-name": job}
    return {"metadata": {"name": f"{job}-x", "labels": labels}, "status": status}


def test_without_a_wish_nothing_is_said_or_made() -> None:
    story = Story()
    story.steps()
    assert not story.made and not story.status and story.said() is None


def test_on_its_schedule_it_is_made_followed_noted_and_removed() -> None:
    story = Story(WEEKLY)
    story.steps(2)
    due = datetime.fromisoformat(story.status["nextAt"])
    assert (due.weekday(), due.hour, due.minute) == (6, 4, 0) and due > story.now
    assert story.said() == (
        "Unknown",
        "RehearsalPending",
        f"No backup has been restored yet; the first rehearsal is due at {_text(due)}.",
    )
    story.world.now = due - timedelta(seconds=1)
    story.steps()
    assert not story.made
    story.world.now = due + timedelta(seconds=3)
    name = story.begun()
    assert name == f"demo-rehearsal-{int(due.timestamp())}"
    assert datetime.fromisoformat(story.status["nextAt"]) == due + timedelta(days=7)
    story.steps()
    assert story.made == [name]
    story.world.now += timedelta(seconds=90)
    story.end(GOOD, passed=True)
    noted = story.step()
    assert not noted.delete and story.jobs  # the result first
    last = story.status["last"]
    assert (last["result"], last["reason"], last["durationSeconds"]) == ("Passed", "RehearsalPassed", 90)
    assert (last["backup"], last["restoredLsn"], last["restoreSeconds"]) == (GOOD.backup, GOOD.lsn, 12)
    assert last["restoredTime"] == "2026-11-25T03:59:58Z"
    assert story.status["lastPassedAt"] == last["finishedAt"] == _text(story.now)
    story.steps()
    assert not story.jobs and "running" not in story.status
    said = story.said()
    assert said is not None and said[:2] == ("True", "RehearsalPassed") and "0/5000000" in said[2]
    assert [(kind, reason) for kind, reason, _ in story.events] == [
        ("Normal", "RehearsalStarted"),
        ("Normal", "RehearsalPassed"),
    ]
    assert story.made == [name]


def test_what_is_made() -> None:
    story = Story(
        {**WEEKLY, "query": "SELECT true", "deadlineSeconds": 600, "resources": {"limits": {"memory": "2Gi"}}}
    )
    story.world.edit(scheduling={"nodeSelector": {"disk": "large"}})
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.steps(4)
    (job,) = story.jobs.values()
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 600)
    pod = spec["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False and pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] and pod["nodeSelector"] == {"disk": "large"}
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    task = RehearsalTask.model_validate_json(next(e["value"] for e in container["env"] if e["name"] == TASK_VARIABLE))
    assert (task.database, task.query) == ("app", "SELECT true")
    assert task.repository.stanza == names.stanza("demo", "uid-demo")
    volumes = {v["name"]: v for v in pod["volumes"]}
    claim = volumes["data"]["ephemeral"]["volumeClaimTemplate"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    assert names.LABEL_CLUSTER not in claim["metadata"]["labels"]
    assert {n: v["secret"]["secretName"] for n, v in volumes.items() if "secret" in v} == {
        "restore-credentials": "keys",
        "restore-ca": "authority",
        "restore-encryption": "phrase",
    }
    assert all(m.get("readOnly") for m in container["volumeMounts"] if m["name"].startswith("restore-"))
    labels = spec["template"]["metadata"]["labels"]
    assert labels[names.LABEL_COMPONENT] == "rehearsal" and names.LABEL_INSTANCE not in labels
    assert {o["kind"] for o in job["metadata"]["ownerReferences"]} == {"AuroraCluster"}


def test_the_volume_is_as_large_as_the_largest_of_the_source() -> None:
    story = Story(WEEKLY)
    story.world.objects["PersistentVolumeClaim"]["data-demo-2"]["spec"]["resources"]["requests"]["storage"] = "40Gi"
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.steps(4)
    (job,) = story.jobs.values()
    (data,) = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "data"]
    assert data["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"] == "40Gi"


@pytest.mark.parametrize("wanted", [None, WEEKLY])
def test_by_hand_it_is_made_once(wanted: Object | None) -> None:
    story = Story(wanted)
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    first = story.step()
    assert not first.create and story.annotations[names.ANNOTATION_REHEARSAL].startswith("now/")
    name = story.begun()
    assert names.ANNOTATION_REHEARSAL not in story.annotations
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"  # asked for another while this one is under way
    story.world.now += timedelta(seconds=5)
    story.steps()
    assert story.made == [name]
    story.end(GOOD, passed=True)
    story.steps()
    assert len(story.made) == 2 and list(story.jobs) == story.made[1:]


def test_what_the_annotation_cannot_say_is_refused() -> None:
    story = Story(WEEKLY)
    for word in ("full", "now/x", "now/99999999999"):
        story.annotations[names.ANNOTATION_REHEARSAL] = word
        story.step()
        assert names.ANNOTATION_REHEARSAL not in story.annotations
    assert [reason for _, reason, _ in story.events] == ["RehearsalRefused"] * 3 and not story.made


def test_it_waits_for_the_first_backup() -> None:
    story = Story(WEEKLY, backups=False)
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.steps()
    assert not story.made
    said = story.said()
    assert said is not None and said[2] == "There is no backup yet that could be restored."
    entry = Story(WEEKLY).report.backups
    story.report = REPORT.model_copy(update={"backups": entry})
    story.begun()


def test_one_that_was_missed_is_made_up_for_once() -> None:
    story = Story({"schedule": "0 4 * * *"})
    story.steps(2)
    story.world.now += timedelta(days=5)
    name = story.begun()
    assert datetime.fromisoformat(story.status["nextAt"]) > story.now
    story.end(GOOD, passed=True)
    story.steps()
    assert story.made == [name] and not story.jobs


def test_another_schedule_counts_from_now() -> None:
    story = Story(WEEKLY)
    story.steps(2)
    story.world.edit(backup={**BACKUP, "restoreRehearsal": {"schedule": "30 1 1 * *"}})
    story.steps(3)
    due = datetime.fromisoformat(story.status["nextAt"])
    assert (due.day, due.hour, due.minute) == (1, 1, 30) and due > story.now
    assert not story.made


def test_the_next_is_skipped_while_one_is_under_way() -> None:
    story = Story({"schedule": "0 * * * *"})
    story.steps(2)
    story.world.now = datetime.fromisoformat(story.status["nextAt"])
    name = story.begun()
    story.world.now += timedelta(hours=2, minutes=5)
    story.steps()
    assert story.made == [name] and datetime.fromisoformat(story.status["nextAt"]) > story.now


@pytest.mark.parametrize(
    ("report", "reason", "words"),
    [
        ({"step": "restore", "cause": "damaged", "error": "checksum"}, "BackupDamaged", "aurorapg.io/backup=full"),
        (
            {"step": "restore", "cause": "credentials", "error": "no"},
            "CredentialsRefused",
            "could not be restored: no.",
        ),
        ({"step": "restore", "error": "no"}, "RestoreFailed", "could not be restored: no."),
        ({"step": "checksums", "backup": "F", "error": "a page"}, "DataDamaged", "damaged: a page."),
        ({"step": "amcheck", "backup": "F", "error": "an index"}, "DataDamaged", "pg_amcheck"),
        (
            {"step": "query", "backup": "F", "error": "returned false"},
            "QueryFailed",
            "the query failed: returned false",
        ),
    ],
)
def test_a_failure_says_what_and_what_to_do(report: Object, reason: str, words: str) -> None:
    story = Story(WEEKLY)
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.step()
    story.begun()
    story.end(RehearsalReport.model_validate(report))
    story.steps()
    said = story.said()
    assert said is not None and said[:2] == ("False", reason) and words in said[2]
    assert "kubectl annotate auroracluster demo aurorapg.io/restore-rehearsal=now" in said[2]
    assert not story.jobs and story.status["last"]["result"] == "Failed" and "lastPassedAt" not in story.status
    assert story.events[-1][:2] == ("Warning", "RehearsalFailed") and story.events[-1][2].startswith(reason)
    assert story.world.resource["status"]["phase"] == "Ready"


def test_a_good_one_after_a_bad_one_clears_the_condition() -> None:
    story = Story(WEEKLY)
    for passed in (True, False, True):
        story.world.now += timedelta(minutes=1)
        story.annotations[names.ANNOTATION_REHEARSAL] = "now"
        story.step()
        story.begun()
        story.end(GOOD if passed else RehearsalReport(error="no"), passed=passed)
        story.steps()
        said = story.said()
        assert said is not None and said[0] == ("True" if passed else "False")
        assert (story.status["lastPassedAt"] == story.status["last"]["finishedAt"]) is passed


def _begun() -> Story:
    story = Story(WEEKLY)
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.step()
    story.begun()
    return story


def test_one_that_hangs_is_called_off_with_what_was_seen_last() -> None:
    story = _begun()
    (name,) = story.jobs
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    story.pods = {f"{name}-x": _pod(name, {"conditions": [unschedulable]})}
    story.step()
    assert story.status["message"] == "Its pod waits for a node: no room"
    story.pods.clear()
    story.close("Failed", "DeadlineExceeded")
    story.steps()
    said = story.said()
    assert said is not None and said[1] == "RehearsalTimedOut"
    assert "21600 s" in said[2] and "no room" in said[2]


def test_an_end_without_an_answer() -> None:
    story = _begun()
    story.end(None, reason="OOMKilled")
    story.steps()
    assert story.said() is not None and "limits.memory" in str(story.said())
    story = _begun()
    story.end(None, message="Traceback\n...\nKeyError")
    story.steps()
    assert "Traceback ... KeyError" in str(story.said())


def test_pods_that_were_listed_before_their_job_are_looked_at_again() -> None:
    story = _begun()
    (name,) = story.jobs
    story.pods = {f"{name}-x": _pod(name, {"containerStatuses": [{"state": {"running": {}}}]})}
    story.close("Failed", "BackoffLimitExceeded")
    story.step()
    assert story.status["running"] == name and "last" not in story.status
    story.end(GOOD, passed=True)
    story.step()
    assert story.status["last"]["result"] == "Passed"


def test_a_job_that_somebody_deletes_is_noted() -> None:
    story = _begun()
    story.jobs.clear()
    story.steps()
    said = story.said()
    assert said is not None and said[1] == "RehearsalInterrupted" and len(story.made) == 1


def test_a_result_survives_a_failed_write_and_an_operator_that_starts_anew() -> None:
    story = _begun()
    story.end(GOOD, passed=True)
    for _ in range(3):
        plan = story.step(status=False)
        assert not plan.delete and story.jobs
    story.step()
    assert story.status["last"]["result"] == "Passed"
    story.step(status=False)
    assert not story.jobs
    story.steps()
    assert story.status["last"]["result"] == "Passed" and len(story.made) == 1


def test_with_the_backups_go_their_rehearsals() -> None:
    story = _begun()
    story.world.edit(backup=None)
    del story.world.resource["spec"]["backup"]
    story.steps()
    assert not story.jobs and story.said() is None
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.step()
    assert story.events[-1][1] == "RehearsalRefused"


def test_out_of_the_spec_it_is_out_of_the_status() -> None:
    story = _begun()
    story.end(RehearsalReport(step="query", error="no"))
    story.steps()
    said = story.said()
    assert said is not None and said[0] == "False"
    story.world.edit(backup=BACKUP)
    story.steps(3)
    assert story.said() is None and story.status == {} and not story.jobs


@pytest.mark.parametrize("rehearsal", [WEEKLY, {}])
def test_one_under_way_is_called_off_with_it(rehearsal: Object) -> None:
    story = Story(rehearsal)
    story.steps(2)
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.begun()
    story.world.edit(backup=BACKUP)
    story.steps(4)
    assert story.said() is None and story.status == {} and not story.jobs
    # One that is asked for without it is told of, as ever.
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.world.now += timedelta(seconds=5)
    story.begun()
    story.end(GOOD, passed=True)
    story.steps(3)
    said = story.said()
    assert said is not None and said[0] == "True"


def test_a_cluster_that_goes_takes_its_job_along() -> None:
    story = _begun()
    story.world.resource["metadata"]["deletionTimestamp"] = _text(story.now)
    story.world.resource["spec"]["skipFinalSnapshot"] = True
    assert [ref.kind for ref in story.planned().delete if ref.kind == "Job"] == ["Job"]


def test_a_schedule_that_never_comes_is_refused() -> None:
    assert schedule_problem("0 4 30 2 *") is not None and schedule_problem("0 20-4 * * *") is not None
    world = World()
    world.settle()
    world.edit(backup={**BACKUP, "restoreRehearsal": {"schedule": "0 4 30 2 *"}})
    world.step()
    world.step()
    condition = world.condition("SpecAccepted")
    assert condition["status"] == "False" and "restoreRehearsal.schedule cannot be 0 4 30 2 *" in condition["message"]


_NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}


@st.composite
def schedules(draw: st.DrawFn) -> str:
    fields = []
    for low, high in _NUMBERS.values():
        items = []
        for _ in range(draw(st.integers(1, 2))):
            first = draw(st.integers(low, high))
            form = draw(st.sampled_from(["*", "n", "n-m"]))
            text = "*" if form == "*" else str(first) if form == "n" else f"{first}-{draw(st.integers(first, high))}"
            items.append(text + draw(st.sampled_from(["", "/1", "/7", "/59"])))
        fields.append(",".join(items))
    return " ".join(fields)


@given(schedules(), st.integers(0, 10**8))
def test_what_the_schema_takes_can_be_followed(schedule: str, seconds: int) -> None:
    assert RestoreRehearsal.model_validate({"schedule": schedule}).schedule == schedule
    if schedule_problem(schedule) is None:
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        due = next_time(schedule, now)
        assert due > now and due.second == 0 and due.tzinfo is UTC
        assert next_time(schedule, due - timedelta(seconds=1)) == due
    else:
        assert "day" in str(schedule_problem(schedule)) or "never" in str(schedule_problem(schedule))
