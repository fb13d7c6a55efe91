"""Every manifest in examples/ is understood, accepted and carried out as far as a world in memory goes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.kind.cache import REPO
from tests.unit.planning.bootstrap.test_from_snapshot import held
from tests.unit.planning.stories import ready
from tests.unit.planning.world import START, World, cluster

from aurora_operator.api.base.names import KIND, binding_path
from aurora_operator.api.cluster import AuroraCluster
from aurora_operator.api.snapshot import SNAPSHOT_KIND, AuroraSnapshot
from aurora_operator.planning.model.plan_model import Held, SnapshotClass, Source, StorageClass
from aurora_operator.planning.model.snapshot_model import SnapshotSeen, needs_source
from aurora_operator.planning.snapshots.snapshot import plan_snapshot

EXAMPLES = sorted(REPO.glob("examples/*"))
MODELS: dict[str, type[AuroraCluster | AuroraSnapshot]] = {KIND: AuroraCluster, SNAPSHOT_KIND: AuroraSnapshot}
BESIDE = {"PersistentVolumeClaim", "Deployment"}
"""Kinds of others' that an example may bring along. None with data: applying it must overwrite nobody's Secret."""


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def of_kind(kind: str) -> list[Any]:
    return [
        pytest.param(document, id=f"{path.stem}-{document['metadata']['name']}")
        for path in EXAMPLES
        for document in documents(path)
        if document["kind"] == kind
    ]


@cache
def demo() -> World:
    """The cluster that `make demo` makes, on which some of the examples build."""
    (document,) = documents(REPO / "examples" / "demo.yaml")
    world = World(cluster("demo", **document["spec"]))
    world.settle()
    return world


def snapshot() -> Held:
    """What examples/snapshot.yaml has become."""
    (document,) = documents(REPO / "examples" / "snapshot.yaml")
    found = held(size="2Gi")
    assert found.volume is not None
    name, marks = document["metadata"]["name"], found.volume
    volume = {"metadata": {**marks["metadata"], "name": name}, "status": {**marks["status"], "restoreSize": "2Gi"}}
    return Held({**found.snapshot, "metadata": {"name": name}, "spec": document["spec"]}, volume)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_begins_with_what_it_shows_and_holds_only_what_it_needs(path: Path) -> None:
    assert path.suffix == ".yaml"
    assert re.match(r"# \S.{20,}", path.read_text())
    found = documents(path)
    ours = [d for d in found if d["kind"] not in BESIDE]
    assert ours
    for document in ours:
        model = MODELS[document["kind"]]
        assert model.model_validate(document).metadata.name == document["metadata"]["name"]


def test_no_two_files_make_the_same_cluster() -> None:
    names = [(d["kind"], d["metadata"]["name"]) for path in EXAMPLES for d in documents(path)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("document", of_kind(KIND))
def test_it_is_accepted_and_carried_out(document: dict[str, Any]) -> None:
    spec = document["spec"]
    world = World(cluster(document["metadata"]["name"], **spec))
    chosen = spec.get("storage", {}).get("storageClassName")
    if chosen is not None:
        world.classes = (*world.classes, StorageClass(chosen, default=False, expandable=True, provisioner="csi.test"))
    world.priority_classes.add(spec.get("scheduling", {}).get("priorityClassName", ""))
    if "cloneFrom" in spec or "cluster" in spec.get("restoreFrom", {}):
        world.source = demo()
    if "snapshot" in spec.get("restoreFrom", {}):
        world.held = snapshot()
    if spec.get("stopped"):
        world.until(lambda: world.resource.get("status", {}).get("phase") == "Stopping")
    else:
        world.settle()
        assert world.resource["status"]["phase"] == "Ready"
        assert len(world.instances) >= spec.get("instances", 3)
    accepted = world.condition("SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "Accepted"), accepted["message"]


@pytest.mark.parametrize("document", of_kind(SNAPSHOT_KIND))
def test_a_snapshot_is_begun(document: dict[str, Any]) -> None:
    metadata = {**document["metadata"], "namespace": "default", "uid": "uid-s", "generation": 1}
    raw = {"metadata": metadata, "spec": document["spec"]}
    world = ready()
    theirs = world.observe()
    for moment in range(3):
        seen = SnapshotSeen(
            snapshot=raw,
            operator=theirs.operator,
            volume_snapshot=None,
            source=Source(theirs.cluster, theirs.children, theirs.agents) if needs_source(raw) else None,
            storage_classes=world.classes,
            snapshot_classes=(SnapshotClass("snaps", "csi.test"),),
        )
        made = plan_snapshot(seen, START)
        raw = {**raw, "status": made.status}
        assert made.status["phase"] in ("Pending", "Creating"), moment
        assert "Failed" not in str(made.status)


def test_an_application_finds_in_the_secret_what_it_asks_for() -> None:
    database, deployment = documents(REPO / "examples" / "application.yaml")
    name = database["metadata"]["name"]
    world = World(cluster(name, **database["spec"]))
    world.settle()
    pod = deployment["spec"]["template"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    secret = volume["secret"]["secretName"]
    assert world.resource["status"]["binding"] == {"name": secret}
    asked = [entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry]
    assert asked and all(world.objects["Secret"][secret]["data"][each["key"]] for each in asked)
    assert {each["name"] for each in asked} == {secret}
    (mount,) = container["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], binding_path(name))
    (root,) = (entry["value"] for entry in container["env"] if entry["name"] == "SERVICE_BINDING_ROOT")
    assert mount["mountPath"] == f"{root}/{name}"


def test_the_page_about_connecting_shows_what_the_example_has() -> None:
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", (REPO / "docs" / "connecting.md").read_text(), re.S | re.M)
    example = (REPO / "examples" / "application.yaml").read_text()
    assert [line for line in shown.splitlines() if f"\n{line}" not in example] == []
