"""Building our small Go modules: each binary is cached by its module's content and the compiler's version.

Modules are fetched the way the person's Go is set up to fetch them (GOPROXY and so on are theirs), with the
compiler that is there: GOTOOLCHAIN=local, since another one may not be downloadable.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.kind import cache
from tests.kind.shell import HarnessError, output, run, step
from tests.kind.system import install

_MINIMUM = (1, 25)
ENVIRONMENT = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-trimpath -buildvcs=false", "GOWORK": "off"}


@functools.cache
def version() -> str:
    """The Go version that builds everything here; installs Debian's Go when there is none."""
    if shutil.which("go") is None:
        install("golang-go", program="go")
    text = output(["go", "env", "GOVERSION"], env=ENVIRONMENT).strip()
    numbers = tuple(int(part) for part in text.removeprefix("go").split(".")[:2])
    if numbers < _MINIMUM:
        wanted = ".".join(map(str, _MINIMUM))
        raise HarnessError(f"Go {wanted} or newer is needed, {text} is here: install it from https://go.dev/dl/")
    return text


def binary(module: Path, package: str = ".", *, name: str, ldflags: Sequence[str] = ()) -> Path:
    """Build one program of a Go module folder and return the path of its binary, made or cached."""
    flags = " ".join(("-s", "-w", *ldflags))
    key = cache.digest(module, package, flags, version(), *ENVIRONMENT.values())
    target = cache.slot(f"bin-{name}", key)

    def build(made: Path) -> None:
        run(["go", "build", "-ldflags", flags, "-v", "-o", made, package], cwd=module, env=ENVIRONMENT)

    return _compiled(name, target, build)


def installed(package: str, release: str, *, name: str, ldflags: Sequence[str] = ()) -> Path:
    """`go install package@release`, into the cache; return the path of the program."""
    flags = " ".join(("-s", "-w", *ldflags))
    key = cache.digest(package, release, flags, version())
    target = cache.slot(f"bin-{name}", key)

    def install_it(made: Path) -> None:
        folder = made.parent / "gobin"
        environment = ENVIRONMENT | {"GOBIN": str(folder)}
        run(["go", "install", "-v", "-ldflags", flags, f"{package}@{release}"], env=environment)
        next(folder.iterdir()).rename(made)

    return _compiled(f"{name} {release}", target, install_it)


def _compiled(what: str, target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, made if it is not there; another process may make it while this one waits for its turn."""
    if not target.exists():
        with step(f"compile {what}"), cache.heavy():
            if not target.exists():
                with cache.filling(target) as made:
                    make(made)
    return target


def architecture() -> str:
    """This machine's architecture, in Go's and Docker's words (amd64 or arm64)."""
    machine = os.uname().machine
    names = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if machine not in names:
        raise HarnessError(f"the harness knows x86_64 and arm64, not {machine}")
    return names[machine]
