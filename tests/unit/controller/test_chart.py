"""The chart's permissions, held against what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from aurora_operator.api.base import names
from aurora_operator.kube.resources import CHILDREN, OPTIONAL, resource_of

CHART = Path(__file__).resolve().parents[3] / "charts" / "aurora-operator"


def rules() -> dict[tuple[str, str], set[str]]:
    """Verbs by group and resource, from the template of the operator's permissions in a namespace."""
    text = (CHART / "templates" / "_rules.tpl").read_text()
    listed = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "", text, flags=re.DOTALL))
    found: dict[tuple[str, str], set[str]] = {}
    for rule in listed:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found[group, resource] = set(rule["verbs"])
    return found


def group_of(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def test_every_kind_can_be_watched_and_applied() -> None:
    allowed = rules()
    for kind, resource in CHILDREN.items():
        verbs = allowed[group_of(resource.api_version), resource.plural]
        needed = {"get", "list", "watch", "patch"} | (set() if kind == "Pod" else {"create"})
        assert needed <= verbs, kind


def test_nothing_is_allowed_that_is_not_used() -> None:
    children = {(group_of(r.api_version), r.plural) for r in CHILDREN.values()}
    own = {("aurorapg.io", f"auroraclusters{sub}") for sub in ("", "/status", "/finalizers")}
    own |= {("aurorapg.io", f"aurorasnapshots{sub}") for sub in ("", "/status")}
    optional = {(group_of(r.api_version), r.plural) for r in OPTIONAL.values()}
    granted = {("", "pods/resize")}  # to the agents of serverless instances
    assert set(rules()) == children | optional | granted | own | {("", "events")}
    assert not any("*" in verbs for verbs in rules().values())


def test_only_what_plans_delete_can_be_deleted() -> None:
    """Everything else goes with its owner. Plans name what they delete with ObjectRef or _reference."""
    planning = Path(names.__file__).parents[2] / "planning"
    text = "".join(file.read_text() for file in planning.rglob("*.py"))
    planned = set(re.findall(r"(?:ObjectRef|_reference)\(\"(\w+)\"", text))
    allowed = {resource for (_, resource), verbs in rules().items() if "delete" in verbs}
    assert allowed == {resource_of(kind).plural for kind in planned}


def test_values_are_all_described() -> None:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def check(given: dict[str, Any], described: dict[str, Any], path: str) -> None:
        for key, value in given.items():
            assert key in described["properties"], f"{path}{key}"
            if isinstance(value, dict) and "properties" in described["properties"][key]:
                check(value, described["properties"][key], f"{path}{key}.")

    check(values, schema, "")
