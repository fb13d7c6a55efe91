"""The committed CRD is the one that the models make, and is of the form that Kubernetes takes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from kubernetes.client import V1CustomResourceDefinition, V1JSONSchemaProps
from pydantic import BaseModel, Field

from aurora_operator.api.base.rules import VALIDATIONS
from aurora_operator.api.cluster import AuroraCluster
from aurora_operator.api.crd import generate
from aurora_operator.api.crd.structural import structural_schema

ROOT = Path(__file__).parents[4]
Node = tuple[str, dict[str, Any]]


def schema(resource: generate.Resource = generate.CLUSTER) -> dict[str, Any]:
    (version,) = generate.definition(resource)["spec"]["versions"]
    return copy.deepcopy(version["schema"]["openAPIV3Schema"])


def nodes(node: dict[str, Any], path: str = "") -> Iterator[Node]:
    yield path, node
    for name, item in node.get("properties", {}).items():
        yield from nodes(item, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{path}[]")


ALL = [pytest.param(node, id=r.plural + path) for r in generate.RESOURCES for path, node in nodes(schema(r))]


def test_the_committed_files_are_up_to_date() -> None:
    for path, text in generate.files().items():
        assert (ROOT / path).read_text() == text, "run `python -m aurora_operator.api.crd`"


@pytest.mark.parametrize("resource", generate.RESOURCES, ids=lambda r: r.kind)
def test_kubernetes_models_take_it_whole(resource: generate.Resource) -> None:
    definition = yaml.safe_load(generate.files()[resource.plain])
    parsed = V1CustomResourceDefinition.model_validate(definition)
    assert parsed.model_dump(mode="json", by_alias=True, exclude_none=True) == definition
    V1JSONSchemaProps.model_validate(schema(resource))


@pytest.mark.parametrize("node", ALL)
def test_each_node_is_structural(node: dict[str, Any]) -> None:
    assert not {"$ref", "$defs", "anyOf", "allOf", "oneOf", "const", "title", "uniqueItems"} & node.keys()
    typed = node.get("type")
    assert (typed is not None) != bool(node.get("x-kubernetes-int-or-string"))
    assert typed in {None, "object", "array", "string", "integer", "number", "boolean"}
    assert (typed == "array") == ("items" in node)
    assert not ("properties" in node and "additionalProperties" in node)


@pytest.mark.parametrize("node", [p for p in ALL if not str(p.id).endswith(("[]", ".metadata"))])
def test_each_field_is_explained(node: dict[str, Any]) -> None:
    assert len(node["description"]) > 8


@pytest.mark.parametrize("node", [p for p in ALL if VALIDATIONS in p.values[0]])  # type: ignore[operator]
def test_each_rule_has_a_sentence(node: dict[str, Any]) -> None:
    for rule in node[VALIDATIONS]:
        assert rule["message"].endswith(".")
        assert len(rule["message"]) <= 2048
        assert "\n" not in rule["message"] + rule["rule"] + rule.get("messageExpression", "")


AUTOSCALING = {"enabled": True, "thresholdPercent": 80, "step": "10Gi", "max": "64Ti"}


def test_only_the_spec_has_defaults() -> None:
    # That of the spec as a whole is made of those inside it, and has a test of its own.
    found = {path: node["default"] for path, node in nodes(schema()) if "default" in node and path != ".spec"}
    assert found == {
        ".spec.engineVersion": "17",
        ".spec.instances": 3,
        ".spec.promotionTier": 1,
        ".spec.proxy.poolMode": "transaction",
        ".spec.proxy.maxConnectionsPercent": 50,
        ".spec.proxy.connectionBorrowTimeout": 120,
        ".spec.proxy.maxReplicaLag": 30,
        ".spec.proxy.maxClientConnections": 5000,
        ".spec.proxy.maxPreparedStatements": 200,
        ".spec.stopped": False,
        ".spec.engineMode": "provisioned",
        **{f".spec.services.{endpoint}.type": "ClusterIP" for endpoint in ("writer", "reader", "any")},
        ".spec.endpoints[].type": "reader",
        ".spec.endpoints[].service.type": "ClusterIP",
        ".spec.scalingConfiguration.minCapacity": 2,
        ".spec.scalingConfiguration.maxCapacity": 16,
        ".spec.scalingConfiguration.autoPause": True,
        ".spec.scalingConfiguration.secondsUntilAutoPause": 300,
        ".spec.scalingConfiguration.secondsBeforeTimeout": 300,
        ".spec.scalingConfiguration.timeoutAction": "RollbackCapacityChange",
        ".spec.serverlessV2ScalingConfiguration.minCapacity": 0.5,
        ".spec.serverlessV2ScalingConfiguration.secondsUntilAutoPause": 300,
        ".spec.backup.restoreRehearsal.deadlineSeconds": 21600,
        ".spec.storage": {
            "size": "10Gi",
            "volumeRetention": {"whenDeleted": "Retain", "whenScaled": "Delete"},
            "autoscaling": AUTOSCALING,
        },
        ".spec.storage.autoscaling": AUTOSCALING,
        ".spec.readerAutoscaling.minCapacity": 1,
        ".spec.readerAutoscaling.maxCapacity": 15,
        ".spec.readerAutoscaling.scaleInCooldownSeconds": 300,
        ".spec.readerAutoscaling.scaleOutCooldownSeconds": 300,
        ".spec.readerAutoscaling.disableScaleIn": False,
        ".spec.readerAutoscaling.drainTimeoutSeconds": 300,
        **{f".spec.storage.autoscaling.{name}": value for name, value in AUTOSCALING.items()},
        ".spec.storage.size": "10Gi",
        ".spec.storage.volumeRetention": {"whenDeleted": "Retain", "whenScaled": "Delete"},
        ".spec.storage.volumeRetention.whenDeleted": "Retain",
        ".spec.storage.volumeRetention.whenScaled": "Delete",
        ".spec.durability": {"repairDelaySeconds": 60, "logVolumeSize": "2Gi"},
        ".spec.durability.repairDelaySeconds": 60,
        ".spec.durability.logVolumeSize": "2Gi",
        ".spec.databaseName": "app",
        ".spec.masterUsername": "app",
        ".spec.cloneFrom.type": "copy-on-write",
        ".spec.deletionProtection": False,
        ".spec.skipFinalSnapshot": False,
        ".spec.backup.destination.s3.region": "us-east-1",
        ".spec.backup.destination.s3.uriStyle": "host",
        ".spec.backup.destination.gcs.endpoint": "storage.googleapis.com",
        ".spec.backup.destination.azure.endpoint": "blob.core.windows.net",
        ".spec.backup.destination.azure.uriStyle": "host",
        ".spec.backup.schedule": {"fullEveryDays": 7, "incrementalEveryHours": 24},
        ".spec.backup.schedule.fullEveryDays": 7,
        ".spec.backup.schedule.incrementalEveryHours": 24,
        ".spec.backup.recoveryPointSeconds": 2,
        ".spec.backupRetentionPeriod": 7,
        ".spec.preferredBackupWindow": "02:00-03:00",
        ".spec.restoreFrom.destination.s3.region": "us-east-1",
        ".spec.restoreFrom.destination.s3.uriStyle": "host",
        ".spec.restoreFrom.destination.gcs.endpoint": "storage.googleapis.com",
        ".spec.restoreFrom.destination.azure.endpoint": "blob.core.windows.net",
        ".spec.restoreFrom.destination.azure.uriStyle": "host",
        ".spec.restoreFrom.target": {"inclusive": True},
        ".spec.restoreFrom.target.inclusive": True,
        ".spec.image": {"pullPolicy": "IfNotPresent"},
        ".spec.image.pullPolicy": "IfNotPresent",
    }


@pytest.mark.parametrize("resource", generate.RESOURCES, ids=lambda r: r.kind)
def test_columns(resource: generate.Resource) -> None:
    (version,) = generate.definition(resource)["spec"]["versions"]
    properties = schema(resource)["properties"]
    for column in version["additionalPrinterColumns"]:
        if not column["jsonPath"].startswith(".metadata"):
            node = {"properties": properties}
            for part in column["jsonPath"].removeprefix(".").split("."):
                node = node["properties"][part]
            assert node["type"] == ("string" if column["type"] == "date" else column["type"])


def test_what_a_user_sees_first_and_scale() -> None:
    (version,) = generate.definition()["spec"]["versions"]
    columns = [c["name"] for c in version["additionalPrinterColumns"] if c["priority"] == 0]
    assert columns == ["Status", "Ready", "Instances", "Writer", "Version", "Age"]
    assert version["subresources"]["scale"]["specReplicasPath"] == ".spec.instances"


def test_the_chart_keeps_it() -> None:
    text = generate.files()[generate.CLUSTER.template]
    lines = [line for line in text.splitlines() if not line.startswith("{{")]
    assert not any("{{" in line for line in lines)
    chart = yaml.safe_load("\n".join(lines))
    assert chart["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert chart == yaml.safe_load(generate.files()[generate.CLUSTER.plain])


def test_writing_and_checking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path)]
    assert generate.main(["--check", *root]) == 1
    assert "run `python -m aurora_operator.api.crd`" in capsys.readouterr().err
    assert generate.main(root) == 0
    assert generate.main(["--check", *root]) == 0
    (tmp_path / generate.CLUSTER.plain).write_text("something else")
    assert generate.main(["--check", *root]) == 1


class Inner(BaseModel):
    size: int = Field(default=1, gt=0, lt=9)


class Outer(BaseModel):
    """All that the converter has to turn round."""

    inner: Inner = Field(default=Inner(), description="What the field says.")
    maybe: Inner | None = None
    kind: Literal["only"] = "only"
    names: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)


def test_conversion() -> None:
    inner = {
        "type": "object",
        "properties": {
            "size": {
                "type": "integer",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 9,
                "exclusiveMaximum": True,
                "default": 1,
            }
        },
    }
    assert structural_schema(Outer, defaults=True) == {
        "type": "object",
        "description": "All that the converter has to turn round.",
        "properties": {
            "inner": inner | {"default": {"size": 1}, "description": "What the field says."},
            "maybe": inner,
            "kind": {"type": "string", "enum": ["only"], "default": "only"},
            "names": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    assert "default" not in str(structural_schema(Outer, defaults=False))


def test_a_choice_of_types_is_refused() -> None:
    class Choice(BaseModel):
        either: int | str

    with pytest.raises(ValueError, match="cannot offer a choice of types"):
        structural_schema(Choice, defaults=True)


def test_no_spec_is_a_spec_of_defaults() -> None:
    """`kubectl apply --server-side` of `spec: {}` after a client-side apply sends null: the API server puts the default
    in the place of null where a field is not nullable."""
    schema = generate.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    assert "required" not in schema and "nullable" not in spec
    metadata = {"name": "minimal"}
    empty = AuroraCluster.model_validate({"metadata": metadata, "spec": {}}).spec
    for given in ({"spec": spec["default"]}, {"spec": None}, {}):
        assert AuroraCluster.model_validate({"metadata": metadata, **given}).spec == empty
