"""A real server on a real file system that really fills: what the agent does about it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from tests.integration.certificates import Authority
from tests.integration.copies import Cluster, Copy

from aurora_operator.agent.storage.disk_monitor import DiskMonitor
from aurora_operator.agent.storage.disk_policy import MIB, marks
from aurora_operator.consensus.state import Role
from aurora_operator.postgres import disk
from aurora_operator.postgres.config import configure
from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.tools import Tools

SIZE = 512 * MIB


@pytest.fixture
def volume(root: Path) -> Iterator[Path]:
    """A file system of its own."""
    path = root / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
async def small(volume: Path, tools: Tools, template: Path, authority: Authority, major: int) -> AsyncIterator[Copy]:
    if tools.user is not None:
        shutil.chown(volume, tools.user, tools.user)
    async with Cluster(tools, volume, authority, template, f"127.{os.getpid() % 250 + 1}.77", major).closing() as made:
        copy = made.first()
        yield copy


class Watched:
    """The parts of an agent's copy that `Space` looks at."""

    def __init__(self, copy: Copy, role: Role) -> None:
        self.stopped = 0
        fake: Any = SimpleNamespace(
            layout=copy.layout,
            server=copy.server,
            session=copy.session,
            watching=copy.session,
            driver=SimpleNamespace(state=SimpleNamespace(role=role)),
            brake="off",
            volume=None,
        )
        self.copy = fake
        self.space = DiskMonitor(cast(Any, fake), self._stop)

    def _stop(self) -> None:
        self.stopped += 1


async def until(holds: Callable[[], bool], timeout: float = 10) -> None:  # noqa: ASYNC109
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, "never came"
        await asyncio.sleep(0.02)


Connect = Callable[[], Awaitable[psycopg.Connection[Any]]]


@pytest.fixture
def connect(small: Copy) -> Iterator[Connect]:
    """Sessions, closed at the end."""
    made: list[psycopg.Connection[Any]] = []

    async def one() -> psycopg.Connection[Any]:
        where = f"host={small.layout.run} user=postgres dbname=postgres"
        made.append(await asyncio.to_thread(psycopg.connect, where, autocommit=True))
        return made[-1]

    yield one
    for connection in made:
        connection.close()


def fill(copy: Copy, leave: int) -> Path:
    """Somebody else takes room, until so much is left."""
    path = copy.layout.data / "filler"
    with path.open("ab") as file:
        file.write(bytes(max(disk.usage(copy.layout.data).free - leave, 0)))
    return path


async def test_clients_are_kept_from_writing_until_there_is_room_again(small: Copy, connect: Connect) -> None:
    small.configure(Runtime(sync=(0, ())), standby=False)
    watched = Watched(small, Role.LEADING)
    watched.space.prepare_start()
    await small.start()
    watching = asyncio.create_task(watched.space.run())
    mark = marks(SIZE)
    await until(lambda: watched.copy.volume is not None and (small.layout.state / "reserve").exists())
    writer, quiet = await connect(), await connect()
    await asyncio.to_thread(writer.execute, "CREATE TABLE t AS SELECT 1 AS n")
    filler = await asyncio.to_thread(fill, small, mark.low // 2)
    await until(lambda: watched.copy.brake == "on")
    assert not (small.layout.state / "reserve").exists()

    def refused() -> bool:
        with pytest.raises((psycopg.errors.ReadOnlySqlTransaction, AssertionError)) as caught:
            quiet.execute("INSERT INTO t VALUES (2)")
            raise AssertionError("it was let in")
        return caught.type is psycopg.errors.ReadOnlySqlTransaction

    await until(refused)
    assert quiet.execute("SELECT max(n) FROM t").fetchone() is not None
    filler.unlink()
    await until(lambda: watched.copy.brake == "off" and (small.layout.state / "reserve").exists())

    def works() -> bool:
        try:
            writer.execute("INSERT INTO t VALUES (3)")
        except psycopg.errors.ReadOnlySqlTransaction:
            return False
        return True

    await until(works)
    assert small.server.alive
    watching.cancel()


async def test_a_burst_is_ended_before_postgresql_panics(small: Copy, connect: Connect) -> None:
    """One statement that would write more than there is."""
    small.configure(Runtime(sync=(0, ())), standby=False, user={"max_wal_size": "64MB", "min_wal_size": "32MB"})
    watched = Watched(small, Role.LEADING)
    watched.space.prepare_start()
    await small.start()
    watching = asyncio.create_task(watched.space.run())
    await until(lambda: watched.copy.volume is not None)
    writer = await connect()
    with pytest.raises((psycopg.errors.AdminShutdown, psycopg.errors.DiskFull)):
        await asyncio.to_thread(
            writer.execute, "CREATE TABLE big AS SELECT repeat('x', 800) AS t FROM generate_series(1, 2000000)"
        )
    assert small.server.alive, small.said[-2000:]
    assert "PANIC" not in small.said
    reader = await connect()
    assert reader.execute("SELECT 1").fetchone() == (1,)
    watching.cancel()


async def test_a_volume_without_room_keeps_postgresql_down_and_room_lets_it_start(small: Copy) -> None:
    watched = Watched(small, Role.STANDBY)
    filler = await asyncio.to_thread(fill, small, MIB)
    watching = asyncio.create_task(watched.space.run())
    await until(lambda: not watched.space.may_start())
    assert watched.copy.volume is not None or await _published(watched)
    filler.unlink()
    await until(watched.space.may_start)
    watched.space.prepare_start()
    assert not (small.layout.pgdata / "space.conf").read_text().count("default_transaction_read_only")
    await small.start()
    watching.cancel()


async def test_a_death_for_want_of_room_is_recognised(small: Copy, connect: Connect) -> None:
    small.configure(Runtime(sync=(0, ())), standby=False)
    watched = Watched(small, Role.LEADING)
    await small.start()
    writer = await connect()
    writer.execute("CREATE TABLE t (n text)")
    fill(small, 4 * MIB)
    with pytest.raises(psycopg.Error):
        for _ in range(100):
            await asyncio.to_thread(writer.execute, "SELECT pg_switch_wal(), pg_logical_emit_message(true, 'x', 'y')")
    await until(lambda: not small.server.alive)
    assert watched.space.note_end()
    assert not watched.space.may_start()


async def _published(watched: Watched) -> bool:
    await until(lambda: watched.copy.volume is not None)
    return True


def test_the_files_are_what_postgresql_reads(tmp_path: Path) -> None:
    from aurora_operator.postgres.layout import Layout

    layout = Layout(data=tmp_path)
    layout.pgdata.mkdir()
    assert configure.write_space(layout, read_only=True)
    assert "default_transaction_read_only = 'on'" in (layout.pgdata / "space.conf").read_text()
    assert configure.write_space(layout, read_only=False)
