"""A cluster's life, from creation to deletion, against the world in memory."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.planning.recording import plan
from tests.unit.planning.safety import disruptions
from tests.unit.planning.stories import calls, ready, reasons
from tests.unit.planning.world import START, World, cluster, copied, some_supplies

from aurora_operator.planning.deletion import FINALIZER
from aurora_operator.planning.model.plan_model import SnapshotClass, Switchover
from aurora_operator.planning.objects.volume import ANNOTATION_RETIRED

BACKUP = {"destination": {"volume": {"claimName": "backups"}}}


def test_creation() -> None:
    world = ready()
    assert world.instances == ["demo-1", "demo-2", "demo-3"]
    assert sorted(world.zones().values()) == ["zone-a", "zone-b", "zone-c"]
    status = world.resource["status"]
    assert (status["phase"], status["ready"], status["writer"], status["epoch"]) == ("Ready", "3/3", "demo-1", 1)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "Available": "True",
        "Progressing": "False",
        "Degraded": "False",
        "SpecAccepted": "True",
        "DurabilityMet": "True",
        "StorageHealthy": "True",
    }
    assert world.resource["metadata"]["finalizers"] == [FINALIZER]
    assert {m["name"]: m["role"] for m in status["members"]} == {
        "demo-1": "writer",
        "demo-2": "reader",
        "demo-3": "reader",
    }
    assert not any(disruptions(made) for made in world.plans)
    seen = reasons(world)
    assert seen[0] == "InstanceAdded" and seen.count("WriterOpened") == 1 and seen.count("Ready") == 1


def test_record_comes_before_volumes() -> None:
    world = World()
    first = plan(world.observe(), some_supplies(), START)
    kinds = {obj["kind"] for obj in first.apply}
    assert "PersistentVolumeClaim" not in kinds and "StatefulSet" not in kinds
    record = next(o for o in first.create if o["kind"] == "ConfigMap")
    assert json.loads(record["data"]["record.json"])["state"] == "empty"


def test_volumes_of_an_earlier_life_are_found() -> None:
    world = ready()
    world.resource["spec"]["instances"] = 3
    old = {name: world.objects["PersistentVolumeClaim"][f"data-{name}"] for name in ("demo-1", "demo-2")}
    again = World(cluster(instances=3))
    claims = {f"data-{name}": claim for name, claim in old.items()}
    again.objects["PersistentVolumeClaim"] = claims | {"data-demo-7": {**old["demo-2"]}}
    again.objects["PersistentVolumeClaim"]["data-demo-7"]["metadata"] = {
        **old["demo-2"]["metadata"],
        "name": "data-demo-7",
    }
    first = plan(again.observe(), some_supplies(), START)
    record = next(o for o in first.create if o["kind"] == "ConfigMap")
    assert json.loads(record["data"]["record.json"])["state"] == "initialised"
    again.carry_out(first)
    again.step()
    assert again.instances == ["demo-1", "demo-2", "demo-7"]


def test_scale_up_and_down() -> None:
    world = ready(durability={"copies": 5})
    world.edit(instances=5)
    world.settle()
    assert world.instances == [f"demo-{i}" for i in range(1, 6)]
    zones = list(world.zones().values())
    assert sorted(zones.count(zone) for zone in set(zones)) == [1, 2, 2]
    assert len(world.config.voters) == 5 and world.config.write_quorum == 3
    world.edit(instances=2)
    world.settle()
    assert len(world.instances) == 2 and world.leader in world.instances
    assert len(set(world.zones().values())) == 2
    assert len(world.logs) == 3 and len(world.config.voters) == 5
    copies = sorted([*world.instances, *world.logs])
    assert sorted(world.objects["PersistentVolumeClaim"]) == [f"data-{name}" for name in copies]
    assert not calls(world, Switchover) and not any(disruptions(made) for made in world.plans)


def test_retained_volume_is_kept_and_reused() -> None:
    world = ready(storage={"volumeRetention": {"whenScaled": "Retain"}})
    zone = world.zones()["demo-3"]
    world.edit(instances=2)
    world.settle()
    claim = world.objects["PersistentVolumeClaim"]["data-demo-3"]
    assert claim["metadata"]["annotations"][ANNOTATION_RETIRED] == "Retain"
    assert world.instances == ["demo-1", "demo-2"]
    world.edit(instances=3)
    world.settle()
    assert world.instances == ["demo-1", "demo-2", "demo-3"] and world.zones()["demo-3"] == zone
    assert world.objects["PersistentVolumeClaim"]["data-demo-3"]["metadata"]["uid"] == claim["metadata"]["uid"]


def test_writer_is_removed_only_after_a_switchover() -> None:
    world = ready()
    world.edit(instances=2, instanceSettings=[{"instance": 4}, {"instance": 5}])
    world.settle()
    assert world.instances == ["demo-4", "demo-5"]
    assert [c.leader for c in calls(world, Switchover)] == ["demo-1"]
    assert world.leader in ("demo-4", "demo-5")


def test_nobody_is_removed_while_the_leader_is_unknown() -> None:
    world = ready()
    world.unreachable = {"demo-1", "demo-2", "demo-3"}
    world.edit(instances=1)
    for _ in range(10):
        made = world.step()
        assert not made.delete and not made.calls
    assert world.resource["status"]["writer"] == "demo-1"
    assert world.condition("Ready")["status"] == "Unknown"
    world.unreachable = set()
    world.settle()
    assert world.instances == ["demo-1"]


def test_new_image_rolls_readers_first() -> None:
    world = ready()
    world.edit(image={"name": "aurora-instance:new"})
    world.settle()
    pods = [hit.name for made in world.plans for hit in disruptions(made) if hasattr(hit, "kind")]
    assert pods[-1] == "demo-1-0" and set(pods) == {"demo-1-0", "demo-2-0", "demo-3-0"}
    assert len(pods) == 3 and len(calls(world, Switchover)) == 1
    images = {p["spec"]["containers"][0]["image"] for p in world.objects["Pod"].values()}
    assert images == {"aurora-instance:new"}


def test_rollout_stops_at_the_first_that_fails_and_can_be_undone() -> None:
    world = ready()
    world.broken_images = {"bad"}
    world.edit(image={"name": "bad"})
    for _ in range(30):
        world.step()
    broken = [p for p, raw in world.objects["Pod"].items() if raw["spec"]["containers"][0]["image"] == "bad"]
    assert len(broken) == 1 and world.resource["status"]["phase"] == "Degraded"
    assert "ImagePullBackOff" in world.resource["status"]["message"]
    world.edit(image={"name": "aurora-instance:dev"})
    world.settle()
    assert not calls(world, Switchover) and world.leader == "demo-1"


def test_single_instance_is_restarted_directly() -> None:
    world = ready(instances=1, durability={"copies": 1})
    world.edit(image={"name": "new"})
    world.settle()
    assert [ref.name for made in world.plans for ref in made.delete] == ["demo-1-0"]


def test_failover_is_reported() -> None:
    world = ready()
    world.kill("demo-1")
    world.settle()
    assert world.resource["status"]["writer"] == "demo-2" and world.resource["status"]["epoch"] == 2
    assert "FailedOver" in reasons(world)
    assert not any(disruptions(made) for made in world.plans)


def test_no_rollout_while_a_copy_is_down() -> None:
    world = ready()
    world.frozen = {"demo-3"}
    world.kill("demo-3")
    world.edit(image={"name": "new"})
    for _ in range(20):
        world.step()
    hit = {ref.name for made in world.plans for ref in made.delete}
    assert hit <= {"demo-3-0"} and not calls(world, Switchover)
    assert world.resource["status"]["phase"] in ("Updating", "Degraded")


@pytest.mark.parametrize(("kept", "claims"), [("Retain", 3), ("Delete", 0)])
def test_deletion(kept: str, claims: int) -> None:
    world = ready(storage={"volumeRetention": {"whenDeleted": kept}}, skipFinalSnapshot=kept == "Delete")
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    for _ in range(10):
        if not world.gone:
            world.step()
    assert world.gone and not world.instances
    assert len(world.objects["PersistentVolumeClaim"]) == claims
    assert world.resource["status"]["phase"] == "Deleting"


def test_deletion_protection() -> None:
    world = ready(deletionProtection=True)
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    for _ in range(5):
        assert not world.step().delete
    assert not world.gone and "deletionProtection" in world.resource["status"]["message"]
    world.edit(deletionProtection=False)
    world.until(lambda: world.gone)


def _deleted_with_its_volumes() -> World:
    world = ready(storage={"volumeRetention": {"whenDeleted": "Delete"}})
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    for _ in range(5):
        assert not world.step().delete
    return world


def test_nothing_goes_before_the_final_snapshot_is_there() -> None:
    world = _deleted_with_its_volumes()
    ((name, snapshot),) = world.objects["AuroraSnapshot"].items()
    assert name == "demo-final-uid-demo" and snapshot["spec"] == {"cluster": "demo", "method": "VolumeSnapshot"}
    assert "ownerReferences" not in snapshot["metadata"]
    snapshot["status"] = {"phase": "Pending", "message": "No snapshot can be taken."}
    assert not world.step().delete
    message = world.resource["status"]["message"]
    assert "No snapshot can be taken." in message and "skipFinalSnapshot: true" in message
    snapshot["status"] = {"phase": "Ready"}
    world.until(lambda: world.gone)
    assert not world.objects["PersistentVolumeClaim"] and name in world.objects["AuroraSnapshot"]


@pytest.mark.parametrize(
    ("cluster", "created", "method"),
    [
        ("demo", timedelta(hours=-1), "VolumeSnapshot"),
        ("demo", timedelta(seconds=-1), "Backup"),
        ("other", timedelta(hours=1), "VolumeSnapshot"),
    ],
)
def test_a_snapshot_of_the_same_name_that_holds_something_else_is_not_the_final_one(
    cluster: str, created: timedelta, method: str
) -> None:
    world = ready(storage={"volumeRetention": {"whenDeleted": "Delete"}})
    metadata = {"name": "demo-final-uid-demo", "creationTimestamp": (world.now + created).isoformat()}
    theirs = {"metadata": metadata, "spec": {"cluster": cluster, "method": method}, "status": {"phase": "Ready"}}
    world.objects["AuroraSnapshot"] = {"demo-final-uid-demo": theirs}
    before = copied(theirs)
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    for _ in range(5):
        assert not world.step().delete
    ours = world.objects["AuroraSnapshot"]["demo-final-uid-demo-2"]
    assert "demo-final-uid-demo-2" in world.resource["status"]["message"]
    ours["status"] = {"phase": "Ready"}
    world.until(lambda: world.gone)
    assert theirs == before and len(world.objects["AuroraSnapshot"]) == 2


def test_a_snapshot_that_was_made_after_the_deletion_is_the_final_one_whoever_made_it() -> None:
    world = _deleted_with_its_volumes()
    metadata = {"name": "demo-final-uid-demo", "creationTimestamp": world.now.isoformat()}
    mine = {"metadata": metadata, "spec": {"cluster": "demo"}, "status": {"phase": "Ready"}}
    world.objects["AuroraSnapshot"] = {"demo-final-uid-demo": mine}
    world.until(lambda: world.gone)
    assert world.objects["AuroraSnapshot"] == {"demo-final-uid-demo": mine}


@pytest.mark.parametrize("retention", ["Delete", "Retain"])
def test_a_deletion_in_the_foreground_goes_in_our_order(retention: str) -> None:
    """Kubernetes' garbage collector has nothing to do: neither before the final snapshot nor after it."""
    world = ready(storage={"volumeRetention": {"whenDeleted": retention}})
    world.resource["metadata"]["finalizers"] += ["foregroundDeletion", "argocd.example/keep"]
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    first = world.step()
    assert first.finalizers == (FINALIZER, "argocd.example/keep")
    assert bool(first.delete) == (retention == "Retain")
    world.resource["metadata"]["finalizers"].append("foregroundDeletion")  # somebody deletes it once more
    assert "foregroundDeletion" not in (world.step().finalizers or ("foregroundDeletion",))
    for snapshot in world.objects.get("AuroraSnapshot", {}).values():
        snapshot["status"] = {"phase": "Ready"}
    world.until(lambda: FINALIZER not in world.resource["metadata"]["finalizers"])
    assert world.resource["metadata"]["finalizers"] == ["argocd.example/keep"]
    assert not world.objects["StatefulSet"]


@pytest.mark.parametrize(
    ("driver", "more", "method"),
    [
        ("csi.test", {"backup": BACKUP}, "VolumeSnapshot"),
        ("csi.test", {"backup": BACKUP, "finalSnapshotMethod": "Backup"}, "Backup"),
        ("csi.other", {"backup": BACKUP}, "Backup"),
        (None, {"backup": BACKUP}, "Backup"),
        (None, {"backup": BACKUP, "finalSnapshotMethod": "VolumeSnapshot"}, "VolumeSnapshot"),
        (None, {}, "VolumeSnapshot"),
    ],
)
def test_the_final_snapshot_is_made_as_can_be_or_as_is_wished(
    driver: str | None, more: dict[str, Any], method: str
) -> None:
    world = ready(storage={"volumeRetention": {"whenDeleted": "Delete"}}, **more)
    world.snapshot_classes = () if driver is None else (SnapshotClass("snaps", driver),)
    world.resource["metadata"]["deletionTimestamp"] = world.now.isoformat()
    world.step()
    (snapshot,) = world.objects["AuroraSnapshot"].values()
    assert snapshot["spec"] == {"cluster": "demo", "method": method}
    for _ in range(5):
        assert not world.step().delete
    assert "finalSnapshotMethod" in world.resource["status"]["message"]
    snapshot["status"] = {"phase": "Ready"}
    world.until(lambda: world.gone)


def test_another_final_snapshot_is_made_in_place_of_one_that_was_deleted() -> None:
    world = _deleted_with_its_volumes()
    world.edit(backup=BACKUP, finalSnapshotMethod="Backup")
    world.objects["AuroraSnapshot"].clear()
    world.step()
    (snapshot,) = world.objects["AuroraSnapshot"].values()
    assert snapshot["spec"]["method"] == "Backup" and len(world.objects["PersistentVolumeClaim"]) == 3


def test_a_final_snapshot_can_be_given_up() -> None:
    world = _deleted_with_its_volumes()
    world.edit(skipFinalSnapshot=True)
    world.until(lambda: world.gone)
    assert not world.objects["PersistentVolumeClaim"]


def test_a_final_snapshot_that_is_lost_again_stops_the_deletion() -> None:
    world = _deleted_with_its_volumes()
    (snapshot,) = world.objects["AuroraSnapshot"].values()
    snapshot["status"] = {"phase": "Ready"}
    world.step()
    snapshot["status"] = {"phase": "Failed"}
    for _ in range(10):
        world.step()
    assert not world.gone and len(world.objects["PersistentVolumeClaim"]) == 3
