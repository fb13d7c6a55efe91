"""The programs of docs/connecting.md, as they stand there, and the drivers that they need, at pinned versions.

What compiles is kept in `.cache/`, by a hash of all that it is made from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.binaries import CACHE, ROOT
from tests.integration.stores import node
from tests.kind import cache, golang
from tests.kind.system import install

HERE: Final = Path(__file__).parent
PAGE: Final = ROOT / "docs" / "connecting.md"
STATEMENT: Final = "SELECT current_user || ' over ' || version"
"""How the statement of each program begins."""

PGJDBC: Final = "org.postgresql:postgresql:42.7.14"
PGJDBC_SHA256: Final = "73914527305a40cce504b0d3d90b23caf565136912d607ae8ae7c5895512332c"
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


@dataclass(frozen=True)
class Program:
    """One of the page's."""

    title: str
    """How its heading begins."""
    tag: str
    """Of its block of code."""
    make: Callable[[str], Sequence[str | Path]]
    """From the source to the command that runs it. Raises HarnessError where there is no toolchain."""

    def source(self, statement: str | None = None) -> str:
        """As it stands on the page; with another statement, if one is given."""
        found = re.search(rf"^### {re.escape(self.title)}.*?^```{self.tag}\n(.*?)^```", PAGE.read_text(), re.S | re.M)
        assert found, f"{PAGE.name} has no {self.title} with a block of {self.tag}"
        text = found[1]
        assert text.count(STATEMENT) == 1
        return text if statement is None else text.replace(STATEMENT, statement)


def _psql(source: str) -> list[str | Path]:
    return ["sh", "-eu", "-c", source]


def _python(source: str) -> list[str | Path]:
    return [sys.executable, "-c", source]


def _node(source: str) -> list[str | Path]:
    program, npm = node.program()
    modules = _kept("node", (HERE / "node",), lambda made: _modules(npm, made)) / "node_modules"

    def write(made: Path) -> None:
        _written(made / "connect.mjs", source)
        (made / "node_modules").symlink_to(modules)

    return [program, _kept("node-program", (str(modules), source), write) / "connect.mjs"]


def _modules(npm: Sequence[str], made: Path) -> None:
    shutil.copytree(HERE / "node", made)
    _run(*npm, "ci", "--prefix", str(made), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def _go(source: str) -> list[str | Path]:
    with cache.lock(CACHE / "lock-packages", "it looks for Go"):
        release = golang.version()

    def build(made: Path) -> None:
        shutil.copytree(HERE / "go", made)
        (made / "main.go").write_text(source)
        _run("go", "build", "-mod=readonly", "-o", str(made / "connect"), ".", cwd=made, env=golang.ENVIRONMENT)

    return [_kept("go", (HERE / "go", source, release), build) / "connect"]


def _java(source: str) -> list[str | Path]:
    _need("javac", "default-jdk-headless")
    _need("mvn", "maven")
    folder = _kept("java", (PGJDBC, PGJDBC_SHA256), _driver)
    (driver,) = folder.glob("*.jar")

    def build(made: Path) -> None:
        _written(made / "Connect.java", source)
        _run("javac", "-d", str(made), str(made / "Connect.java"))

    compiled = _kept("java-program", (PGJDBC, source), build)
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{driver}{os.pathsep}{compiled}", "Connect"]


def _driver(made: Path) -> None:
    _run("mvn", "--batch-mode", "--quiet", _COPY, f"-Dartifact={PGJDBC}", f"-DoutputDirectory={made}")
    (jar,) = made.iterdir()
    assert hashlib.sha256(jar.read_bytes()).hexdigest() == PGJDBC_SHA256, f"{jar.name} is not the one that is pinned"


PROGRAMS: Final = (
    Program("psql", "sh", _psql),
    Program("Python", "python", _python),
    Program("Java", "java", _java),
    Program("Node.js", "js", _node),
    Program("Go", "go", _go),
)


def _kept(name: str, key: Sequence[str | Path], make: Callable[[Path], None]) -> Path:
    target = CACHE / f"driver-{name}-{cache.digest(*key)}"
    with cache.lock(CACHE / f"lock-{name}", f"it makes {target.name}"):
        if not target.exists():
            made = target.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            make(made)
            made.rename(target)
    return target


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


def _need(program: str, package: str) -> None:
    with cache.lock(CACHE / "lock-packages", f"it installs {package}"):
        install(package, program=program)


def _run(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    subprocess.run(words, check=True, timeout=300, cwd=cwd, env={**os.environ, **(env or {})})
