"""A cluster that is paused or stopped runs for as long as an AuroraSnapshot of it is to be taken, and its last one too
before its volumes go."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.planning.backup.test_backup_flow import BACKUP
from tests.unit.planning.power.test_power import Sleeper, serverless
from tests.unit.planning.snapshots.test_snapshot import CLASSES, Story
from tests.unit.planning.stories import calls, reasons

from aurora_operator.planning.model.plan_model import Plan, TakeBackup

GOES = {"volumeRetention": {"whenDeleted": "Delete"}}


def at_rest(how: str, **spec: Any) -> Sleeper:
    """A cluster that sleeps, or is stopped."""
    world = serverless(**spec) if how == "Paused" else Sleeper(**spec)
    world.snapshot_classes = CLASSES
    world.settle()
    if how == "Paused":
        world.idle = 301.0
    else:
        world.edit(stopped=True)
    world.until(lambda: world.phase == how)
    return world


def ask(world: Sleeper, method: str = "VolumeSnapshot", cluster: str = "demo") -> dict[str, Any]:
    snapshot: dict[str, Any] = {"metadata": {"name": "monday"}, "spec": {"cluster": cluster, "method": method}}
    world.objects["AuroraSnapshot"] = {"monday": snapshot}
    return snapshot


def delete(world: Sleeper) -> dict[str, Any]:
    """Returns the final snapshot."""
    world.resource["metadata"] |= {"deletionTimestamp": world.now.isoformat()}
    world.resource["metadata"]["generation"] += 1
    world.step()
    (snapshot,) = world.objects["AuroraSnapshot"].values()
    return snapshot


def complete(snapshot: dict[str, Any]) -> None:
    snapshot["status"] = {"phase": "Ready", "completedAt": "2026-03-01T12:00:09Z"}


@pytest.mark.parametrize("method", ["VolumeSnapshot", "Backup"])
@pytest.mark.parametrize("how", ["Paused", "Stopped"])
def test_it_runs_until_its_snapshot_is_taken(how: str, method: str) -> None:
    world = at_rest(how, backup=BACKUP)
    before = dict(world.resource["spec"])
    snapshot = ask(world, method)
    world.step()
    assert world.phase == "Resuming" and "until the snapshot monday is taken" in world.resource["status"]["message"]
    world.until(lambda: world.phase == "Ready")
    world.idle = 10_000.0
    for _ in range(10):
        world.step()
    assert world.phase == "Ready" and world.leader is not None
    assert world.resource["spec"] == before, "the user's"
    complete(snapshot)
    world.until(lambda: world.phase == how)


@pytest.mark.parametrize("how", ["Paused", "Stopped"])
def test_one_that_cannot_be_taken_or_is_of_another_starts_nothing(how: str) -> None:
    world = at_rest(how)

    def rests() -> bool:
        return all(not made.changes and world.phase == how for made in [world.step() for _ in range(3)])

    ask(world, "Backup")
    assert rests(), "it has no spec.backup"
    ask(world, cluster="other")
    assert rests()
    ask(world)["metadata"]["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    assert rests()
    world.snapshot_classes = ()
    ask(world)
    assert rests()


def test_an_idle_cluster_does_not_pause_before_its_snapshot_is_taken() -> None:
    world = serverless()
    world.snapshot_classes = CLASSES
    world.settle()
    snapshot = ask(world)
    world.idle = 10_000.0
    for _ in range(5):
        world.step()
    assert world.phase == "Ready" and not world.stops
    complete(snapshot)
    world.until(lambda: world.phase == "Paused")


@pytest.mark.parametrize("how", ["Paused", "Stopped"])
def test_the_snapshot_says_that_the_cluster_is_started_for_it(how: str) -> None:
    world = at_rest(how)
    story = Story(world=world)
    story.step()
    assert story.step().status["message"] == "Waiting for a writer of demo, which is started for it."
    world.objects["AuroraSnapshot"] = {"monday": story.raw}
    world.until(lambda: world.phase == "Ready")
    story.taken()
    assert story.status["phase"] == "Ready"
    world.until(lambda: world.phase == how)


@pytest.mark.parametrize("method", ["VolumeSnapshot", "Backup"])
@pytest.mark.parametrize("how", ["Paused", "Stopped"])
def test_it_is_started_for_its_last_snapshot_and_then_goes(how: str, method: str) -> None:
    world = at_rest(how, backup=BACKUP, storage=GOES, finalSnapshotMethod=method)
    claims = set(world.objects["PersistentVolumeClaim"])
    snapshot = delete(world)
    assert snapshot["spec"] == {"cluster": "demo", "method": method}
    told: list[Plan] = []
    while world.leader is None:
        told.append(world.step())
        message = world.resource["status"]["message"]
        assert len(told) < 20
        assert "Nothing is deleted before" in message
        assert "It runs until the snapshot demo-final-uid-demo is taken." in message
    told += [world.step() for _ in range(10)]
    assert world.phase == "Deleting" and world.leader is not None
    assert set(world.objects["PersistentVolumeClaim"]) == claims
    assert not any(ref.kind in ("StatefulSet", "PersistentVolumeClaim") and "gateway" not in ref.name
                   for made in told for ref in made.delete)  # fmt: skip
    assert "FailedOver" not in reasons(world), "nothing has failed"
    complete(snapshot)
    world.until(lambda: world.gone)
    assert not world.objects["PersistentVolumeClaim"] and snapshot in world.objects["AuroraSnapshot"].values()


def test_no_backup_that_is_due_comes_before_the_last_snapshot() -> None:
    world = at_rest("Stopped", backup=BACKUP, storage=GOES, finalSnapshotMethod="Backup")
    delete(world)
    world.until(lambda: world.leader is not None)
    taken = len(calls(world, TakeBackup))
    for _ in range(5):
        world.step()
    assert len(calls(world, TakeBackup)) == taken


@pytest.mark.parametrize("how", ["Paused", "Stopped"])
def test_one_that_cannot_make_its_last_snapshot_rests_until_it_may_go_without(how: str) -> None:
    world = at_rest(how, storage=GOES)
    world.snapshot_classes = ()
    claims = set(world.objects["PersistentVolumeClaim"])
    delete(world)
    for _ in range(10):
        world.step()
    assert not world.gone and set(world.objects["PersistentVolumeClaim"]) == claims
    assert "skipFinalSnapshot: true" in world.resource["status"]["message"]
    world.edit(skipFinalSnapshot=True)
    world.until(lambda: world.gone)


def test_instances_are_kept_going_until_the_last_snapshot_is_there() -> None:
    world = Sleeper(storage=GOES)
    world.settle()
    snapshot = delete(world)
    del world.objects["StatefulSet"]["demo-2"]
    world.kill("demo-2")
    world.until(lambda: "demo-2" in world.following())
    complete(snapshot)
    world.until(lambda: world.gone)
