"""The Docker client, as thin as it gets; engine.py sees to it that an engine answers."""

from __future__ import annotations

import os
from pathlib import Path

from tests.kind.shell import CommandFailed, output, run, step, succeeds

# The classic builder: the client may have no buildx, and all our Dockerfiles are simple.
_BUILD = {"DOCKER_BUILDKIT": "0"}
# What the registry answers for; small, and pulled only to see whether anything can be pulled.
_PROBE = "registry.k8s.io/pause:3.10.1"


def docker(*arguments: str | Path, stdin: str | None = None, timeout: float | None = None) -> str:
    """Run a quick docker command and return what it printed."""
    return output(["docker", *arguments], stdin=stdin, timeout=timeout)


def engine_answers() -> bool:
    """Whether there is a Docker engine that this user may use."""
    return succeeds(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20)


def image_id(image: str) -> str | None:
    """The local image's ID, or None when there is no such image."""
    try:
        return docker("image", "inspect", "--format", "{{.Id}}", image).strip()
    except CommandFailed:
        return None


def image_label(image: str, label: str) -> str | None:
    """A label of a local image, or None."""
    try:
        text = docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{label}"}}}}', image)
    except CommandFailed:
        return None
    return text.strip() or None


def pull(image: str) -> bool:
    """Try to pull an image; False when the registry does not answer or does not have it."""
    return succeeds(["docker", "pull", "--quiet", image], timeout=900)


def registry_answers() -> bool:
    """Whether images can be pulled on this machine at all (AURORA_KIND_REGISTRY=yes|no skips the question)."""
    said = os.environ.get("AURORA_KIND_REGISTRY")
    if said:
        return said == "yes"
    return (image_id(_PROBE) is not None and _made_by_us(_PROBE) is None) or _pull_probe()


def build(
    tag: str,
    context: Path,
    *,
    dockerfile: Path | None = None,
    labels: dict[str, str] | None = None,
    arguments: dict[str, str] | None = None,
) -> None:
    """Build an image from a folder and a Dockerfile (the folder's own by default)."""
    options = [word for key, value in (labels or {}).items() for word in ("--label", f"{key}={value}")]
    options += [word for key, value in (arguments or {}).items() for word in ("--build-arg", f"{key}={value}")]
    with step(f"build image {tag}"):
        run(
            ["docker", "build", "--tag", tag, "--file", dockerfile or context / "Dockerfile", *options, context],
            env=_BUILD,
        )


def running_containers() -> list[str]:
    """Names of the containers that run."""
    return docker("ps", "--format", "{{.Names}}").split()


def _made_by_us(image: str) -> str | None:
    return image_label(image, "aurora-kind")


def _pull_probe() -> bool:
    return succeeds(["docker", "pull", "--quiet", _PROBE], timeout=60)
