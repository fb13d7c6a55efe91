"""Where the tests' PgBouncer comes from: Debian forky's, as in the image, unpacked once into `.cache/`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.integration import debian
from tests.integration.binaries import CACHE
from tests.kind.cache import lock

SUITE: Final = "forky"
HELP: Final = "Debian forky's PgBouncer could not be fetched: see that apt-get reaches its packages"


def find() -> Path:
    """The program. RuntimeError with what to do where there is none."""
    installed = shutil.which("pgbouncer")
    if installed and Path("/etc/debian_version").read_text().startswith("forky"):
        return Path(installed)
    try:
        with lock(CACHE / "lock", "it fetches PgBouncer"):
            return _fetch()
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        raise RuntimeError(f"{HELP} ({error})") from error


def _fetch() -> Path:
    folder = CACHE / f"pgbouncer-{SUITE}"
    program = folder / "pgbouncer"
    if not program.exists():
        root = debian.unpack(folder, SUITE, ("pgbouncer",), ("lib", "zlib", "pgbouncer"))
        debian.write_script(program, f"{' '.join(debian.start_by(root))} {root}/usr/sbin/pgbouncer")
    return program
