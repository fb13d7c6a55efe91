"""The CustomResourceDefinitions, written from the models.

`python -m aurora_operator.api.crd` writes them, from the root of the repository; `--check` only says whether they are
up to date. They go to two places: `crds/` for `kubectl apply`, and templates of the chart, because Helm installs what
is in a chart's own `crds/` folder once and never upgrades it. There they are kept when the release is uninstalled: all
clusters would be deleted with them. A developers' tool: it needs PyYAML, which the agent's image does not have.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aurora_operator.api.base import names
from aurora_operator.api.base.rules import VALIDATIONS
from aurora_operator.api.cluster import AuroraCluster
from aurora_operator.api.crd.structural import structural_schema
from aurora_operator.api.snapshot import SNAPSHOT_KIND, SNAPSHOT_PLURAL, AuroraSnapshot

_CHART: Final = Path("charts/aurora-operator/templates/crds")
MAX_BYTES: Final = 256 * 1024
"""`kubectl apply` keeps a copy in an annotation, which may have no more."""

_HEADER: Final = "# Made from operator/aurora_operator/api by `python -m aurora_operator.api.crd`; change it there.\n"
_COLUMNS: Final = (
    ("Status", "string", ".status.phase", 0, "The state of the cluster in one word."),
    ("Ready", "string", ".status.ready", 0, "Instances that serve clients, of those wanted."),
    ("Instances", "integer", ".spec.instances", 0, "Instances wanted."),
    ("Writer", "string", ".status.writer", 0, "The instance that takes writes."),
    ("Version", "string", ".status.engineVersion", 0, "PostgreSQL's version on the writer."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since it was created."),
    ("Epoch", "integer", ".status.epoch", 1, "Number of the writer's leadership."),
    ("Copies", "string", ".status.durability.alive", 1, "Voting copies that are alive, of those wanted."),
    ("Zones", "string", ".status.durability.perZone", 1, "The same by zone."),
    ("Writes", "boolean", ".status.durability.writeAvailable", 1, "Whether enough copies are alive for writes."),
    ("Reads", "boolean", ".status.durability.readAvailable", 1, "Whether enough copies are alive to know all commits."),
    ("Message", "string", ".status.message", 1, "The state of the cluster in a sentence."),
)


_SNAPSHOT_COLUMNS: Final = (
    ("Cluster", "string", ".spec.cluster", 0, "The cluster that it is of."),
    ("Status", "string", ".status.phase", 0, "Its state in one word."),
    ("Taken", "date", ".status.consistencyPoint.time", 0, "Time since the moment that its data are of."),
    ("Size", "string", ".status.size", 0, "The least size of a volume for its data."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since it was created."),
    ("LSN", "string", ".status.consistencyPoint.lsn", 1, "The LSN that its data reach at least."),
    ("Method", "string", ".spec.method", 1, "How it was made."),
    ("Path", "string", ".status.backup.path", 1, "Where in the destination a backup holds the data."),
    ("Message", "string", ".status.message", 1, "Its state in a sentence."),
)


@dataclass(frozen=True)
class Resource:
    """A kind, and how it shows in kubectl."""

    kind: str
    plural: str
    short: str
    model: type[BaseModel]
    columns: tuple[tuple[str, str, str, int, str], ...]
    scale: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """Name of its CustomResourceDefinition."""
        return f"{self.plural}.{names.GROUP}"

    @property
    def plain(self) -> Path:
        """Its file for kubectl, in the repository."""
        return Path("crds") / f"{self.name}.yaml"

    @property
    def template(self) -> Path:
        """Its file in the chart."""
        return _CHART / f"{self.name}.yaml"


CLUSTER: Final = Resource(
    names.KIND,
    names.PLURAL,
    "ac",
    AuroraCluster,
    _COLUMNS,
    {
        "specReplicasPath": ".spec.instances",
        "statusReplicasPath": ".status.instances",
        "labelSelectorPath": ".status.selector",
    },
    labels={"servicebinding.io/provisioned-service": "true"},
)
SNAPSHOT: Final = Resource(SNAPSHOT_KIND, SNAPSHOT_PLURAL, "asnap", AuroraSnapshot, _SNAPSHOT_COLUMNS)
RESOURCES: Final = (CLUSTER, SNAPSHOT)


def definition(resource: Resource = CLUSTER) -> dict[str, Any]:
    """A CustomResourceDefinition as an object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.name, **({"labels": dict(resource.labels)} if resource.labels else {})},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(*column) for column in resource.columns],
                    "subresources": {"status": {}, **({"scale": dict(resource.scale)} if resource.scale else {})},
                    "schema": {"openAPIV3Schema": _schema(resource)},
                }
            ],
        },
    }


def _column(name: str, type: str, path: str, priority: int, description: str) -> dict[str, Any]:
    return {"name": name, "type": type, "jsonPath": path, "priority": priority, "description": description}


def _schema(resource: Resource) -> dict[str, Any]:
    fields = resource.model.model_fields
    spec, status = _model(fields["spec"]), _model(fields["status"])
    wanted = structural_schema(spec, defaults=True) | {"description": fields["spec"].description}
    if not fields["spec"].is_required():
        # Without a spec, or with null: what `kubectl apply --server-side` makes of an empty one that a client-side
        # apply wrote before. Whole, since the rules are checked on it before defaults inside it are filled in.
        wanted["default"] = {name: item["default"] for name, item in wanted["properties"].items() if "default" in item}
    schema = {
        "type": "object",
        "description": resource.model.__doc__,
        **({"required": ["spec"]} if fields["spec"].is_required() else {}),
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of this schema."},
            "kind": {"type": "string", "description": resource.kind},
            "metadata": {"type": "object"},
            "spec": wanted,
            "status": structural_schema(status, defaults=False) | {"description": fields["status"].description},
        },
    }
    rules = [rule.to_validation() for rule in getattr(resource.model, "RULES", ())]
    return schema | ({VALIDATIONS: rules} if rules else {})


def _model(field: FieldInfo) -> type[BaseModel]:
    model = field.annotation
    assert isinstance(model, type) and issubclass(model, BaseModel)  # noqa: S101  spec and status are models
    return model


def files() -> dict[Path, str]:
    """The text of each file, by its path in the repository."""
    found = {}
    for resource in RESOURCES:
        crd = definition(resource)
        found[resource.plain] = _HEADER + _dump(crd)
        crd["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
        guard = '{{- if ne (toString (.Values.crds).install) "false" }}\n'
        found[resource.template] = _HEADER + guard + _dump(crd) + "{{- end }}\n"
    return found


def _dump(document: dict[str, Any]) -> str:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120)
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"the definition has {len(text.encode())} bytes, more than {MAX_BYTES}")
    return text


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice, for there are tools that know no YAML aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files; the exit status is 1 if a checked one is out of date."""
    parser = argparse.ArgumentParser(prog="python -m aurora_operator.api.crd", description="Write the CRD.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a file is out of date")
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository (default: this directory)")
    options = parser.parse_args(arguments)
    stale = [path for path, text in files().items() if _text(options.root / path) != text]
    if options.check:
        for path in stale:
            print(f"{path} is out of date: run `python -m aurora_operator.api.crd`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        (options.root / path).parent.mkdir(parents=True, exist_ok=True)
        (options.root / path).write_text(files()[path])
        print(f"wrote {path}")
    return 0


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
