from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_operator.postgres.errors import ServerError, ToolError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server import processes
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.tools import Tools


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a backend that its postmaster left behind."""
    sleep = shutil.which("sleep")
    assert sleep is not None
    program = tmp_path / "postgres"
    shutil.copy(sleep, program)
    folder = tmp_path / "pgdata"
    folder.mkdir()
    process = subprocess.Popen([program, "60"], cwd=folder)
    yield process
    process.kill()
    process.wait()


async def test_leftovers_are_found_waited_for_and_killed(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pgdata = tmp_path / "pgdata"
    deadline = time.monotonic() + 5
    while processes.of_data_directory(pgdata) != [sleeper.pid]:  # until exec has happened
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert processes.of_data_directory(tmp_path) == []
    await processes.wait_gone(pgdata, patience=0.05)
    assert sleeper.wait(1) == -9


async def test_a_program_says_what_it_has_to_say(tmp_path: Path) -> None:
    script = tmp_path / "talk"
    script.write_text(
        f"#!{sys.executable}\nimport sys, os\n"
        "sys.stderr.write('1/2 kB (\\r2/2 kB (\\nlast'); print(os.environ.get('PGHOST'), sys.argv[1:])\n"
        "sys.exit(int(sys.argv[1]))\n"
    )
    script.chmod(0o755)
    tools = Tools(tmp_path)
    os.environ["PGHOST"] = "somewhere"
    try:
        seen: list[str] = []
        assert await tools.run("talk", "0", "a b", timeout=10, on_line=seen.append) == "None ['0', 'a b']\n"
        assert seen == ["1/2 kB (", "2/2 kB (", "last"]
        with pytest.raises(ToolError, match=r"(?s)talk ended with 3: .*last") as caught:
            await tools.run("talk", "3", timeout=10)
        assert caught.value.returncode == 3
    finally:
        del os.environ["PGHOST"]


async def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    script = tmp_path / "linger"
    script.write_text("#!/bin/sh\nsleep 60 &\nsleep 60\n")
    script.chmod(0o755)
    start = time.monotonic()
    with pytest.raises(ToolError, match="took too long"):
        await Tools(tmp_path).run("linger", timeout=0.2)
    assert time.monotonic() - start < 5


async def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    layout = Layout(data=tmp_path)
    layout.pgdata.mkdir()
    lines: list[bytes] = []
    server = Server(Tools(tmp_path), layout, sink=lines.append)
    with pytest.raises(ServerError, match="cannot start"):
        await server.start()
    assert server.state() == "down" and server.pid is None
    script = tmp_path / "postgres"
    script.write_text("#!/bin/sh\necho '2026-01-01 UTC [1] FATAL:  no such luck'\necho 'LOG:  bye' >&2\nexit 1\n")
    script.chmod(0o755)
    await server.start()
    with pytest.raises(ServerError, match="ended with 1 as it started: no such luck"):
        await server.wait_ready(5)
    assert b"LOG:  bye\n" in lines
    assert server.complaint() == "no such luck"
    assert await server.stop("fast", 1)
    with pytest.raises(ServerError, match="does not run"):
        server.reload()


@pytest.mark.parametrize("orphan", ["", "sleep 30 & echo $! >orphan"])
async def test_several_may_wait_for_its_end_at_once(tmp_path: Path, orphan: str) -> None:
    """Who stops it and who watches it; an orphan may hold its output open."""
    layout = Layout(data=tmp_path)
    layout.pgdata.mkdir()
    script = tmp_path / "postgres"
    script.write_text(f"#!/bin/sh\n{orphan}\necho 'LOG:  bye'\nexit 3\n")
    script.chmod(0o755)
    lines: list[bytes] = []
    server = Server(Tools(tmp_path), layout, sink=lines.append)
    try:
        await server.start()
        assert set(await asyncio.gather(server.wait(), server.wait(), server.wait())) == {3}
        assert lines == [b"LOG:  bye\n"]
        assert await server.wait() == 3
    finally:
        if (layout.pgdata / "orphan").exists():
            os.kill(int((layout.pgdata / "orphan").read_text()), signal.SIGKILL)
