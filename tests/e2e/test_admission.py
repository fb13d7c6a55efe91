"""A real API server refuses each bad resource, with a sentence that says what would work, and each bad change.

Nothing is changed but what `before` needs: a cluster that no node will ever run.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e import api, kube
from tests.kind.cache import REPO
from tests.kind.context import kubectl, require_own_context
from tests.kind.shell import CommandFailed
from tests.unit.api.case import Bad, manifest
from tests.unit.api.cases import BAD_SPECS, GOOD_SPECS
from tests.unit.api.changes import BAD_CHANGES, GOOD_CHANGES

from aurora_operator.api.base import reasons
from aurora_operator.api.base.conditions import READY, set_condition
from aurora_operator.api.crd.generate import RESOURCES
from aurora_operator.api.status import AuroraClusterStatus, Binding, DurabilityStatus, Endpoints, MemberStatus

NAMESPACE = "e2e-admission"
NOWHERE = {"scheduling": {"nodeSelector": {"aurorapg.io/nowhere": "true"}}}


@pytest.fixture(scope="module", autouse=True)
def namespace() -> Iterator[None]:
    require_own_context()
    ours = [one for one in RESOURCES if kube.get("customresourcedefinition", one.name, "default") is None]
    for one in ours:
        kubectl("apply", "--server-side", "--filename", str(REPO / one.plain))
        kubectl("wait", "--for=condition=Established", f"customresourcedefinition/{one.name}", "--timeout=60s")
    kube.make_namespace(NAMESPACE)
    yield
    kube.delete_namespace(NAMESPACE, wait=True)
    for one in ours:
        kube.delete("customresourcedefinition", one.name, "default")


def send(verb: str, resource: dict[str, Any], *, dry_run: bool = True) -> dict[str, Any]:
    """As `kubectl create` or `kubectl replace` would. Raises Refused."""
    path = api.CLUSTERS.format(NAMESPACE)
    query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
    if verb == "create":
        return api.request("POST", path, resource, **query)
    path += f"/{resource['metadata']['name']}"
    while True:
        version = api.request("GET", path)["metadata"]["resourceVersion"]
        metadata = resource["metadata"] | {"resourceVersion": version}
        try:
            return api.request("PUT", path, resource | {"metadata": metadata}, **query)
        except api.Refused as refused:
            # The operator wrote its status between our reading and writing.
            if refused.code != HTTPStatus.CONFLICT:
                raise


def refusal(verb: str, resource: dict[str, Any]) -> str:
    with pytest.raises(api.Refused) as caught:
        send(verb, resource)
    return str(caught.value)


@contextlib.contextmanager
def there(spec: dict[str, Any], name: str) -> Iterator[None]:
    """A cluster that no node will run. Its end is not waited for: no other has its name."""
    send("create", manifest(NOWHERE | spec, name=name, namespace=NAMESPACE), dry_run=False)
    try:
        yield
    finally:
        api.request("DELETE", f"{api.CLUSTERS.format(NAMESPACE)}/{name}")


@pytest.mark.parametrize("bad", BAD_SPECS, ids=lambda bad: bad.id)
def test_bad_resources_are_refused(bad: Bad) -> None:
    assert bad.sentence in refusal("create", bad.manifest(NAMESPACE))


@pytest.mark.parametrize("bad", BAD_CHANGES, ids=lambda bad: bad.id)
def test_bad_changes_are_refused(bad: Bad) -> None:
    assert bad.before is not None
    with there(bad.before, bad.id):
        text = refusal("replace", manifest(NOWHERE | bad.spec, name=bad.id, namespace=NAMESPACE))
        assert bad.sentence in text


@pytest.mark.parametrize("number", range(len(GOOD_CHANGES)), ids=lambda number: str(GOOD_CHANGES[number]))
def test_good_changes_are_taken(number: int) -> None:
    before, after = GOOD_CHANGES[number]
    with there(before, f"good-{number}"):
        send("replace", manifest(NOWHERE | after, name=f"good-{number}", namespace=NAMESPACE))


@pytest.mark.parametrize("spec", GOOD_SPECS, ids=str)
def test_good_resources_are_taken(spec: dict[str, Any]) -> None:
    send("create", manifest(spec, namespace=NAMESPACE))


@pytest.mark.parametrize("path", sorted(REPO.glob("examples/*")), ids=lambda path: path.stem)
def test_examples_are_taken(path: Path) -> None:
    """By the server's schema and rules, as people apply them by hand and as GitOps does."""
    wanted = {
        (document["kind"].lower(), document["metadata"]["name"])
        for document in yaml.safe_load_all(path.read_text())
        if document is not None
    }
    words = ["--namespace", NAMESPACE, "apply", "--dry-run=server", "--validate=strict", "--filename", str(path)]
    for options in ([], ["--server-side"]):
        taken = kubectl(*words, "--output=name", *options, timeout=60).split()
        assert {(kind.partition(".")[0], name) for kind, name in (line.split("/") for line in taken)} == wanted


def test_scaling_is_checked_too() -> None:
    send("create", manifest(NOWHERE | {"instances": 1}, name="scaled", namespace=NAMESPACE), dry_run=False)
    try:
        scale = ["--namespace", NAMESPACE, "scale", "auroracluster", "scaled"]
        with pytest.raises(CommandFailed) as caught:
            kubectl(*scale, "--replicas=17", timeout=60)
        assert "instances must be 1 to 16: one writer and up to 15 readers." in caught.value.output
        kubectl(*scale, "--replicas=2", timeout=60)
        assert kube.need("auroracluster", "scaled", NAMESPACE)["spec"]["instances"] == 2
    finally:
        kube.delete("auroracluster", "scaled", NAMESPACE)


def test_a_whole_status_is_stored_as_written() -> None:
    status = AuroraClusterStatus(
        observed_generation=1,
        phase="Degraded",
        message="One of 3 instances does not serve.",
        writer="status-1",
        epoch=3,
        instances=3,
        ready_instances=2,
        ready="2/3",
        selector="aurorapg.io/cluster=status,aurorapg.io/component=instance",
        engine_version="17.12",
        endpoints=Endpoints(writer="status", reader="status-ro", any="status-any", port=5432, secret="status-app"),
        binding=Binding(name="status-app"),
        members=(
            MemberStatus(
                name="status-1",
                role="writer",
                zone="zone-a",
                ready=True,
                voting=True,
                phase="Leading",
                lag_bytes=0,
                lag_seconds=0.25,
                pending_restart=("shared_buffers",),
                message="Well.",
            ),
        ),
        durability=DurabilityStatus(
            copies=3, alive_copies=2, write_quorum=2, read_quorum=2, zones=("zone-a",), write_available=True
        ),
        conditions=set_condition((), READY, "False", reasons.FAULT, "", now=datetime.now(UTC), observed_generation=1),
    ).to_kubernetes()
    send("create", manifest(NOWHERE, name="status", namespace=NAMESPACE), dry_run=False)
    try:
        words = ["--type=merge", "--subresource=status", "--dry-run=server", "--output=json", "--patch"]
        text = kubectl(
            *("--namespace", NAMESPACE, "patch", "auroracluster", "status", *words),
            json.dumps({"status": status}),
            timeout=60,
        )
        assert json.loads(text)["status"] == status
    finally:
        kube.delete("auroracluster", "status", NAMESPACE)


def test_kubectl_shows_the_sentence() -> None:
    bad = BAD_SPECS[0]
    with pytest.raises(CommandFailed) as caught:
        kubectl("create", "--filename", "-", "--dry-run=server", stdin=json.dumps(bad.manifest(NAMESPACE)), timeout=60)
    assert bad.sentence in caught.value.output


def test_misspelt_fields_are_named() -> None:
    resource = json.dumps(manifest({"instnaces": 3}, namespace=NAMESPACE))
    with pytest.raises(CommandFailed) as caught:
        kubectl("create", "--filename", "-", "--dry-run=server", stdin=resource, timeout=60)
    text = caught.value.output
    assert 'unknown field "spec.instnaces"' in text


def test_fields_are_explained() -> None:
    assert "PostgreSQL's version" in kubectl("explain", "auroracluster.spec.engineVersion", timeout=60)
