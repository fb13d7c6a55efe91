"""`kubectl-aurora`: an executable file with the command and its locked packages for each platform, and krew's manifest.

Native modules cannot be imported from within a zip archive, so the file unpacks itself once, into the user's cache,
under the hash of what is in it. Modules for all versions of Python lie side by side: their names tell them apart.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from tests.kind.cache import REPO
from tests.kind.project import find_uv
from tests.kind.shell import HarnessError, output, run, step

from hack.release.archive import sha256, write_tar, zip_bytes
from hack.release.project import PLATFORMS, PYTHONS, Release

START = (Path(__file__).parent / "plugin_start.py.txt").read_text()
NAME = "kubectl-aurora"
_PACKAGE = REPO / "operator" / "aurora_operator"
_LEFT_OUT = ("agent", "controller", "gateway")
"""Packages of ours that the command never imports."""


def make(release: Release, *, only: Iterable[tuple[str, str]] = tuple(PLATFORMS)) -> list[Path]:
    """An archive for each platform, with the executable and the licence, and krew's manifest of them."""
    made: dict[tuple[str, str], Path] = {}
    for system, machine in only:
        with step(f"{NAME} for {system} on {machine}"):
            files = {**_packages(PLATFORMS[system, machine]), **own_modules()}
            target = release.dist / f"{NAME}_{release.version}_{system}_{machine}.tar.gz"
            licence = (REPO / "LICENSE").read_bytes()
            contents = {NAME: (executable(files, release), 0o755), "LICENSE": (licence, 0o644)}
            write_tar(target, contents, release.time)
            made[system, machine] = target
    manifest = release.dist / "aurora.krew.yaml"
    manifest.write_text(yaml.safe_dump(krew_manifest(release, {key: sha256(path) for key, path in made.items()})))
    return [*made.values(), manifest]


def executable(files: Mapping[str, bytes], release: Release) -> bytes:
    """A file that Python runs: the files, unpacked once, and then the command."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    start = START.replace("@DIGEST@", total.hexdigest()[:32])
    start = start.replace("@LEAST@", repr(_version(PYTHONS[0]))).replace("@MOST@", repr(_version(PYTHONS[-1])))
    inside = {"__main__.py": start.encode(), **{f"site/{name}": content for name, content in files.items()}}
    return b"#!/usr/bin/env python3\n" + zip_bytes(inside, release.time)


def merge(into: dict[str, bytes], folder: Path) -> None:
    """Add the files of a folder of installed packages. Raises HarnessError where two versions of Python want the same
    module otherwise."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or not _wanted(name):
            continue
        content = path.read_bytes()
        if into.setdefault(name, content) != content and ".dist-info/" not in name:
            raise HarnessError(f"{name} differs between versions of Python: one archive cannot hold both")


def krew_manifest(release: Release, sums: Mapping[tuple[str, str], str]) -> dict[str, object]:
    """The manifest by which `kubectl krew install` finds, checks and installs the plugin."""
    platforms = [
        {
            "selector": {"matchLabels": {"os": system, "arch": machine}},
            "uri": f"{release.url}/{NAME}_{release.version}_{system}_{machine}.tar.gz",
            "sha256": digest,
            "bin": NAME,
        }
        for (system, machine), digest in sums.items()
    ]
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "aurora"},
        "spec": {
            "version": f"v{release.version}",
            "homepage": release.home,
            "shortDescription": "Look after Aurora-like PostgreSQL clusters",
            "description": "Status, switchover, psql, export and import of the Aurora operator's clusters.\n",
            "caveats": f"Needs Python {PYTHONS[0]} to {PYTHONS[-1]} as python3.\n",
            "platforms": platforms,
        },
    }


def _packages(platform: str) -> dict[str, bytes]:
    uv, files = find_uv(), dict[str, bytes]()
    export: list[str | Path] = [uv, "export", "--frozen", "--quiet", "--no-dev", "--no-emit-project", "--extra", "cli"]
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(output(export, cwd=REPO))
        for version in PYTHONS:
            folder = Path(scratch, version)
            run(
                [uv, "pip", "install", "--quiet", "--target", folder, "--python-version", version,
                 "--python-platform", platform, "--only-binary", ":all:", "--no-deps", "--requirements", requirements],
                cwd=REPO,
            )  # fmt: skip
            merge(files, folder)
    return files


def own_modules() -> dict[str, bytes]:
    """Our own modules that the command may import, by path."""
    return {
        f"aurora_operator/{name}": path.read_bytes()
        for path in sorted(_PACKAGE.rglob("*.py"))
        if (name := path.relative_to(_PACKAGE).as_posix()).partition("/")[0] not in _LEFT_OUT
    }


def _wanted(name: str) -> bool:
    parts = name.split("/")
    return parts[0] not in ("bin", ".lock") and not {"__pycache__", "tests"} & set(parts) and parts[-1] != "RECORD"


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))
