"""The CustomResourceDefinition, written from the models.

`python -m aurora_operator.api.crd` writes it, from the root of the repository; `--check` only says whether it is up
to date. It goes to two places: `crds/` for `kubectl apply`, and a template of the chart, because Helm installs what
is in a chart's own `crds/` folder once and never upgrades it. There it is kept when the release is uninstalled: all
clusters would be deleted with it. A developers' tool: it needs PyYAML, which the agent's image does not have.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from aurora_operator.api import names
from aurora_operator.api.cluster import AuroraCluster
from aurora_operator.api.rules import VALIDATIONS
from aurora_operator.api.spec import AuroraClusterSpec
from aurora_operator.api.status import AuroraClusterStatus
from aurora_operator.api.structural import structural_schema

NAME: Final = f"{names.PLURAL}.{names.GROUP}"
PLAIN: Final = Path("crds") / f"{NAME}.yaml"
TEMPLATE: Final = Path("charts/aurora-operator/templates/crds") / f"{NAME}.yaml"
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
    ("Copies", "integer", ".status.durability.aliveCopies", 1, "Copies of the data that are up to date."),
    ("Message", "string", ".status.message", 1, "The state of the cluster in a sentence."),
)


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition as an object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.KIND.lower(),
                "shortNames": ["ac"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.instances",
                            "statusReplicasPath": ".status.instances",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def _column(name: str, type: str, path: str, priority: int, description: str) -> dict[str, Any]:
    return {"name": name, "type": type, "jsonPath": path, "priority": priority, "description": description}


def _schema() -> dict[str, Any]:
    fields = AuroraCluster.model_fields
    return {
        "type": "object",
        "description": AuroraCluster.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of this schema."},
            "kind": {"type": "string", "description": names.KIND},
            "metadata": {"type": "object"},
            "spec": structural_schema(AuroraClusterSpec, defaults=True) | {"description": fields["spec"].description},
            "status": structural_schema(AuroraClusterStatus, defaults=False)
            | {"description": fields["status"].description},
        },
        VALIDATIONS: [rule.to_validation() for rule in AuroraCluster.RULES],
    }


def files() -> dict[Path, str]:
    """The text of each file, by its path in the repository."""
    crd = definition()
    plain = _HEADER + _dump(crd)
    crd["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    template = _HEADER + '{{- if ne (toString (.Values.crds).install) "false" }}\n' + _dump(crd) + "{{- end }}\n"
    return {PLAIN: plain, TEMPLATE: template}


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


if __name__ == "__main__":
    raise SystemExit(main())
