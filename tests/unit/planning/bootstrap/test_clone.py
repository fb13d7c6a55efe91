"""A clone's way to its first data, against two worlds in memory: the source's and its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.planning.power.test_power import Sleeper, asleep
from tests.unit.planning.stories import ready, reasons
from tests.unit.planning.world import START, World, cluster

from aurora_operator.api.agent.messages import ConfigStatus
from aurora_operator.api.base import names
from aurora_operator.planning.bootstrap.clone import source_wanted
from aurora_operator.planning.bootstrap.first_data import ANNOTATION_FALLBACK, ANNOTATION_POINT
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.model.plan_model import SnapshotClass
from aurora_operator.planning.objects.common import decode_data
from aurora_operator.planning.objects.config import SETTINGS_KEY

CLASSES = (SnapshotClass("snaps", "csi.test"),)


def clone_of(source: World, kind: str = "copy-on-write", **spec: Any) -> World:
    world = World(cluster("copy", instances=3, cloneFrom={"cluster": "demo", "type": kind}, **spec))
    world.source, world.snapshot_classes, world.now = source, CLASSES, source.now
    return world


def snapshot(world: World) -> dict[str, Any]:
    return world.objects.get("VolumeSnapshot", {})["copy.origin"]


def take(world: World, **status: Any) -> None:
    """The driver answers."""
    raw = snapshot(world)
    raw["metadata"].setdefault("creationTimestamp", world.now.isoformat())
    raw["status"] = status


def until_snapshot(world: World) -> None:
    world.until(lambda: "copy.origin" in world.objects.get("VolumeSnapshot", {}))


def origin(world: World) -> str:
    return str(world.objects["ConfigMap"]["copy-settings"]["data"][SETTINGS_KEY])


def test_a_clone_begins_with_a_snapshot_of_a_readers_volume() -> None:
    source = ready()
    world = clone_of(source)
    until_snapshot(world)
    raw = snapshot(world)
    assert raw["spec"]["source"]["persistentVolumeClaimName"] == "data-demo-3"
    assert raw["spec"]["volumeSnapshotClassName"] == "snaps"
    assert not world.instances and "PersistentVolumeClaim" not in world.objects
    take(world, readyToUse=True, restoreSize="20Gi")
    world.settle()
    claims = world.objects["PersistentVolumeClaim"]
    assert claims["data-copy-1"]["spec"]["dataSource"]["name"] == "copy.origin"
    assert claims["data-copy-1"]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert "dataSource" not in claims["data-copy-2"]["spec"]
    # Where the snapshot is, and the others elsewhere.
    assert world.zones()["copy-1"] == source.zones()["demo-3"]
    assert sorted(world.zones().values()) == ["zone-a", "zone-b", "zone-c"]
    told = world.resource["status"]["origin"]
    assert told["source"] == "cluster demo" and told["method"] == "VolumeSnapshot" and told["completedAt"]
    assert told["consistencyPoint"] == "0/64" and "fallback" not in told
    # What led there is gone, and the agents are told no more of it.
    assert not world.objects["VolumeSnapshot"] and '"origin":null' in origin(world)
    assert not world.resource["metadata"].get("annotations")
    assert reasons(world).count("Cloned") == 1
    assert not source.plans[-1].changes


def test_the_origin_is_in_the_settings_before_there_is_a_pod() -> None:
    world = clone_of(ready())
    until_snapshot(world)
    take(world, readyToUse=True)
    world.until(lambda: bool(world.instances))
    assert '"origin":{"host":null,"kind":"clone","lsn":100,"running":true,"source":"cluster demo"}' in origin(world)


def test_commits_before_the_clone_was_asked_for_are_waited_for() -> None:
    source = ready()
    world = clone_of(source)
    world.until(lambda: ANNOTATION_POINT in world.resource["metadata"].get("annotations", {}))
    world.resource["metadata"]["annotations"][ANNOTATION_POINT] = "101"
    for _ in range(5):
        world.step()
    assert not world.objects.get("VolumeSnapshot")
    assert "has all up to 0/65" in world.resource["status"]["message"]


def test_a_source_that_is_paused_is_woken() -> None:
    source = asleep()
    world = clone_of(source)
    assert world.step().wakes == "demo" and "demo is paused" in world.resource["status"]["message"]
    source.resource["metadata"]["annotations"] = {names.ANNOTATION_WAKE: "by copy"}
    assert world.step().wakes is None, "once is enough"
    source.until(lambda: source.phase == "Ready")
    until_snapshot(world)
    assert all(made.wakes is None for made in world.plans[1:])


def test_a_source_that_is_stopped_stays_so_and_the_clone_says_what_to_do() -> None:
    source = Sleeper()
    source.settle()
    source.edit(stopped=True)
    source.until(lambda: source.phase == "Stopped")
    world = clone_of(source)
    assert world.step().wakes is None and "demo is stopped: set stopped: false" in world.resource["status"]["message"]
    source.edit(stopped=False)
    source.until(lambda: source.phase == "Ready")
    until_snapshot(world)


@pytest.mark.parametrize(
    ("classes", "why"),
    [
        ((), "Kubernetes has no VolumeSnapshotClass"),
        ((SnapshotClass("other", "csi.other"),), "there is no VolumeSnapshotClass for csi.test"),
    ],
)
def test_where_no_snapshot_can_be_it_is_a_full_copy_and_says_so(classes: tuple[SnapshotClass, ...], why: str) -> None:
    world = clone_of(ready())
    world.snapshot_classes = classes
    world.settle()
    told = world.resource["status"]["origin"]
    assert told["method"] == "FullCopy" and why in told["fallback"] and told["completedAt"]
    assert reasons(world).count("CloneFallsBack") == 1
    assert "dataSource" not in world.objects["PersistentVolumeClaim"]["data-copy-1"]["spec"]


def test_a_full_copy_has_credentials_of_its_own_at_the_source_for_a_day() -> None:
    source = ready()
    world = clone_of(source, "full-copy")
    world.until(lambda: bool(world.instances))
    data = decode_data(world.objects["Secret"][names.origin_secret("copy")])
    authority = decode_data(source.objects["Secret"]["demo-ca"])["ca.crt"]
    assert pki.signed_by(data["replication.crt"], authority)
    assert pki.common_name(data["replication.crt"]) == names.REPLICATION_USER
    assert pki.not_after(data["replication.crt"]) <= world.now + timedelta(days=1)
    assert data["ca.crt"] == decode_data(source.objects["Secret"]["demo-tls"])["ca.crt"]
    assert '"host":"demo-3-0.demo-pods.default.svc"' in origin(world)
    assert not world.objects.get("VolumeSnapshot")
    assert "fallback" not in world.resource["status"]["origin"]
    world.settle()
    assert set(decode_data(world.objects["Secret"][names.origin_secret("copy")]).values()) == {""}
    # The pods' form does not depend on whether the credentials are still there.
    assert not any(ref.kind == "Pod" for made in world.plans for ref in made.delete)


def test_another_instance_is_copied_when_the_first_goes() -> None:
    source = ready()
    world = clone_of(source, "full-copy")
    world.until(
        lambda: "demo-3-0" in ((world.objects.get("ConfigMap", {}).get("copy-settings") and origin(world)) or "")
    )
    source.frozen = {"demo-3"}
    source.kill("demo-3")
    source.live()
    world.step()
    assert '"host":"demo-2-0.demo-pods.default.svc"' in origin(world)


def test_a_snapshot_that_fails_is_given_up_after_a_while() -> None:
    world = clone_of(ready())
    until_snapshot(world)
    take(world, error={"message": "out of quota"})
    world.step()
    assert "out of quota" in world.resource["status"]["message"]
    world.now += timedelta(minutes=5)
    world.until(lambda: not world.objects["VolumeSnapshot"])
    world.settle()
    assert "out of quota" in world.resource["status"]["origin"]["fallback"]


def test_a_volume_that_the_driver_never_makes_is_given_up() -> None:
    world = clone_of(ready())
    until_snapshot(world)
    take(world, readyToUse=True)
    world.until(lambda: "data-copy-1" in world.objects.get("PersistentVolumeClaim", {}))
    uid = world.objects["PersistentVolumeClaim"]["data-copy-1"]["metadata"]["uid"]
    world.objects["Pod"] = {}
    world.agents.clear()
    world.leader, world.config = None, ConfigStatus(version=0, voters=(), write_quorum=1)
    record = world.objects["ConfigMap"]["copy-record"]["data"]
    record["record.json"] = '{"state": "empty"}'
    claim = world.objects["PersistentVolumeClaim"]["data-copy-1"]
    claim["metadata"]["creationTimestamp"] = (world.now - timedelta(minutes=3)).isoformat()
    claim["status"] = {"phase": "Pending"}
    world.step()
    assert "data-copy-1" not in world.objects["PersistentVolumeClaim"]
    world.settle()
    again = world.objects["PersistentVolumeClaim"]["data-copy-1"]
    assert again["metadata"]["uid"] != uid and "dataSource" not in again["spec"]
    assert world.resource["status"]["origin"]["method"] == "FullCopy"


def test_a_volume_with_data_is_never_given_up() -> None:
    world = clone_of(ready())
    until_snapshot(world)
    take(world, readyToUse=True)
    world.settle()
    claim = world.objects["PersistentVolumeClaim"]["data-copy-1"]
    claim["metadata"]["creationTimestamp"] = START.isoformat()
    claim["status"] = {"phase": "Pending"}
    world.now += timedelta(days=1)
    for _ in range(5):
        assert not [ref for ref in world.step().delete if ref.kind == "PersistentVolumeClaim"]


def test_the_source_may_go_once_the_clone_has_begun() -> None:
    world = clone_of(ready())
    until_snapshot(world)
    take(world, readyToUse=True)
    world.settle()
    assert source_wanted(world.resource, world.objects) is None
    world.source = None
    assert not world.settle().changes


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"databaseName": "shop"}, "databaseName of a clone must be that of demo: set it to app."),
        ({"masterUsername": "boss"}, "masterUsername of a clone must be that of demo: set it to app."),
    ],
)
def test_what_a_clone_cannot_differ_in(spec: dict[str, Any], sentence: str) -> None:
    world = clone_of(ready(), **spec)
    world.step()
    world.step()
    assert sentence in world.condition("SpecAccepted")["message"]
    assert not world.objects.get("VolumeSnapshot") and not world.instances


@pytest.mark.parametrize("kind", ["copy-on-write", "full-copy"])
def test_a_clone_has_room_for_all_of_a_source_that_has_grown(kind: str) -> None:
    source = ready()
    for name in ("data-demo-1", "data-demo-2", "data-demo-3"):
        source.objects["PersistentVolumeClaim"][name]["spec"]["resources"]["requests"]["storage"] = "35Gi"
    world = clone_of(source, kind, storage={"size": "5Gi"})
    if kind == "copy-on-write":
        until_snapshot(world)
        take(world, readyToUse=True, restoreSize="35Gi")
    world.until(lambda: "data-copy-1" in world.objects.get("PersistentVolumeClaim", {}))
    claim = world.objects["PersistentVolumeClaim"]["data-copy-1"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "35Gi"


def test_a_source_that_does_not_exist_is_said_at_once() -> None:
    world = World(cluster("copy", cloneFrom={"cluster": "nobody"}))
    world.step()
    assert "there is no AuroraCluster nobody in namespace default" in world.condition("SpecAccepted")["message"]


def test_a_clone_of_itself_is_refused() -> None:
    world = World(cluster("copy", cloneFrom={"cluster": "copy"}))
    world.step()
    assert "cloneFrom.cluster is this cluster itself" in world.condition("SpecAccepted")["message"]


def test_fallback_is_remembered_between_passes() -> None:
    world = clone_of(ready())
    world.snapshot_classes = ()
    world.until(lambda: ANNOTATION_FALLBACK in world.resource["metadata"].get("annotations", {}))
    world.snapshot_classes = CLASSES
    world.settle()
    assert world.resource["status"]["origin"]["method"] == "FullCopy"
