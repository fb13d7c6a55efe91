"""What a release is called, where it is published, and the time that all its files bear."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from tests.kind.cache import REPO
from tests.kind.shell import HarnessError, output

CHART = REPO / "charts" / "aurora-operator"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""Versions of Python that `kubectl-aurora` runs on."""
PLATFORMS = {
    ("linux", "amd64"): "x86_64-manylinux_2_28",
    ("linux", "arm64"): "aarch64-manylinux_2_28",
    ("darwin", "arm64"): "aarch64-apple-darwin",
}
"""What uv calls the platforms that `kubectl-aurora` is made for, by the names that kubectl has for them."""


@dataclass(frozen=True)
class Release:
    """A version of all parts, and where their files go."""

    version: str
    time: datetime
    dist: Path
    home: str

    @property
    def url(self) -> str:
        """Where a forge serves the release's files."""
        return f"{self.home}/releases/download/v{self.version}"


def this_release(dist: Path) -> Release:
    """The release that this checkout is. Raises HarnessError if its parts disagree on the version."""
    version: str = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    if {chart["version"], chart["appVersion"]} != {version}:
        raise HarnessError(f"pyproject.toml says version {version}, and Chart.yaml another: make them the same")
    if re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?", version) is None:
        raise HarnessError(f"{version} is not a version by semver.org, such as 1.2.3")
    time = datetime.fromtimestamp(int(output(["git", "log", "-1", "--format=%ct"], cwd=REPO)), UTC)
    return Release(version, time, dist, chart["home"])
