"""The Debian images that our Dockerfiles start FROM: pulled, or made with debootstrap where nothing pulls."""

from __future__ import annotations

from pathlib import Path

from tests.kind import cache, golang
from tests.kind.docker import docker, image_id, pull
from tests.kind.shell import HarnessError, output, run, say, step
from tests.kind.system import debian_mirror, debian_security_mirror, install, may_install

# What the official slim images leave out as well: nobody reads manuals in a container.
_LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/lib/apt/lists",
    "var/cache/apt",
)
_DPKG = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/info/*
"""
_APT = """\
Acquire::Languages "none";
APT::Install-Recommends "false";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
"""


def ensure(suite: str, *, registry: bool) -> str:
    """Make `debian:<suite>-slim` exist locally and return its name."""
    image = f"debian:{suite}-slim"
    if image_id(image) is not None:
        return image
    if registry:
        with step(f"pull {image}"):
            if pull(image):
                return image
            say(f"{image} does not pull: bootstrap it instead")
    if not may_install():
        raise HarnessError(f"{image} neither pulls nor can be bootstrapped here (that needs root on Debian)")
    archive = cache.slot(f"base-{suite}", cache.digest(suite, _DPKG, _APT, *_LEFT_OUT, golang.architecture(), "1"))
    if not archive.exists():
        _bootstrap(suite, archive)
    with step(f"import {image}"):
        docker("import", "--change", 'CMD ["bash"]', "--message", "debootstrap", archive, image)
    return image


def _bootstrap(suite: str, archive: Path) -> None:
    install("debootstrap", program="debootstrap")
    with step(f"bootstrap Debian {suite} (its image does not pull here)"), cache.filling(archive) as made:
        tree = made.parent / "tree"
        run(["debootstrap", "--variant=minbase", suite, tree, debian_mirror()])
        for folder in _LEFT_OUT:
            cache.remove(tree / folder)
        for folder in ("usr/share/doc", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (tree / folder).mkdir(parents=True)
        (tree / "etc/dpkg/dpkg.cfg.d/slim").write_text(_DPKG)
        (tree / "etc/apt/apt.conf.d/slim").write_text(_APT)
        (tree / "etc/apt/sources.list").write_text(_sources(suite))
        output(["tar", "--create", "--file", made, "--numeric-owner", "--one-file-system", "-C", tree, "."])


def _sources(suite: str) -> str:
    main, security = debian_mirror(), debian_security_mirror()
    return f"deb {main} {suite} main\ndeb {main} {suite}-updates main\ndeb {security} {suite}-security main\n"
