"""How a rehearsal ends, well or badly or by what happens to it, and what is said of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.planning.backup.test_backup_flow import BACKUP
from tests.unit.planning.rehearsal_story import GOOD, WEEKLY, Object, Story, pod, text, under_way

from aurora_operator.api.agent.rehearsal import RehearsalReport
from aurora_operator.api.base import names


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


def test_one_that_hangs_is_called_off_with_what_was_seen_last() -> None:
    story = under_way()
    (name,) = story.jobs
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    story.pods = {f"{name}-x": pod(name, {"conditions": [unschedulable]})}
    story.step()
    assert story.status["message"] == "Its pod waits for a node: no room"
    story.pods.clear()
    story.close("Failed", "DeadlineExceeded")
    story.steps()
    said = story.said()
    assert said is not None and said[1] == "RehearsalTimedOut"
    assert "21600 s" in said[2] and "no room" in said[2]


def test_an_end_without_an_answer() -> None:
    story = under_way()
    story.end(None, reason="OOMKilled")
    story.steps()
    assert story.said() is not None and "limits.memory" in str(story.said())
    story = under_way()
    story.end(None, message="Traceback\n...\nKeyError")
    story.steps()
    assert "Traceback ... KeyError" in str(story.said())


def test_pods_that_were_listed_before_their_job_are_looked_at_again() -> None:
    story = under_way()
    (name,) = story.jobs
    story.pods = {f"{name}-x": pod(name, {"containerStatuses": [{"state": {"running": {}}}]})}
    story.close("Failed", "BackoffLimitExceeded")
    story.step()
    assert story.status["running"] == name and "last" not in story.status
    story.end(GOOD, passed=True)
    story.step()
    assert story.status["last"]["result"] == "Passed"


def test_a_job_that_somebody_deletes_is_noted() -> None:
    story = under_way()
    story.jobs.clear()
    story.steps()
    said = story.said()
    assert said is not None and said[1] == "RehearsalInterrupted" and len(story.made) == 1


def test_a_result_survives_a_failed_write_and_an_operator_that_starts_anew() -> None:
    story = under_way()
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
    story = under_way()
    story.world.edit(backup=None)
    del story.world.resource["spec"]["backup"]
    story.steps()
    assert not story.jobs and story.said() is None
    story.annotations[names.ANNOTATION_REHEARSAL] = "now"
    story.step()
    assert story.events[-1][1] == "RehearsalRefused"


def test_out_of_the_spec_it_is_out_of_the_status() -> None:
    story = under_way()
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
    story = under_way()
    story.world.resource["metadata"]["deletionTimestamp"] = text(story.now)
    story.world.resource["spec"]["skipFinalSnapshot"] = True
    assert [ref.kind for ref in story.planned().delete if ref.kind == "Job"] == ["Job"]
