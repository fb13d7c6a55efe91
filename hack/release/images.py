"""The images, built as the harness builds them, under the release's version and for this machine's architecture."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

from tests.kind import docker, golang, project
from tests.kind.shell import HarnessError, run, step

from hack.release.project import Release


def build(release: Release, registry: str = "") -> dict[str, str]:
    """Build the images; return their tags by name. Raises HarnessError where no Docker engine answers."""
    if shutil.which("docker") is None or not docker.engine_answers():
        raise HarnessError("no Docker engine answers")
    made = {}
    can_pull = docker.registry_answers()
    for image in project.IMAGES:
        made[image.name] = tag(release, image.name, registry)
        project.build_as(image, made[image.name], can_pull=can_pull)
    return made


def tag(release: Release, name: str, registry: str = "") -> str:
    """What an image of this machine's architecture is called: both are put together under the version when they are
    published."""
    return f"{registry}{'/' if registry else ''}aurora-{name}:{release.version}-{golang.architecture()}"


def save(tags: dict[str, str], release: Release) -> list[Path]:
    """The images as files that `docker load` and `ctr images import` read."""
    saved = []
    for name, image in tags.items():
        target = release.dist / f"aurora-{name}_{release.version}_{golang.architecture()}.tar.gz"
        with step(f"save {image}"), target.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, 0) as packed:
            process = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
            if process.stdout is not None:
                shutil.copyfileobj(process.stdout, packed, 1 << 20)
            if process.wait():
                raise HarnessError(f"docker save {image} failed")
        saved.append(target)
    return saved


def push(tags: dict[str, str]) -> None:
    """Send the images to their registry, as the Docker client is logged in there."""
    for image in tags.values():
        run(["docker", "push", image], env=dict(os.environ))
