"""The life of an AuroraSnapshot of method Backup: taken, copied, removed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.planning.backup.test_backup_flow import BACKUP, REPORT, S3, planned, taken
from tests.unit.planning.recording import plan
from tests.unit.planning.stories import ready
from tests.unit.planning.world import START, World

from aurora_operator.api.agent.messages import AgentStatus, BackupReport, BackupRun, SnapshotRun, Task
from aurora_operator.planning.model.plan_model import Source, TakeSnapshot
from aurora_operator.planning.model.snapshot_model import SnapshotPlan, SnapshotSeen, needs_source
from aurora_operator.planning.snapshots.snapshot import FINALIZER, plan_snapshot

FOLDER = "/aurora/default/snapshots/monday-0a1b2c3d"
GONE = "2026-03-01T13:00:00Z"


def asked(name: str = "monday", uid: str = "0a1b2c3d-4e5f", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": uid, "generation": 1},
        "spec": {"method": "Backup", **(spec or {"cluster": "demo"})},
    }


@dataclass
class Story:
    """A snapshot, its cluster with its agents, and the Jobs."""

    raw: dict[str, Any] = field(default_factory=asked)
    world: World = field(default_factory=lambda: ready(backup=BACKUP))
    report: BackupReport | None = REPORT
    runs: dict[str, SnapshotRun] = field(default_factory=dict)
    backups: dict[str, BackupRun] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    copied: dict[str, Any] | None = None
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: list[dict[str, Any]] = field(default_factory=list)
    ends: bool = False
    gone: bool = False
    seconds: int = 0
    plans: list[SnapshotPlan] = field(default_factory=list)

    def step(self) -> SnapshotPlan:
        theirs = self.world.observe()
        writer = self.world.resource["status"]["writer"]
        agents: dict[str, Any] = {}
        for name, agent in theirs.agents.items():
            assert isinstance(agent, AgentStatus)
            if name not in self.silent:
                agents[name] = agent.model_copy(
                    update={
                        "backup": self.report if name == writer else None,
                        "backup_run": self.backups.get(name),
                        "snapshot_run": self.runs.get(name),
                        "task": self.tasks.get(name),
                    }
                )
        seen = SnapshotSeen(
            snapshot=self.raw,
            operator=theirs.operator,
            source=Source(theirs.cluster, theirs.children, agents) if needs_source(self.raw) else None,
            copied=self.copied,
            jobs=self.jobs,
            job_pods=tuple(self.pods),
            namespace_ends=self.ends,
        )
        made = plan_snapshot(seen, START + timedelta(seconds=self.seconds))
        self.seconds += 1
        self.plans.append(made)
        self.raw["status"] = made.status
        for obj in made.create:
            self.jobs[obj["metadata"]["name"]] = {**obj, "metadata": {**obj["metadata"], "uid": "uid-j"}}
        for ref in made.delete:
            assert ref.kind == "Job" and ref.uid == "uid-j"
            del self.jobs[ref.name]
        if made.finalizers is not None:
            self.raw["metadata"]["finalizers"] = list(made.finalizers)
            self.gone = "deletionTimestamp" in self.raw["metadata"] and not made.finalizers
        return made

    def until_called(self) -> TakeSnapshot:
        for _ in range(5):
            call = self.step().call
            if call is not None:
                return call
        raise AssertionError(f"nobody was asked: {self.status}")

    def complete(self) -> TakeSnapshot:
        call = self.until_called()
        self.runs[call.instance] = done(call)
        self.step()
        return call

    def delete(self, steps: int = 1) -> SnapshotPlan:
        self.raw["metadata"]["deletionTimestamp"] = GONE
        for _ in range(steps):
            made = self.step()
            if self.gone:
                break
        return made

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.raw["status"]
        return found

    @property
    def message(self) -> str:
        return str(self.status["message"])


def begun(call: TakeSnapshot, **more: Any) -> SnapshotRun:
    path = call.request.repository.destination.path or ""
    return SnapshotRun(token=call.request.token, path=path, started_at="2026-03-01T12:00:02Z", **more)


def done(call: TakeSnapshot) -> SnapshotRun:
    return begun(
        call,
        finished_at="2026-03-01T12:00:09Z",
        label="20260301-120002F",
        lsn=0x1_00000200,
        timeline=3,
        taken_at="2026-03-01T12:00:08Z",
        size_bytes=(30 << 20) + 1,
        stored_bytes=4 << 20,
    )


def end(job: dict[str, Any]) -> None:
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}


def failing(job: str, message: str) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "message": message}}
    labels = {"batch.kubernetes.io/job-name": job}
    return {
        "metadata": {"name": f"{job}-abcde", "labels": labels},
        "status": {"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": last}]},
    }


def test_a_reader_is_asked_and_what_it_says_becomes_the_status() -> None:
    story = Story()
    assert story.step().finalizers == (FINALIZER,)
    call = story.until_called()
    assert call.instance != story.world.leader and call.request.token == "0a1b2c3d-4e5f"
    repository = call.request.repository
    assert repository.destination.path == f"{FOLDER}/1" and repository.stanza == "demo-uid-demo"
    assert repository.encryption is not None and repository.destination.secrets["credentials"] == "keys"

    story.runs[call.instance] = begun(call)
    story.tasks[call.instance] = Task(kind="backup", done_bytes=30, total_bytes=40)
    assert story.step().call is None
    assert story.status["progress"] == 75 and "75 % done" in story.message and story.status["phase"] == "Creating"

    story.runs[call.instance] = done(call)
    story.step()
    status = story.status
    assert status["phase"] == "Ready" and status["size"] == "31Mi" and "progress" not in status
    assert status["consistencyPoint"] == {"lsn": "1/200", "timeline": 3, "time": "2026-03-01T12:00:08Z"}
    assert status["backup"]["path"] == f"{FOLDER}/1" and status["backup"]["label"] == "20260301-120002F"
    assert status["backup"]["repository"]["destination"]["s3"]["bucket"] == "backups"
    assert status["source"]["instance"] == call.instance and status["source"]["databaseName"] == "app"
    before = story.status
    assert not needs_source(story.raw)
    assert story.step().status == before and not story.plans[-1].events


def test_one_that_fails_is_tried_again_after_a_while_and_says_why() -> None:
    story = Story()
    call = story.until_called()
    story.runs[call.instance] = begun(call, finished_at="2026-03-01T12:00:09Z", error="the bucket does not exist")
    assert story.step().call is None
    assert "the bucket does not exist" in story.message and story.plans[-1].events[0].type == "Warning"
    story.seconds = 70
    again = story.until_called()
    assert again == call  # the same instance says that it does not work there any more: the same path


def test_another_instance_never_writes_to_the_same_path() -> None:
    story = Story()
    first = story.until_called()
    story.silent.add(first.instance)
    second = story.until_called()
    assert second.instance != first.instance
    assert second.request.repository.destination.path == f"{FOLDER}/2"
    # The first comes back with what it has made: that is not what is waited for.
    story.silent.clear()
    story.runs = {first.instance: done(first), second.instance: begun(second, finished_at=None)}
    story.step()
    assert story.status["phase"] == "Creating"
    late = done(second).model_copy(update={"started_at": "2026-03-01T12:00:03Z"})
    story.runs[second.instance] = late
    assert story.step().status["backup"]["path"] == f"{FOLDER}/2"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"world": ready()}, "demo has no spec.backup"),
        ({"report": None}, "Waiting for a writer of demo that archives"),
        ({"report": REPORT.model_copy(update={"archiving": False})}, "Waiting for a writer of demo that archives"),
        (
            {"report": REPORT.model_copy(update={"cause": "bucket", "error": "the bucket does not exist"})},
            "cannot be used: the bucket does not exist",
        ),
        (
            {"backups": {"demo-2": BackupRun(kind="full", started_at="2026-03-01T12:00:00Z")}},
            "Waiting for the end of another backup: full on demo-2",
        ),
        ({"raw": asked("x" * 40, cluster="demo"), "world": ready(
            backup={"destination": {"s3": S3, "path": "/" + "p" * 150}, "encryption": BACKUP["encryption"]})},
         "give it a shorter name"),
    ],
)  # fmt: skip
def test_where_none_can_be_taken_it_says_so_and_asks_nobody(change: dict[str, Any], sentence: str) -> None:
    story = replace(Story(), **change)
    for _ in range(4):
        assert story.step().call is None
    assert sentence in story.message


def test_no_scheduled_backup_begins_meanwhile() -> None:
    world = ready(backup=BACKUP)
    seen = planned(world, REPORT)
    assert taken(seen)
    story = Story(world=world)
    call = story.until_called()
    agents = world.observe().agents
    assert isinstance(agents[call.instance], AgentStatus)
    from tests.unit.planning.world import some_supplies

    told = {
        name: agent.model_copy(
            update={
                "backup": REPORT if name == world.resource["status"]["writer"] else None,
                "snapshot_run": begun(call) if name == call.instance else None,
            }
        )
        for name, agent in agents.items()
        if isinstance(agent, AgentStatus)
    }
    made = plan(replace(world.observe(), agents=told), some_supplies(), world.now)
    assert not taken(made) and made.status["backup"]["running"] == f"snapshot on {call.instance}"


# --- copies ---


def elsewhere() -> Story:
    there = Story()
    there.complete()
    destination = {"s3": {**S3, "bucket": "other"}, "path": "/vault"}
    raw = asked("tuesday", "99887766-x", sourceSnapshot="monday", destination=destination)
    return Story(raw=raw, copied=there.raw)


def test_a_copy_has_all_that_the_first_one_had_elsewhere() -> None:
    story = elsewhere()
    for _ in range(2):
        story.step()
    (job,) = story.jobs.values()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    environment = {e["name"]: json.loads(e["value"]) for e in container["env"]}
    assert environment["AURORA_SOURCE"]["destination"]["path"] == f"{FOLDER}/1"
    target = environment["AURORA_TARGET"]
    assert (target["destination"]["s3"]["bucket"], target["stanza"]) == ("other", "demo-uid-demo")
    assert target["destination"]["path"] == "/vault/snapshots/tuesday-99887766/1"
    places = {m["name"]: m for m in container["volumeMounts"]}
    assert {"restore-credentials", "restore-encryption", "backup-credentials", "backup-encryption"} <= set(places)
    assert story.step().status["phase"] == "Creating" and "its log says" in story.message
    story.pods = [failing(job["metadata"]["name"], "the bucket does not exist")]
    assert "tried again: the bucket does not exist" in story.step().status["message"]
    assert story.copied is not None
    first, story.copied = story.copied["status"], None  # not needed any more
    end(job)
    story.jobs[job["metadata"]["name"]] = job
    status = story.step().status
    assert status["phase"] == "Ready"
    for part in ("consistencyPoint", "size", "source"):
        assert status[part] == first[part]
    assert status["backup"]["label"] == first["backup"]["label"]
    assert status["backup"]["repository"]["destination"]["s3"]["bucket"] == "other"


def test_what_cannot_be_copied_is_said() -> None:
    story = elsewhere()
    complete, story.copied = story.copied, None
    for _ in range(2):
        story.step()
    assert "There is no AuroraSnapshot monday" in story.message
    story.copied = {"metadata": {"name": "monday"}, "spec": {"cluster": "demo"}, "status": {"phase": "Ready"}}
    story.step()
    assert "monday is a VolumeSnapshot" in story.message and not story.jobs
    assert complete is not None
    story.copied = {**complete, "status": {"phase": "Creating", "message": "demo-2 stores it."}}
    story.step()
    assert "Waiting for the snapshot monday: demo-2 stores it." in story.message
    story.copied = complete
    story.step()
    assert story.jobs


def test_a_job_that_has_given_up_is_made_anew() -> None:
    story = elsewhere()
    for _ in range(2):
        story.step()
    (name,) = story.jobs
    story.jobs[name]["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    story.step()
    assert not story.jobs
    story.step()
    assert list(story.jobs) == [name]


# --- its end ---


def test_deleting_removes_its_folder_and_nothing_else() -> None:
    story = Story()
    story.complete()
    story.delete()
    (job,) = story.jobs.values()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    target = json.loads(container["env"][0]["value"])
    assert target["destination"]["path"] == FOLDER and container["command"][-1] == "remove"
    assert not story.gone
    story.pods = [failing(job["metadata"]["name"], "the destination cannot be reached")]
    story.step()
    assert "deletionPolicy: Retain" in story.message and not story.gone
    end(job)
    story.jobs[job["metadata"]["name"]] = job
    story.step()
    assert story.gone


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
def test_what_is_retained_or_cannot_be_removed_stays(policy: str) -> None:
    story = Story()
    story.complete()
    story.raw["spec"]["deletionPolicy"] = policy
    story.ends = policy == "Delete"  # with its namespace
    story.delete()
    assert story.gone and not story.jobs and f"{FOLDER}/1" in story.message


def test_one_that_was_never_begun_goes_at_once() -> None:
    story = Story(world=ready())
    for _ in range(2):
        story.step()
    story.delete()
    assert story.gone and not story.jobs


def test_nothing_is_removed_while_somebody_writes() -> None:
    story = Story()
    call = story.until_called()
    story.runs[call.instance] = begun(call)
    story.delete(3)
    assert not story.jobs and "still works on it" in story.message
    story.runs[call.instance] = done(call)
    story.delete()
    assert story.jobs and not story.gone

    story = elsewhere()
    for _ in range(2):
        story.step()
    (name,) = story.jobs
    story.pods = [failing(name, "x")]
    story.delete(3)
    assert not story.jobs and "called off" in story.message
    story.pods = []
    story.delete()
    assert [n for n in story.jobs if n.endswith("-remove")] and not story.gone


def test_a_path_that_is_not_its_own_is_never_removed() -> None:
    story = Story()
    story.complete()
    for path in ("/aurora/default", "/aurora/default/snapshots/other-11111111/1"):
        story.status["backup"]["path"] = path
        story.delete()
        assert not story.jobs and not story.gone and "nothing is removed" in story.message
