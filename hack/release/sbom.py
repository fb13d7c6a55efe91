"""The software bill of materials, in CycloneDX: what uv.lock puts into the images, and what Debian does."""

from __future__ import annotations

import json
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.kind.cache import REPO
from tests.kind.docker import docker

from hack.release.project import Release

PROJECT = "aurora-operator"
EXTRAS = {"operator": ("controller", "cli"), "instance": ("agent",)}
"""Extras of the package that each image has."""
FORMAT = r"${Package}\t${Version}\t${Architecture}\t${source:Package}\n"


@dataclass(frozen=True)
class DebianPackage:
    """A package that is installed in an image."""

    name: str
    version: str
    architecture: str
    source: str

    @property
    def purl(self) -> str:
        """Its package URL."""
        version = quote(self.version, safe="")
        return f"pkg:deb/debian/{quote(self.name)}@{version}?arch={self.architecture}&distro=trixie"


def make(release: Release, images: Mapping[str, str]) -> dict[str, Any]:
    """The bill of a release. `images` are those whose Debian packages can be asked for: local tags by name."""
    lock = tomllib.loads((REPO / "uv.lock").read_text())
    listed = {name: parse_dpkg(dpkg(tag)) for name, tag in images.items()}
    return bill(release, lock, listed)


def dpkg(tag: str) -> str:
    """What is installed in an image, as dpkg says it."""
    query = ("--entrypoint", "dpkg-query", tag, "--show", f"--showformat={FORMAT}")
    return docker("run", "--rm", "--network", "none", *query, timeout=120)


def parse_dpkg(text: str) -> list[DebianPackage]:
    """Lines of FORMAT. Raises ValueError for what is no such line."""
    return sorted((DebianPackage(*line.split("\t", 3)) for line in text.splitlines()), key=lambda p: p.purl)


def bill(release: Release, lock: Mapping[str, Any], images: Mapping[str, Iterable[DebianPackage]]) -> dict[str, Any]:
    """The document. The same input gives the same bytes, the serial number included."""
    packages = {package["name"]: package for package in lock["package"]}
    used = {image: _closure(packages, extras) for image, extras in EXTRAS.items()}
    python = sorted(set().union(*used.values()) - {PROJECT})
    components = [_python(packages[name], [image for image in EXTRAS if name in used[image]]) for name in python]
    for image in EXTRAS:
        reference = f"image:{image}"
        component: dict[str, Any] = {
            "type": "container",
            "bom-ref": reference,
            "name": f"aurora-{image}",
            "version": release.version,
        }
        if image in images:
            component["components"] = [_debian(package, image) for package in images[image]]
        components.append(component)
    root = f"{PROJECT}@{release.version}"
    needed = [*(f"image:{image}" for image in EXTRAS), *_direct(packages[PROJECT], packages)]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": release.time.isoformat().replace("+00:00", "Z"),
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": PROJECT,
                "version": release.version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": root, "dependsOn": sorted(needed)},
            *({"ref": _purl(packages[name]), "dependsOn": _direct(packages[name], packages)} for name in python),
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{serial}", **document}


def _closure(packages: Mapping[str, Any], extras: Iterable[str]) -> set[str]:
    """Names of the packages that the project needs with some of its extras."""
    found: set[str] = set()
    todo: list[tuple[str, tuple[str, ...]]] = [(PROJECT, tuple(extras))]
    done: set[tuple[str, tuple[str, ...]]] = set()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in done:
            continue
        done.add((name, wanted))
        found.add(name)
        package = packages[name]
        needed = list(package.get("dependencies", ()))
        for extra in wanted:
            needed += package.get("optional-dependencies", {}).get(extra, ())
        todo += [(item["name"], tuple(item.get("extra", ()))) for item in needed if _here(item.get("marker", ""))]
    return found


def _here(marker: str) -> bool:
    """Whether a dependency may be one in an image: Linux, CPython. Others of uv's markers are kept, to be complete."""
    return not any(other in marker for other in ("sys_platform == 'win32'", "== 'emscripten'", "== 'PyPy'"))


def _direct(package: Mapping[str, Any], packages: Mapping[str, Any]) -> list[str]:
    needed = list(package.get("dependencies", ()))
    if package["name"] == PROJECT:
        needed += [item for extras in EXTRAS.values() for e in extras for item in package["optional-dependencies"][e]]
    return sorted({_purl(packages[item["name"]]) for item in needed if _here(item.get("marker", ""))})


def _purl(package: Mapping[str, Any]) -> str:
    return f"pkg:pypi/{package['name']}@{quote(package['version'], safe='')}"


def _python(package: Mapping[str, Any], images: list[str]) -> dict[str, Any]:
    used = [{"name": "aurorapg:image", "value": f"aurora-{image}"} for image in images]
    purl = _purl(package)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package["name"],
        "version": package["version"],
        "purl": purl,
        "properties": used,
    }


def _debian(package: DebianPackage, image: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": f"{image}:{package.purl}",
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": [{"name": "aurorapg:source", "value": package.source}],
    }
