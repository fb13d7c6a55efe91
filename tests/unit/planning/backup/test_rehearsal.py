"""Rehearsals of a restore: when, one at a time, and each once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.unit.planning.backup.test_backup_flow import BACKUP, REPORT
from tests.unit.planning.rehearsal_story import GOOD, WEEKLY, Object, Story, text

from aurora_operator.api.agent.rehearsal import TASK_VARIABLE, RehearsalTask
from aurora_operator.api.base import names


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
        f"No backup has been restored yet; the first rehearsal is due at {text(due)}.",
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
    assert story.status["lastPassedAt"] == last["finishedAt"] == text(story.now)
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
