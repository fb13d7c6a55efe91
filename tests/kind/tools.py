"""kind, helm and kubectl: those on the PATH when they are new enough, else ours."""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path

from tests.kind import cache, golang, kube
from tests.kind.shell import output

KIND_VERSION = "v0.33.0"
_HELM = "v4.3.1"
_VERSION = {"kind": ("version",), "helm": ("version", "--short"), "kubectl": ("version", "--client")}
_MINIMUM = {"kind": (0, 30), "helm": (3, 14), "kubectl": (1, 32)}


def folder() -> Path:
    """A folder with the tools that the PATH lacks; `use` fills it and puts it first."""
    return cache.root() / "tools"


def use(*names: str) -> None:
    """Make tools available under their names to this process and to what it starts."""
    where = folder()
    where.mkdir(exist_ok=True)
    if str(where) not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = f"{where}{os.pathsep}{os.environ['PATH']}"
    for name in names:
        if not _good_enough(name):
            link = where / name
            link.unlink(missing_ok=True)
            link.symlink_to(_make(name))


def parse_version(text: str) -> tuple[int, int]:
    """The first major.minor in what a tool says about itself."""
    found = re.search(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@functools.cache
def _good_enough(name: str) -> bool:
    if shutil.which(name) is None:
        return False
    return parse_version(output([name, *_VERSION[name]])) >= _MINIMUM[name]


def _make(name: str) -> Path:
    if name == "kind":
        return golang.installed("sigs.k8s.io/kind", KIND_VERSION, name="kind")
    if name == "helm":
        version = f"-X helm.sh/helm/v4/internal/version.version={_HELM}"
        return golang.installed("helm.sh/helm/v4/cmd/helm", _HELM, name="helm", ldflags=[version])
    return kube.kubernetes()  # is kubectl when it is started under that name
