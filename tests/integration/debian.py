"""Programs of a Debian release that this machine need not run, unpacked into `.cache/` with all their libraries."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.kind.shell import output

_CONFIG: Final = """Dir::Etc::SourceList "{0}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "{0}/lists";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
"""


def unpack(folder: Path, suite: str, packages: tuple[str, ...], wanted: tuple[str, ...]) -> Path:
    """Fetch `packages` and what they need, and unpack those whose file begins with one of `wanted`; returns the root.

    What is in the folder goes first. Raises OSError, subprocess.SubprocessError, StopIteration.
    """
    shutil.rmtree(folder, ignore_errors=True)
    apt, root = folder / "apt", folder / "root"
    for path in (apt / "lists" / "partial", apt / "cache" / "archives" / "partial", root):
        path.mkdir(parents=True)
    sites = output(["apt-get", "indextargets", "--format", "$(SITE)"]).split()
    site = next(site for site in sites if "security" not in site)
    (apt / "sources.list").write_text(f"deb [check-valid-until=no] {site} {suite} main\n")
    (apt / "status").touch()
    (apt / "apt.conf").write_text(_CONFIG.format(apt))
    environment = {"APT_CONFIG": str(apt / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    for command in (["update"], ["install", "--download-only", "--yes", *packages]):
        subprocess.run(["apt-get", "--quiet", *command], check=True, env=environment, capture_output=True, timeout=300)
    for package in (apt / "cache" / "archives").glob("*.deb"):
        if package.name.startswith(wanted):
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True, timeout=60)
    shutil.rmtree(apt)
    return root


def start_by(root: Path) -> tuple[str, ...]:
    """What a program below `root` is started with: the loader of its C library, and where its libraries are."""
    loader = next((root / "usr").glob("lib*/ld-linux-*"), None) or next((root / "usr" / "lib").rglob("ld-linux-*"))
    return str(loader), "--library-path", str(next((root / "usr" / "lib").glob("*-linux-gnu")))


def write_script(path: Path, command: str) -> None:
    """A program that starts another one with its own arguments; there whole or not at all."""
    made = path.with_suffix(".new")
    made.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    made.chmod(0o755)
    made.rename(path)
