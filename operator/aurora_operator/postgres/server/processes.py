"""Processes of PostgreSQL that /proc shows: also those that outlive their postmaster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from aurora_operator.postgres.errors import VolumeInUse

_LOGGING_IN = re.compile(rb"^postgres: .* authentication[ \0]*$")


def of_data_directory(pgdata: Path) -> list[int]:
    """Ids of all living server processes whose working directory is `pgdata`.

    Each PostgreSQL server process works in its data directory and in a session of its own, so neither process
    groups nor parents find them once their postmaster is gone. Zombies have no working directory and don't count.
    """
    target = str(pgdata.resolve())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                cwd = str((entry / "cwd").readlink()).removesuffix(" (deleted)")
                if cwd == target and (entry / "exe").readlink().name.startswith("postgres"):
                    found.append(int(entry.name))
    return sorted(found)


def works_in(pid: int, pgdata: Path) -> bool:
    """Whether this process is still a server process of `pgdata`: a number may have gone to somebody else."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == pgdata.resolve()
    except OSError:
        return False


class Work(NamedTuple):
    """What a process has done in its life."""

    cpu_seconds: float
    written_bytes: int
    """To files and sockets."""


def work_done(pid: int) -> Work:
    """See `Work`; 0 where it cannot be seen."""
    cpu, written = 0.0, 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        cpu = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        written = next((int(line.split()[1]) for line in lines if line.startswith("wchar:")), 0)
    return Work(cpu, written)


def logging_in(postmaster: int) -> list[int]:
    """Children of a server's first process whose clients have not yet proven who they are, by their titles."""
    found = []
    with contextlib.suppress(OSError):
        for pid in map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()):
            with contextlib.suppress(OSError):
                if _LOGGING_IN.search(Path(f"/proc/{pid}/cmdline").read_bytes()):
                    found.append(pid)
    return found


def send(pids: Collection[int], number: signal.Signals) -> None:
    """Send a signal to those that still exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def wait_gone(pgdata: Path, patience: float, kill_within: float = 5) -> None:
    """Wait until no server process of `pgdata` is left: `patience` seconds by itself, then by SIGKILL.

    After `kill -9` of a postmaster its backends notice by themselves, but one that is busy may take long, and
    could still acknowledge commits meanwhile. Raises VolumeInUse when even SIGKILL does not end them in time.
    """
    start = time.monotonic()
    while pids := of_data_directory(pgdata):
        waited = time.monotonic() - start
        if waited > patience + kill_within:
            raise VolumeInUse(f"server processes of an earlier life do not end: {pids}")
        if waited > patience:
            send(pids, signal.SIGKILL)
        await asyncio.sleep(0.01)
