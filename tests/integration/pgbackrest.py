"""Where the tests' pgBackRest comes from: installed here, or Debian trixie's, unpacked once into `.cache/`.

The unpacked one can be run by a clock that is ahead: libfaketime comes with it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.integration.binaries import CACHE
from tests.kind.cache import lock
from tests.kind.shell import output
from tests.kind.tools import parse_version

LEAST = (2, 54)
"""The first that knows PostgreSQL 17."""
SUITE = "trixie"
AHEAD = "FAKETIME"
"""Environment variable for `find_with_clock`'s program: how far its clock is ahead, such as +604800."""
HELP = """no pgBackRest 2.54 or newer found, and Debian trixie's could not be fetched: apt-get install pgbackrest on
Debian 13, or put one on the PATH"""
_CONFIG = """Dir::Etc::SourceList "{0}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "{0}/lists";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
"""


def find() -> str:
    """The program. RuntimeError with what to do where there is none."""
    installed = shutil.which("pgbackrest")
    if installed and parse_version(output([installed, "version"])) >= LEAST:
        return installed
    try:
        return str(_fetched())
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise RuntimeError(f"{HELP} ({error})") from error


def find_with_clock() -> str:
    """The program, with a clock of its own: see AHEAD. RuntimeError where there is none."""
    try:
        return str(_fetched().with_name("pgbackrest-with-clock"))
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise RuntimeError(f"{HELP} ({error})") from error


def clock_starter() -> tuple[str, ...]:
    """What a program of this machine is started with to have a clock of its own. RuntimeError where there is none."""
    try:
        root = _fetched().parent / "root"
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise RuntimeError(f"{HELP} ({error})") from error
    loader, libraries, clock = _parts(root)
    return str(loader), "--library-path", str(libraries), "--preload", str(clock)


def _fetched() -> Path:
    with lock(CACHE / "lock", "it fetches pgBackRest"):
        return _fetch()


def _fetch() -> Path:
    """Trixie's package with all its libraries, and the loader of its C library to start it with."""
    folder = CACHE / "pgbackrest-trixie-with-clock"
    program = folder / "pgbackrest"
    if program.exists():
        return program
    shutil.rmtree(folder, ignore_errors=True)
    apt, root = folder / "apt", folder / "root"
    for path in (apt / "lists" / "partial", apt / "cache" / "archives" / "partial", root):
        path.mkdir(parents=True)
    sites = output(["apt-get", "indextargets", "--format", "$(SITE)"]).split()
    site = next(site for site in sites if "security" not in site)
    (apt / "sources.list").write_text(f"deb {site} {SUITE} main\n")
    (apt / "status").touch()
    (apt / "apt.conf").write_text(_CONFIG.format(apt))
    environment = {"APT_CONFIG": str(apt / "apt.conf"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    for command in (["update"], ["install", "--download-only", "--yes", "pgbackrest", "libfaketime"]):
        subprocess.run(["apt-get", "--quiet", *command], check=True, env=environment, capture_output=True, timeout=300)
    for package in (apt / "cache" / "archives").glob("*.deb"):
        if package.name.startswith(("lib", "zlib", "pgbackrest")):
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True, timeout=60)
    loader, libraries, clock = _parts(root)
    shutil.rmtree(apt)
    for path, more in ((folder / "pgbackrest-with-clock", f" --preload {clock}"), (program, "")):
        made = path.with_suffix(".new")
        made.write_text(f'#!/bin/sh\nexec {loader} --library-path {libraries}{more} {root}/usr/bin/pgbackrest "$@"\n')
        made.chmod(0o755)
        made.rename(path)
    return program


def _parts(root: Path) -> tuple[Path, Path, Path]:
    """Trixie's loader, the folder of its libraries, and libfaketime."""
    loader = next((root / "usr").glob("lib*/ld-linux-*"), None) or next((root / "usr" / "lib").rglob("ld-linux-*"))
    return loader, next((root / "usr" / "lib").glob("*-linux-gnu")), next(root.rglob("libfaketime.so.1"))
