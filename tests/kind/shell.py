"""Running other programs, and telling the person who waits what is going on and for how long.

Everything is written to standard error: standard output is for what a verb answers.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO

_TAIL_LINES = 40
_REPORT_EVERY = 10.0  # seconds between two lines of progress: a log stays readable, nobody thinks it hangs

# How deep in steps we are; a thread that is started with a copy of the context goes on from there.
_depth: ContextVar[int] = ContextVar("depth", default=0)


class HarnessError(Exception):
    """Something the person at the keyboard can act on; shown without a traceback."""


class CommandFailed(HarnessError):
    """A program ended with an error; the message holds the end of what it said."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"`{_shorten(' '.join(argv), 200)}` failed with exit code {code}:\n{output.rstrip()}")
        self.code = code
        self.output = output


def say(text: str) -> None:
    """Print one line for the person who waits, indented by the steps it belongs to."""
    print("  " * _depth.get() + text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step and, when it is over, how long it took."""
    say(f"• {title}")
    started = time.monotonic()
    deeper = _depth.set(_depth.get() + 1)
    try:
        yield
    except BaseException:
        _depth.reset(deeper)
        say(f"✗ {title}: failed after {elapsed(started)}")
        raise
    _depth.reset(deeper)
    say(f"✓ {title}: {elapsed(started)}")


def elapsed(since: float) -> str:
    """How long ago `since` (of time.monotonic()) was, for people."""
    seconds = time.monotonic() - since
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def output(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a quick program and return its standard output; raise CommandFailed with its complaint."""
    words = [str(word) for word in argv]
    done = subprocess.run(
        words, input=stdin, cwd=cwd, env=_environment(env), timeout=timeout, capture_output=True, text=True
    )
    if done.returncode:
        raise CommandFailed(words, done.returncode, done.stderr or done.stdout)
    return done.stdout


def succeeds(argv: Sequence[str | Path], *, timeout: float = 60, env: Mapping[str, str] | None = None) -> bool:
    """Whether a program exists and ends well within the time."""
    try:
        output(argv, timeout=timeout, env=env)
    except (CommandFailed, OSError, subprocess.TimeoutExpired):
        return False
    return True


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program that takes a while, showing its latest line every few seconds; return all it printed."""
    words = [str(word) for word in argv]
    started = time.monotonic()
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env=_environment(env),
        stdin=stdin if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
    reader.start()
    while True:
        reader.join(_REPORT_EVERY)
        if not reader.is_alive():
            break
        if timeout is not None and time.monotonic() - started > timeout:
            process.kill()
            raise CommandFailed(words, -1, f"no end after {timeout:.0f} s\n{_tail(lines)}")
        say(f"{elapsed(started):>12}  {_shorten(lines[-1].strip() if lines else '…', 120)}")
    code = process.wait()
    if code:
        raise CommandFailed(words, code, _tail(lines))
    return "".join(lines)


def wait_until(what: str, ready: str | Sequence[str], *, timeout: float) -> None:
    """Run a quick program until it succeeds, or raise after the time with its last complaint."""
    words = [ready] if isinstance(ready, str) else list(ready)
    started = last_said = time.monotonic()
    while True:
        try:
            output(words, timeout=30)
            return
        except (CommandFailed, subprocess.TimeoutExpired) as error:
            if time.monotonic() - started > timeout:
                raise HarnessError(f"{what}: not so after {timeout:.0f} s ({error})") from error
            if time.monotonic() - last_said > _REPORT_EVERY:
                say(f"{elapsed(started):>12}  waiting until {what}")
                last_said = time.monotonic()
        time.sleep(0.5)


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    with process.stdout:
        lines.extend(process.stdout)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}


def _tail(lines: Sequence[str]) -> str:
    return "".join(deque(lines, _TAIL_LINES))


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
