from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aurora_operator.agent.process.watchdog import Watchdog

AGENT = """
import asyncio, sys
from pathlib import Path
from aurora_operator.agent.process.watchdog import Watchdog


async def main():
    watchdog = Watchdog(Path(sys.argv[1]), sys.argv[2], lambda: 400.0)
    running = asyncio.create_task(watchdog.run())
    while True:
        await asyncio.sleep(0.1)
        watchdog.tell()

asyncio.run(main())
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    sleep = shutil.which("sleep")
    assert sleep is not None
    shutil.copy(sleep, tmp_path / "postgres")
    (tmp_path / "pgdata").mkdir()
    return tmp_path / "postgres"


@pytest.fixture
def server(program: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A postmaster and a backend, which is in a session of its own."""
    processes = [
        subprocess.Popen([program, "60"], cwd=program.parent / "pgdata", start_new_session=True) for _ in range(2)
    ]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


async def until(condition: Callable[[], object]) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def start(*arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, cwd=cwd)


def start_agent(program: Path) -> subprocess.Popen[bytes]:
    return start(sys.executable, "-c", AGENT, program.parent / "pgdata", program)


def anonymous_memory(pid: int) -> int:
    """In kB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss_Anon"))


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_an_agent_that_stands_still_does_not_keep_its_sessions(
    program: Path, server: list[subprocess.Popen[bytes]]
) -> None:
    agent = start_agent(program)
    other = start(program, "60", cwd=program.parent)
    try:
        await until(lambda: children(agent.pid))
        # Fed all the time: three leases, and nothing happens.
        await asyncio.sleep(1.2)
        assert [p.poll() for p in server] == [None, None]
        agent.send_signal(signal.SIGSTOP)
        seconds = await until(lambda: all(p.poll() is not None for p in server))
        assert 0.2 < seconds < 1
        assert [p.returncode for p in server] == [-9, -9]
        assert other.poll() is None, "not this data directory's"
    finally:
        for process in (agent, other):
            process.kill()
            process.wait()


async def test_an_agent_that_dies_takes_its_server_along(program: Path, server: list[subprocess.Popen[bytes]]) -> None:
    agent = start_agent(program)
    await until(lambda: children(agent.pid))
    await asyncio.sleep(0.3)
    agent.kill()
    agent.wait()
    await until(lambda: all(p.poll() is not None for p in server))


async def test_without_a_lease_nothing_is_killed(program: Path, server: list[subprocess.Popen[bytes]]) -> None:
    left: float | None = 300.0
    watchdog = Watchdog(program.parent / "pgdata", str(program), lambda: left)
    task = asyncio.create_task(watchdog.run())
    try:
        await until(lambda: watchdog.pid)
        left = None
        watchdog.tell()
        await asyncio.sleep(1)
        assert [p.poll() for p in server] == [None, None]
        left = 300.0
        watchdog.tell()
        await asyncio.sleep(0.2)
        left = 0.0
        watchdog.tell()
        await until(lambda: all(p.poll() is not None for p in server))
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_another_takes_over_when_it_dies_and_it_is_small(program: Path) -> None:
    watchdog = Watchdog(program.parent / "pgdata", str(program), lambda: None)
    task = asyncio.create_task(watchdog.run())
    try:
        await until(lambda: watchdog.pid)
        first = watchdog.pid
        assert first is not None
        await until(lambda: Path(f"/proc/{first}/comm").read_text() == "bash\n")
        assert anonymous_memory(first) < 2048
        os.kill(first, signal.SIGKILL)
        await until(lambda: watchdog.pid not in (None, first))
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert watchdog.pid is None
