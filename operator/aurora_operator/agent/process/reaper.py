"""Process 1's duty: reap orphans, and leave the children that asyncio waits for alone."""

from __future__ import annotations

import asyncio
import os
import signal

ADOPTED_GRACE_SECONDS = 1.0


class Reaper:
    """Reaps processes that were re-parented to us.

    asyncio waits for its own children by pid. Any other exited child is an orphan of a process that died; it is
    reaped when it is still there at the second look, so that asyncio never finds its child already gone.
    """

    def __init__(self) -> None:
        self._suspects: set[int] = set()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at each SIGCHLD, and once more a little later."""
        loop.add_signal_handler(signal.SIGCHLD, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(ADOPTED_GRACE_SECONDS, self.reap)

    def reap(self) -> list[int]:
        """Reap orphans that were already dead at the last call; returns their pids."""
        dead = _dead_children()
        reaped = []
        for pid in dead & self._suspects:
            try:
                done, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
            if done:
                reaped.append(pid)
        self._suspects = dead - set(reaped)
        if self._suspects:
            asyncio.get_running_loop().call_later(ADOPTED_GRACE_SECONDS, self.reap)
        return reaped


def _dead_children() -> set[int]:
    """Children that have exited and were not waited for, from /proc: waitid would show one at a time."""
    me = os.getpid()
    found = set()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat") as file:  # noqa: PTH123 - hot path
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and int(fields[1]) == me:
            found.add(int(entry.name))
    return found
