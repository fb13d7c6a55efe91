"""Where the tests' pgBackRest comes from: installed here, or Debian trixie's, unpacked once into `.cache/`.

The unpacked one can be run by a clock that is ahead: libfaketime comes with it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.integration import debian
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
    return clock_starter_of(root)


def _fetched() -> Path:
    with lock(CACHE / "lock", "it fetches pgBackRest"):
        return _fetch()


def _fetch() -> Path:
    """Trixie's package with all its libraries, and the loader of its C library to start it with."""
    folder = CACHE / "pgbackrest-trixie-with-clock"
    program = folder / "pgbackrest"
    if program.exists():
        return program
    root = debian.unpack(folder, SUITE, ("pgbackrest", "libfaketime"), ("lib", "zlib", "pgbackrest"))
    *start, clock = clock_starter_of(root)
    starter = " ".join(start[:-1])
    debian.write_script(folder / "pgbackrest-with-clock", f"{starter} --preload {clock} {root}/usr/bin/pgbackrest")
    debian.write_script(program, f"{starter} {root}/usr/bin/pgbackrest")
    return program


def clock_starter_of(root: Path) -> tuple[str, ...]:
    """What a program is started with to have a clock of its own; libfaketime is the last word."""
    return *debian.start_by(root), "--preload", str(next(root.rglob("libfaketime.so.1")))
