"""A pod's wall clock is set while its agent's processes run."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration import pgbackrest

from aurora_operator.agent.process.watchdog import Watchdog

LEASE_MS = 1500.0
BEAT_SECONDS = 0.1


class WallClock:
    """The wall clock of the shell that an agent's watchdog is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        settings = {
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }
        words = [*(f"{name}={value}" for name, value in settings.items()), "exec", *pgbackrest.clock_starter()]
        self.shell = folder / "bin" / "bash"
        self.shell.parent.mkdir()
        self.shell.write_text(f'#!/bin/sh\n{" ".join(words)} {shutil.which("bash")} "$@"\n')
        self.shell.chmod(0o755)

    def set(self, seconds: int) -> None:
        """So much ahead of the machine's."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self._file)

    def ahead(self) -> int:
        """As such a shell sees it."""
        words = (self.shell, "-c", "echo $((EPOCHSECONDS - $(env -i date +%s)))")
        return int(subprocess.run(words, check=True, capture_output=True, timeout=10).stdout)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WallClock:
    made = WallClock(tmp_path)
    monkeypatch.setenv("PATH", f"{made.shell.parent}:{os.environ['PATH']}")
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    sleep = shutil.which("sleep")
    assert sleep is not None
    shutil.copy(sleep, tmp_path / "postgres")
    (tmp_path / "pgdata").mkdir()
    with subprocess.Popen([tmp_path / "postgres", "60"], cwd=tmp_path / "pgdata") as process:
        yield process
        process.kill()


@pytest.mark.parametrize("seconds", [3600, -7200], ids=["forwards", "backwards"])
async def test_the_watchdog_goes_by_no_wall_clock(
    tmp_path: Path, clock: WallClock, server: subprocess.Popen[bytes], seconds: int
) -> None:
    """A healthy leader is left alone, and one whose lease ends afterwards is not."""
    watchdog = Watchdog(tmp_path / "pgdata", str(tmp_path / "postgres"), lambda: LEASE_MS)

    async def renew() -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            watchdog.tell()

    task, leading = asyncio.create_task(watchdog.run()), asyncio.create_task(renew())
    try:
        await asyncio.sleep(5 * BEAT_SECONDS)
        shell = watchdog.pid
        clock.set(seconds)
        assert abs(clock.ahead() - seconds) <= 1
        await asyncio.sleep(2 * LEASE_MS / 1000)
        assert server.poll() is None
        assert shell is not None and watchdog.pid == shell
        leading.cancel()
        async with asyncio.timeout(LEASE_MS / 1000 + 2):
            while server.poll() is None:
                await asyncio.sleep(0.05)
    finally:
        for each in (task, leading):
            each.cancel()
        await asyncio.gather(task, leading, return_exceptions=True)
