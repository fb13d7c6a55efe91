"""Before the last snapshot of a cluster, clients are shut out: all that they have written is in it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.planning.backup.test_backup_flow import BACKUP
from tests.unit.planning.snapshots import test_snapshot, test_snapshot_backup
from tests.unit.planning.snapshots.test_snapshot import CLASSES
from tests.unit.planning.stories import calls
from tests.unit.planning.world import World, cluster

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.planning.model.plan_model import PushSettings

OUT = "Clients of demo are being shut out, so that all that they have written is in it."


class Doors(World):
    """Clients that have to be shut out; a writer's agent that can, unless it is of an earlier release."""

    def __init__(self, **spec: Any) -> None:
        goes = {"volumeRetention": {"whenDeleted": "Delete"}}
        super().__init__(cluster(instances=3, durability={"copies": 3}, storage=goes, **spec))
        self.knows = True
        self.written = 100
        self.settle()

    def status_of(self, name: str) -> AgentStatus:
        settings = self.disks[name].settings
        closed = settings is not None and settings.closed and self.written >= 150
        told = {"closed": closed, "lsn": self.written} if self.knows and name == self.leader else {}
        found = super().status_of(name).model_copy(update=told)
        replicas = tuple(replica.model_copy(update={"flush_lsn": self.written}) for replica in found.replicas)
        return found.model_copy(update={"replicas": replicas})

    def delete(self) -> dict[str, Any]:
        """Returns the final snapshot."""
        self.resource["metadata"]["deletionTimestamp"] = self.now.isoformat()
        self.step()
        (snapshot,) = self.objects["AuroraSnapshot"].values()
        snapshot["metadata"] |= {"uid": "0a1b2c3d-4e5f", "generation": 1}
        return snapshot

    def closed(self) -> set[bool]:
        """What instances are told."""
        return {disk.settings.closed for disk in self.disks.values() if disk.settings is not None}


def test_the_writer_is_told_and_the_snapshot_has_all_that_was_written() -> None:
    world = Doors()
    assert world.closed() == {False}
    story = test_snapshot.Story(world=world, raw=world.delete())
    story.step()
    assert story.step().status["message"] == OUT and "consistencyPoint" not in story.status
    world.step()
    assert world.closed() == {True}
    world.written = 140
    assert story.step().status["message"] == OUT
    world.step()
    assert OUT in world.resource["status"]["message"]
    world.written = 160
    assert story.step().status["consistencyPoint"]["lsn"] == "0/A0"
    story.taken()
    world.until(lambda: world.gone)


def test_a_backup_is_not_asked_for_before_either() -> None:
    world = Doors(backup=BACKUP, finalSnapshotMethod="Backup")
    story = test_snapshot_backup.Story(world=world, raw=world.delete())
    world.step()
    for _ in range(3):
        story.step()
    assert story.plans[-1].status["message"] == OUT and story.plans[-1].call is None
    world.written = 160
    assert story.step().call is not None


@pytest.mark.parametrize("release", ["earlier", "this"])
def test_others_wait_for_nothing(release: str) -> None:
    """An agent that knows of no doors; a snapshot that is not the final one, of a cluster that stays."""
    world = Doors()
    world.knows = release == "this"
    story = test_snapshot.Story(world=world) if world.knows else test_snapshot.Story(world=world, raw=world.delete())
    story.taken()
    assert story.status["phase"] == "Ready" and OUT not in {made.status["message"] for made in story.plans}
    assert world.closed() == {release == "earlier"}, "it is told all the same, and leaves it"


def test_protection_lets_clients_in_again() -> None:
    world = Doors()
    world.snapshot_classes = CLASSES
    world.delete()
    world.until(lambda: world.closed() == {True})
    world.edit(deletionProtection=True)
    world.until(lambda: world.closed() == {False})
    assert not world.gone


def test_a_cluster_whose_volumes_stay_shuts_nobody_out() -> None:
    world = Doors()
    world.edit(storage={"volumeRetention": {"whenDeleted": "Retain"}})
    world.settle()
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    world.until(lambda: world.gone)
    assert not any(pushed.settings.closed for pushed in calls(world, PushSettings))
