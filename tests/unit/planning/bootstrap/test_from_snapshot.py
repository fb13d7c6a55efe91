"""A new cluster from an AuroraSnapshot."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.planning.world import World, cluster

from aurora_operator.api.agent.origin import RestoreOrigin
from aurora_operator.api.agent.settings import Settings
from aurora_operator.planning.bootstrap.from_snapshot import snapshot_wanted
from aurora_operator.planning.model.plan_model import Held
from aurora_operator.planning.objects.config import SETTINGS_KEY


def held(**status: Any) -> Held:
    """A complete AuroraSnapshot and its VolumeSnapshot."""
    source = {"databaseName": "app", "masterUsername": "app", "zone": "zone-b"}
    done = {"phase": "Ready", "completedAt": "2026-03-01T12:00:00Z", "size": "20Gi", "source": source}
    snapshot = {"metadata": {"name": "monday"}, "spec": {"cluster": "gone"}, "status": done | status}
    marks = {"labels": {"topology.kubernetes.io/zone": "zone-b"}, "annotations": {"aurorapg.io/lsn": "100"}}
    volume = {
        "metadata": {"name": "monday", "uid": "u", **marks},
        "status": {"readyToUse": True, "restoreSize": "20Gi"},
    }
    return Held(snapshot, volume)


def restored(found: Held | None, **spec: Any) -> World:
    wanted = {"restoreFrom": {"snapshot": "monday"}, "storage": {"size": "20Gi"}}
    world = World(cluster("new", **(wanted | spec)))
    world.held = found
    return world


def test_the_first_instance_begins_with_the_snapshot_where_it_is() -> None:
    world = restored(held())
    world.until(lambda: bool(world.instances))
    settings = world.objects["ConfigMap"]["new-settings"]["data"][SETTINGS_KEY]
    assert '"source":"snapshot monday"' in settings and '"lsn":100' in settings and '"running":false' in settings
    world.settle()
    claims = world.objects["PersistentVolumeClaim"]
    assert claims["data-new-1"]["spec"]["dataSource"]["name"] == "monday"
    assert "dataSource" not in claims["data-new-2"]["spec"]
    assert world.zones()["new-1"] == "zone-b" and len(set(world.zones().values())) == 3
    told = world.resource["status"]["origin"]
    assert (told["source"], told["method"], told["consistencyPoint"]) == ("snapshot monday", "VolumeSnapshot", "0/64")
    assert told["completedAt"]
    # The snapshot is not the cluster's to delete, and not needed any more.
    assert not [ref for made in world.plans for ref in made.delete]
    assert snapshot_wanted(world.resource, world.objects) is None
    world.held = None
    assert not world.settle().changes


def test_another_zone_is_tried_where_the_spec_insists() -> None:
    world = restored(held(), instanceSettings=[{"instance": 1, "availabilityZone": "zone-c"}])
    world.settle()
    assert world.zones()["new-1"] == "zone-c"


@pytest.mark.parametrize(
    ("found", "spec", "sentence"),
    [
        (None, {}, "there is no AuroraSnapshot monday in namespace default"),
        (held(), {"databaseName": "shop"}, "databaseName must be that of the snapshot monday: set it to app."),
        (held(), {"masterUsername": "boss"}, "masterUsername must be that of the snapshot monday: set it to app."),
    ],
)
def test_what_cannot_be_is_said(found: Held | None, spec: dict[str, Any], sentence: str) -> None:
    world = restored(found, **spec)
    for _ in range(3):
        world.step()
    assert sentence in world.condition("SpecAccepted")["message"]
    assert not world.instances


def test_a_snapshot_that_is_being_made_is_waited_for() -> None:
    complete = held()
    making = Held({**complete.snapshot, "status": {"phase": "Creating", "message": "It is being made."}})
    world = restored(making)
    for _ in range(5):
        world.step()
    assert not world.instances and "It is being made." in world.resource["status"]["message"]
    world.held = complete
    world.settle()
    assert world.resource["status"]["phase"] == "Ready"


def backed_up(**status: Any) -> Held:
    """A complete AuroraSnapshot of method Backup."""
    source = {"databaseName": "app", "masterUsername": "app"}
    destination = {
        "s3": {"bucket": "backups", "endpoint": "s3.test", "credentials": {"name": "keys"}},
        "path": "/a/m-1/1",
    }
    backup = {
        "path": "/a/m-1/1",
        "label": "20260301-120002F",
        "repository": {"destination": destination, "stanza": "demo-1", "encryption": {"secret": {"name": "phrase"}}},
    }
    done = {"phase": "Ready", "completedAt": "2026-03-01T12:00:00Z", "source": source, "backup": backup}
    point = {"consistencyPoint": {"lsn": "1/200", "timeline": 3}}
    spec = {"cluster": "gone", "method": "Backup"}
    return Held({"metadata": {"name": "monday"}, "spec": spec, "status": done | point | status})


def test_a_backup_is_restored_by_the_first_instance() -> None:
    world = restored(backed_up())
    world.until(lambda: bool(world.instances))
    settings = Settings.model_validate_json(world.objects["ConfigMap"]["new-settings"]["data"][SETTINGS_KEY])
    origin = settings.origin
    assert isinstance(origin, RestoreOrigin)
    assert (origin.set, origin.repository.stanza) == ("20260301-120002F", "demo-1")
    assert origin.repository.destination.path == "/a/m-1/1"
    pod = world.objects["StatefulSet"]["new-1"]["spec"]["template"]["spec"]
    assert {"restore-credentials", "restore-encryption"} <= {v["name"] for v in pod["volumes"]}
    world.held = None  # it goes on with what it was begun with
    world.settle()
    told = world.resource["status"]["origin"]
    assert (told["source"], told["method"], told["consistencyPoint"]) == ("snapshot monday", "Restore", "1/200")
    assert told["completedAt"] and "dataSource" not in world.objects["PersistentVolumeClaim"]["data-new-1"]["spec"]


def test_a_backup_that_is_being_taken_is_waited_for() -> None:
    making = backed_up(phase="Creating", message="demo-2 stores it.", completedAt=None)
    world = restored(making)
    for _ in range(5):
        world.step()
    assert not world.instances and "demo-2 stores it." in world.resource["status"]["message"]
    world.held = backed_up()
    world.settle()
    assert world.resource["status"]["phase"] == "Ready"
