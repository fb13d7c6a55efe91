"""Ends PostgreSQL when this agent does not go on: a process that only a live leader's agent keeps quiet.

An agent that stands still (SIGSTOP, a disk that does not answer, a bug) cannot end its sessions when the lease is over,
and PostgreSQL would serve reads that lack what the next leader has committed. A shell of half a megabyte is told, on a
pipe, for how long the lease goes on; when that time is over without another word, it kills the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0

_SCRIPT: Final = r"""
end_all() {
  for round in 1 2 3; do
    for process in /proc/[0-9]*; do
      if [ "$process/cwd" -ef "$1" ] && [ "$process/exe" -ef "$2" ]; then kill -KILL "${process#/proc/}"; fi
    done
  done 2>/dev/null
}
left=
while true; do
  read -r ${left:+-t "$left"} line
  code=$?
  if [ $code -eq 0 ]; then left=${line#off}; continue; fi
  [ -z "$left" ] || end_all "$1" "$2"
  [ $code -gt 128 ] || exit 0
  [ -z "$left" ] || echo "the lease is over and the agent stands still: PostgreSQL is killed"
  left=
done
"""
"""Lines: seconds for which the server may live without another line, or `off`. The end of the pipe is the agent's."""

_SHELL: Final = ("bash", "--posix")
"""In POSIX mode `read -t` sets a timer, which no clock's step touches. Without, bash compares times of day, and a step
forwards would end the lease of a healthy leader."""


class Watchdog:
    """One such process, kept alive."""

    def __init__(self, pgdata: Path, program: str, left: Callable[[], float | None]) -> None:
        """`program` is the server's executable; `left` says for how many ms its sessions may go on, or None.

        Whoever moves the end of that time calls `tell`.
        """
        self._arguments = (str(pgdata), program)
        self._left = left
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def run(self) -> None:
        """Until cancelled; the server is then left alone."""
        while True:
            self._process = process = await asyncio.create_subprocess_exec(
                *(*_SHELL, "-c", _SCRIPT, "watchdog", *self._arguments),
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            try:
                self.tell()
                code = await process.wait()
                log.error("the watchdog has ended with %d; starting another", code)
            finally:
                await _dismiss(process)
            await asyncio.sleep(RESTART_SECONDS)

    def tell(self) -> None:
        """Pass on for how long the lease goes on now. One that does not run yet is told when it does."""
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None:
            return
        left = self._left()
        # A lease that is over already is not extended by saying so.
        if left is None or left >= 1:
            process.stdin.write(b"off\n" if left is None else f"{left / 1000:.3f}\n".encode())


async def _dismiss(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(OSError):
        process.send_signal(signal.SIGKILL)
    await process.wait()
