"""What surrounds the driver: manifests, the sidecars' sources, reading csi-sanity's report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.kind.csi import deploy, sanity, sidecars
from tests.kind.csi.driver import DRIVER

CHOSEN = deploy.Images("d:1", "p:1", "r:1", "s:1", "c:1")


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rendered manifests, without asking Docker for the images' ids."""
    monkeypatch.setattr(deploy, "image_id", lambda name: f"id-of-{name}")
    return list(yaml.safe_load_all(deploy.render(CHOSEN)))


def test_the_manifests_are_filled_in_completely(documents: list[dict[str, Any]]) -> None:
    assert "${" not in str(documents)
    containers = [
        container
        for document in documents
        if document["kind"] in ("DaemonSet", "Deployment")
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    assert sorted(c["image"] for c in containers) == ["c:1", "d:1", "d:1", "p:1", "r:1", "s:1"]
    # Every claimed volume mount exists, and every sidecar is called by the name that the binary goes by.
    commands = {c["command"][0] for c in containers if "command" in c}
    assert commands == {f"/{program.name}" for program in sidecars.PROGRAMS}


def test_a_rebuilt_image_restarts_the_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for version in ("1", "2"):
        monkeypatch.setattr(deploy, "image_id", lambda name, version=version: name + version)
        texts.append(deploy.render(CHOSEN))
    assert texts[0] != texts[1]


def test_the_storage_class_offers_what_the_operator_needs(documents: list[dict[str, Any]]) -> None:
    by_kind = {document["kind"]: document for document in documents}
    storage = by_kind["StorageClass"]
    assert storage["provisioner"] == by_kind["VolumeSnapshotClass"]["driver"] == DRIVER
    assert by_kind["CSIDriver"]["metadata"]["name"] == DRIVER
    assert storage["allowVolumeExpansion"] is True
    assert storage["volumeBindingMode"] == "WaitForFirstConsumer"
    assert storage["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}


def test_a_program_becomes_a_library() -> None:
    source = "// package main is this\npackage main\n\nfunc main() {\n\tmainly()\n}\n\nfunc mainly() {}\n"
    assert sidecars.adopt(source, "csiresizer") == (
        "// package main is this\npackage csiresizer\n\nfunc Main() {\n\tmainly()\n}\n\nfunc mainly() {}\n"
    )


def test_the_dispatcher_gives_each_program_its_own_flags() -> None:
    text = sidecars.render_main()
    for program in sidecars.PROGRAMS:
        chosen = text.index(f'case "{program.name}":')
        flags = text.index(f"flag.CommandLine = {program.identifier}.Flags", chosen)
        assert chosen < flags < text.index(f"{program.identifier}.Main()", flags)


def test_the_report_is_counted_with_reasons(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase name="[BeforeSuite]" status="passed"/>
        <testcase name="[It] one" status="passed"/>
        <testcase name="[It] two" status="failed"><failure message="x"/></testcase>
        <testcase name="[It] three" status="skipped"><skipped message="skipped - not offered"/></testcase>
        <testcase name="[It] four" status="pending"><skipped message="pending"/></testcase>
        <testcase name="[It] five" status="panicked"/>
        </testsuite></testsuites>"""
    )
    outcome = sanity.parse_report(report)
    assert outcome.passed == 1
    assert outcome.failed == ["[It] two", "[It] five"]
    assert dict(outcome.skipped) == {"not offered": 1, "pending": 1}
