"""The project's own images: built when what they are made from changed, loaded where they are missing.

Python packages do not come from inside the build: they are installed into `build/images/<name>/site-packages`
from uv.lock on the host, for the Python of the image, and the Dockerfile copies them. Thus a build needs no
package index, and a change of code moves nothing but the code.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.kind import base, cache, docker, golang, images
from tests.kind.cache import REPO
from tests.kind.context import Context
from tests.kind.shell import HarnessError, output, run, say, step
from tests.kind.tools import parse_version

_PYTHON = "3.13"  # Debian trixie's
_PLATFORM = {"amd64": "x86_64-manylinux_2_28", "arm64": "aarch64-manylinux_2_28"}
_LABEL = "aurora-kind"


@dataclass(frozen=True)
class Image:
    """One image: where its Dockerfile is, and which of the project's extras, or which list of packages, it needs."""

    name: str
    extras: tuple[str, ...] = ()
    requirements: Path | None = None
    folder: Path | None = None

    @property
    def tag(self) -> str:
        """The image's name and tag."""
        return f"aurora-{self.name}:dev"

    @property
    def dockerfile(self) -> Path:
        """Its recipe; the repository's root is the build context."""
        return (self.folder or REPO / "images" / self.name) / "Dockerfile"

    @property
    def packages(self) -> Path:
        """Where its Python packages are installed for the Dockerfile to copy."""
        return REPO / "build" / "images" / self.name / "site-packages"


IMAGES = (Image("operator", ("controller", "cli")), Image("instance", ("agent",)))


def build_and_load(context: Context, wanted: Iterable[Image] = IMAGES) -> None:
    """Bring images of the project up to date, on this machine and on the workers."""
    for image in wanted:
        if image.dockerfile.exists():
            _build(image, context)
            images.load(image.tag, context.workers())
        else:
            say(f"{image.tag}: no {image.dockerfile.relative_to(REPO)} yet")


def build_as(image: Image, tag: str, *, can_pull: bool) -> None:
    """Build an image under another name, for a release. Raises HarnessError."""
    for name in bases(image.dockerfile.read_text()):
        _base(name, Context(registry=can_pull))
    _install_packages(image, _packages_key(image))
    docker.build(tag, REPO, dockerfile=image.dockerfile)


def sources(dockerfile: str) -> list[str]:
    """The paths that a Dockerfile copies from its build context, as written."""
    found = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() not in ("COPY", "ADD"):
            continue
        words = rest.split()
        options = [word for word in words if word.startswith("--")]
        if not any(option.startswith("--from=") for option in options):
            found += [word for word in words if word not in options][:-1]
    return found


def bases(dockerfile: str) -> list[str]:
    """The images that a Dockerfile starts from, without its own stages."""
    stages: set[str] = set()
    found = []
    for line in dockerfile.splitlines():
        match = re.match(r"FROM\s+(?:--\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", line.strip(), re.IGNORECASE)
        if match:
            if match[1] not in stages and match[1] != "scratch":
                found.append(match[1])
            stages.add(match[2] or "")
    return list(dict.fromkeys(found))


def _build(image: Image, context: Context) -> None:
    text = image.dockerfile.read_text()
    packages = _packages_key(image)
    copied = [path for pattern in sources(text) for path in sorted(REPO.glob(pattern.strip("/")))]
    # The packages are known by their key: hashing thousands of files would take longer than a build.
    inputs = [path for path in copied if not image.packages.is_relative_to(path) and path != image.packages]
    identities = [_base(name, context) for name in bases(text)]
    key = cache.digest(text, packages, *identities, *map(str, copied), *inputs)
    if docker.image_label(image.tag, _LABEL) == key:
        return
    _install_packages(image, packages)
    docker.build(image.tag, REPO, dockerfile=image.dockerfile, labels={_LABEL: key})
    # The version that just lost its name; what the new one shares with it stays.
    docker.docker("image", "prune", "--force", "--filter", f"label={_LABEL}")


def _base(name: str, context: Context) -> str:
    """Make a base image exist; return its ID."""
    debian = re.fullmatch(r"debian:(\w+)-slim", name)
    if debian:
        base.ensure(debian[1], registry=context.registry)
    elif docker.image_id(name) is None:
        with step(f"pull {name}"):
            if not docker.pull(name):
                raise HarnessError(f"the base image {name} does not pull here, and only debian:*-slim can be made")
    return docker.image_id(name) or ""


def _packages_key(image: Image) -> str:
    if image.requirements is not None:
        return cache.digest(image.requirements, _PYTHON, golang.architecture(), "1")
    return cache.digest(REPO / "uv.lock", *image.extras, _PYTHON, golang.architecture(), "1")


def _install_packages(image: Image, key: str) -> None:
    if not image.extras and image.requirements is None:
        return
    stamp = image.packages.parent / "key"
    if stamp.exists() and stamp.read_text() == key and image.packages.exists():
        return
    with step(f"install the Python packages of {image.tag}"):
        uv = find_uv()
        cache.remove(image.packages)
        image.packages.parent.mkdir(parents=True, exist_ok=True)
        requirements = image.requirements or image.packages.parent / "requirements.txt"
        if image.requirements is None:
            extras = [word for extra in image.extras for word in ("--extra", extra)]
            export: list[str | Path] = [uv, "export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", *extras]
            requirements.write_text(output(export, cwd=REPO))
        platform = _PLATFORM[golang.architecture()]
        run(
            [uv, "pip", "install", "--target", image.packages, "--python-version", _PYTHON,
             "--python-platform", platform, "--only-binary", ":all:", "--no-deps", "--requirements", requirements],
            cwd=REPO,
        )  # fmt: skip
        _strip(image.packages)
        stamp.write_text(key)


def _strip(folder: Path) -> None:
    """Leave out what an image never runs."""
    unwanted = [path for name in ("__pycache__", "tests") for path in folder.rglob(name) if path.is_dir()]
    for path in unwanted:
        shutil.rmtree(path, ignore_errors=True)  # one may have been inside another
    cache.remove(folder / "bin")
    cache.remove(folder / ".lock")


def find_uv() -> Path:
    """The uv that `make setup` uses: the PATH's when it is new enough, else our own."""
    candidates = [shutil.which("uv"), str(REPO / ".tools" / "bin" / "uv")]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK) and parse_version(output([candidate, "--version"])) >= (0, 13):
            return Path(candidate)
    raise HarnessError("uv 0.13 or newer is needed: `make setup` installs it")
