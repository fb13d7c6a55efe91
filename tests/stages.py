"""Runs stages of `make` one after the other, and tells at the end how long each took, the slowest first.

It stops at the first stage that fails: `python -m tests.stages lint unit`. Needs nothing but the standard library.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A target of the Makefile that was run; `code` is what make ended with."""

    name: str
    seconds: float
    code: int


def run(names: Sequence[str], make: Callable[[str], int], clock: Callable[[], float]) -> list[Stage]:
    """Make each target until one fails or is interrupted; `clock` gives seconds."""
    done: list[Stage] = []
    for name in names:
        begun = clock()
        try:
            code = make(name)
        except KeyboardInterrupt:
            code = 130
        done.append(Stage(name, clock() - begun, code))
        if code:
            break
    return done


def table(names: Sequence[str], done: Sequence[Stage]) -> str:
    """What was run, the slowest first, and what was not."""
    width = max(map(len, (*names, "together")))
    lines = ["seconds of each stage, the slowest first:"]
    for stage in sorted(done, key=lambda stage: -stage.seconds):
        failed = f"  failed with exit code {stage.code}" if stage.code else ""
        lines.append(f"  {stage.name:{width}} {stage.seconds:7.0f}{failed}")
    lines.append(f"  {'together':{width}} {sum(stage.seconds for stage in done):7.0f}")
    left = names[len(done) :]
    if left:
        lines.append(f"not run: {', '.join(left)}")
    return "\n".join(lines)


def _make(name: str) -> int:
    return subprocess.run([os.environ.get("MAKE", "make"), "--no-print-directory", name], check=False).returncode


def main(names: Sequence[str]) -> int:
    """Run them, print the table, and return the exit code of the stage that failed, or 0."""
    done = run(names, _make, time.monotonic)
    print(table(names, done), flush=True)
    return next((stage.code for stage in done if stage.code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
