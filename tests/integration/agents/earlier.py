"""The last release beside this tree: its agents' program, its operator's words. `earlier_release` has its commit."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.agents.pod import ROOT, Program

from aurora_operator.api.agent.settings import Settings

COMMIT: Final = (Path(__file__).parent / "earlier_release").read_text().strip()
_CACHE: Final = ROOT / ".cache" / "earlier"
_LOCK: Final = "uv.lock"
_SAY_AGAIN: Final = """
import os, sys
from aurora_operator.api.agent import settings
assert settings.__file__.startswith(os.getcwd() + os.sep), settings.__file__
print(settings.Settings.model_validate_json(sys.stdin.read()).model_dump_json(by_alias=True))
"""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier commit had."""

    program: Program

    async def say(self, settings: Settings) -> str:
        """The document by which that operator says this: without the fields that it does not know."""
        process = await asyncio.create_subprocess_exec(
            *(self.program.python, "-c", _SAY_AGAIN),
            cwd=self.program.root,
            env={**os.environ, **self.program.surroundings()},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate(settings.model_dump_json(by_alias=True).encode())
        assert process.returncode == 0
        return said.decode()


def provide(commit: str = COMMIT) -> Earlier:
    """Have that commit's files, and what they need where that has changed. AssertionError, never a skip, where this
    checkout has no such commit, as a shallow one has not."""
    root = _CACHE / commit
    if not root.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=_CACHE, prefix=f"{commit[:12]}."))
        try:
            _unpack(commit, made)
            made.rename(root)
        except OSError:
            if not root.exists():  # else another process was quicker
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return Earlier(Program(_python(root), root))


def _unpack(commit: str, folder: Path) -> None:
    paths = ("operator", "pyproject.toml", _LOCK, "tests/integration/agents/process.py")
    archive_it = ("git", "archive", commit, *paths)
    done = subprocess.run(archive_it, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:  # a checkout without its history may still know where that is
        subprocess.run(["git", "fetch", "--quiet", "--unshallow"], cwd=ROOT, capture_output=True, check=False)
        done = subprocess.run(archive_it, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, (
        f"this checkout lacks the last release, commit {commit}, whose agents and operator are tried with these "
        f"({done.stderr.decode().strip()}). Fetch the whole history: git fetch --unshallow"
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _python(root: Path) -> str:
    """An interpreter with the packages that it was locked with."""
    if (root / _LOCK).read_bytes() == (ROOT / _LOCK).read_bytes():
        return sys.executable
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    subprocess.run(
        [uv, "sync", "--quiet", "--frozen", "--no-install-project", "--all-extras", "--no-dev"],
        cwd=root,
        env=environment,
        check=True,
    )
    return str(root / ".venv" / "bin" / "python")
