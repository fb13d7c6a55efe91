"""An AuroraSnapshot's life, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.planning.stories import ready
from tests.unit.planning.world import START, World

from aurora_operator.api.snapshot import LABEL_SNAPSHOT
from aurora_operator.planning.model.plan_model import SnapshotClass, Source
from aurora_operator.planning.model.snapshot_model import SnapshotPlan, SnapshotSeen, needs_source
from aurora_operator.planning.snapshots.snapshot import FINALIZER, plan_snapshot

CLASSES = (SnapshotClass("snaps", "csi.test"),)


@dataclass
class Story:
    """A snapshot, its cluster, and what the storage driver does."""

    world: World = field(default_factory=ready)
    raw: dict[str, Any] = field(
        default_factory=lambda: {
            "metadata": {"name": "monday", "namespace": "default", "uid": "uid-s", "generation": 1},
            "spec": {"cluster": "demo"},
        }
    )
    held: dict[str, Any] | None = None
    classes: tuple[SnapshotClass, ...] = CLASSES
    gone: bool = False
    plans: list[SnapshotPlan] = field(default_factory=list)

    def step(self) -> SnapshotPlan:
        theirs = self.world.observe()
        seen = SnapshotSeen(
            snapshot=self.raw,
            operator=theirs.operator,
            volume_snapshot=self.held,
            source=Source(theirs.cluster, theirs.children, theirs.agents) if needs_source(self.raw) else None,
            storage_classes=self.world.classes,
            snapshot_classes=self.classes,
        )
        made = plan_snapshot(seen, START + timedelta(seconds=len(self.plans)))
        self.plans.append(made)
        self.raw["status"] = made.status
        for obj in made.create:
            self.held = {**obj, "metadata": {**obj["metadata"], "uid": "uid-v"}}
        for ref in made.delete:
            assert self.held is not None and ref.uid == self.held["metadata"]["uid"]
            self.held = None
        if made.finalizers is not None:
            self.raw["metadata"]["finalizers"] = list(made.finalizers)
            self.gone = "deletionTimestamp" in self.raw["metadata"] and not made.finalizers
        return made

    def taken(self) -> None:
        for _ in range(4):
            self.step()
        assert self.held is not None
        time = "2026-03-01T12:00:03Z"
        self.held["status"] = {"readyToUse": True, "restoreSize": "10Gi", "creationTime": time}
        self.step()

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.raw["status"]
        return found


def test_it_becomes_ready_with_its_place_in_the_history() -> None:
    story = Story()
    assert story.step().finalizers == (FINALIZER,)
    assert story.step().status["consistencyPoint"] == {"lsn": "0/64", "timeline": 1}
    (made,) = story.step().create
    assert made["spec"]["source"]["persistentVolumeClaimName"] == "data-demo-3"
    assert made["metadata"]["labels"][LABEL_SNAPSHOT] == "monday" and "ownerReferences" not in made["metadata"]
    assert story.status["phase"] == "Creating"
    story.taken()
    assert story.status["phase"] == "Ready" and story.status["size"] == "10Gi"
    assert story.status["consistencyPoint"]["time"] == "2026-03-01T12:00:03Z"
    assert story.status["source"] == {
        "databaseName": "app",
        "masterUsername": "app",
        "engineVersion": "17.12",
        "instance": "demo-3",
        "zone": story.world.zones()["demo-3"],
    }
    before = story.status
    assert story.step().status == before and not story.plans[-1].events


def test_it_stays_when_the_cluster_goes() -> None:
    story = Story()
    story.taken()
    assert not needs_source(story.raw)
    assert story.step().status["phase"] == "Ready"


@pytest.mark.parametrize(("policy", "left"), [("Delete", False), ("Retain", True)])
def test_its_data_go_with_it_or_stay(policy: str, left: bool) -> None:
    story = Story()
    story.raw["spec"]["deletionPolicy"] = policy
    story.taken()
    story.raw["metadata"]["deletionTimestamp"] = "2026-03-01T13:00:00Z"
    for _ in range(3):
        if not story.gone:
            story.step()
    assert story.gone and (story.held is not None) == left


def test_it_waits_for_the_driver_and_says_what_that_says() -> None:
    story = Story()
    for _ in range(3):
        story.step()
    assert story.held is not None
    story.held["status"] = {"readyToUse": False, "error": {"message": "quota exceeded"}}
    assert "quota exceeded" in story.step().status["message"]
    assert story.plans[-1].events[0].type == "Warning"
    story.held["status"] = {"readyToUse": True}
    assert story.step().status["phase"] == "Ready"


def test_where_none_can_be_taken_it_says_so_and_waits() -> None:
    story = Story(classes=())
    for _ in range(4):
        story.step()
    assert "Kubernetes has no VolumeSnapshotClass" in story.status["message"]
    assert story.status["conditions"][0]["reason"] == "CannotTakeSnapshot" and story.held is None
    story.classes = CLASSES
    story.taken()
    assert story.status["phase"] == "Ready"


def test_a_stranger_of_its_name_is_left_alone() -> None:
    story = Story()
    story.held = {"metadata": {"name": "monday", "uid": "uid-x"}, "status": {"readyToUse": True}}
    for _ in range(3):
        story.step()
    assert "which is not this one's" in story.status["message"]
    story.raw["metadata"]["deletionTimestamp"] = "2026-03-01T13:00:00Z"
    story.step()
    assert story.gone and story.held is not None


def test_data_that_somebody_deleted_are_missed() -> None:
    story = Story()
    story.taken()
    story.held = None
    assert story.step().status["phase"] == "Failed"
    assert story.plans[-1].events[0].reason == "SnapshotLost"
    assert not story.step().create  # never another moment's data in their place


def test_no_writer_no_snapshot() -> None:
    story = Story()
    story.world.unreachable = {"demo-1", "demo-2", "demo-3"}
    for _ in range(3):
        story.step()
    assert "Waiting for a writer of demo" in story.status["message"] and story.held is None
