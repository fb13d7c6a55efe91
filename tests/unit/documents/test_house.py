"""What people look for first in a repository is there, and holds together."""

from __future__ import annotations

import base64
import re
import tomllib

import pytest
import yaml
from tests.kind.cache import REPO

CHART = REPO / "charts" / "aurora-operator"


def test_the_licence_is_the_one_that_the_package_names() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    text = (REPO / "LICENSE").read_text()
    assert text.lstrip().startswith("Apache License\n")
    assert "9. Accepting Warranty or Additional Liability." in text


def test_the_charts_icon_is_the_drawing_beside_it() -> None:
    kind, _, data = yaml.safe_load((CHART / "Chart.yaml").read_text())["icon"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data).decode() == (CHART / "icon.svg").read_text()


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_chart_names_every_crd() -> None:
    named = yaml.safe_load(yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]["artifacthub.io/crds"])
    there = [yaml.safe_load(path.read_text())["metadata"]["name"] for path in sorted((REPO / "crds").glob("*.yaml"))]
    assert sorted(item["name"] for item in named) == sorted(there)


def test_hooks_download_nothing() -> None:
    repos = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)


@pytest.mark.parametrize("path", sorted((REPO / ".github").glob("**/*.yml")), ids=lambda path: path.name)
def test_the_forges_files_are_yaml(path: object) -> None:
    assert yaml.safe_load((REPO / str(path)).read_text())


def test_workflows_call_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (REPO / "Makefile").read_text(), flags=re.MULTILINE))
    for path in (REPO / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                for words in re.findall(r"(?:^|\s)make ([a-z -]+)", step.get("run", "")):
                    assert set(words.split()) <= targets, f"{path.name}: make {words}"
