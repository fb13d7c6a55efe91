"""What a client hears at a closed door, from libpq itself, and where libpq goes then."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo
from tests.integration.certificates import HOST
from tests.integration.copies import Cluster, Copy, silent_host

from aurora_operator.postgres.config.conf import Runtime, conninfo
from aurora_operator.postgres.config.door import DOOR_FILE, Door
from aurora_operator.postgres.errors import ServerError
from aurora_operator.postgres.server import processes
from aurora_operator.postgres.sql import queries, roles

CLOSED = "this copy is closed for the test"
FINDS_SECONDS = 3.0


async def _start(copy: Copy, library: Path, **parameters: str) -> Door:
    """Start it as an agent does, with its door closed."""
    door = Door(copy.layout, copy.server, library)
    door.prepare_start(CLOSED)
    copy.choose(parameters, preload=door.preload)
    await copy.start()
    return door


async def _two(cluster: Cluster, library: Path) -> tuple[Copy, Door, Copy, Door]:
    """A standby, and the writer that it follows; both are closed."""
    writer = cluster.first()
    open_writer = await _start(writer, library)
    await roles.ensure_roles(writer.session, master="app", password="secret", database="app")
    standby = cluster.blank()
    await standby.clone_from(writer, verify=False)
    standby.configure(Runtime(source=writer.source))
    open_standby = await _start(standby, library)
    await standby.streams(1, await queries.flush(writer.session))
    return standby, open_standby, writer, open_writer


def _conninfo(*addresses: str, **more: str) -> str:
    query = {"user": "app", "password": "secret", "dbname": "app", "connect_timeout": "2", "sslmode": "require", **more}
    return make_conninfo(host=",".join(HOST for _ in addresses), hostaddr=",".join(addresses), **query)


async def _libpq(*addresses: str, **more: str) -> str:
    """The address that libpq by itself, without psycopg's way with several hosts, has come to; else what it heard."""
    connection = await asyncio.to_thread(pq.PGconn.connect, _conninfo(*addresses, **more).encode())
    try:
        ok = connection.status == pq.ConnStatus.OK
        return (connection.hostaddr if ok else connection.error_message).decode()
    finally:
        connection.finish()


async def test_a_closed_door_says_why_and_libpq_goes_on(cluster: Cluster, door: Path) -> None:
    standby, open_standby, writer, open_writer = await _two(cluster, door)
    for more in ({}, {"password": "wrong"}, {"user": "nobody"}, {"dbname": "none"}):
        assert CLOSED in await _libpq(writer.address, **more)
    assert "57P03 app@app" in writer.said and "57P03 nobody@app" in writer.said
    assert "28000" not in writer.said and "28P01" not in writer.said
    with pytest.raises(psycopg.OperationalError, match=CLOSED):
        await psycopg.AsyncConnection.connect(_conninfo(standby.address))

    # Our own people pass.
    agent = conninfo(writer.source, writer.layout, "demo-9/00000009", dbname="postgres")
    async with await psycopg.AsyncConnection.connect(agent) as connection:
        await connection.execute("SELECT 1")

    # Opening and closing need no reload.
    assert open_writer.open() and not open_writer.open()
    write = {"target_session_attrs": "read-write"}
    assert await _libpq(standby.address, writer.address, **write) == writer.address
    assert "password authentication failed" in await _libpq(writer.address, password="wrong")
    assert open_standby.open()
    assert await _libpq(standby.address, writer.address, **write) == writer.address
    assert await _libpq(standby.address, writer.address) == standby.address
    assert open_writer.close("closed again") and not open_writer.close("closed again")
    assert "closed again" in await _libpq(writer.address)


async def test_a_host_that_is_silent_or_frozen_costs_libpq_its_time_out(cluster: Cluster, door: Path) -> None:
    standby, _, writer, open_writer = await _two(cluster, door)
    open_writer.open()
    write = {"target_session_attrs": "read-write"}
    with silent_host(f"{cluster.network}.99"):
        started = time.monotonic()
        assert await _libpq(f"{cluster.network}.99", standby.address, writer.address, **write) == writer.address
        assert 1.5 < time.monotonic() - started < FINDS_SECONDS
    processes.send(processes.of_data_directory(standby.layout.pgdata), signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert await _libpq(standby.address, writer.address, **write) == writer.address
        assert 1.5 < time.monotonic() - started < FINDS_SECONDS
    finally:
        processes.send(processes.of_data_directory(standby.layout.pgdata), signal.SIGCONT)


async def test_whatever_is_wrong_with_the_file_the_door_is_closed(cluster: Cluster, door: Path) -> None:
    copy = cluster.first()
    made = await _start(copy, door)
    await roles.ensure_roles(copy.session, master="app", password="secret", database="app")
    file = copy.layout.pgdata / DOOR_FILE
    for content in ("", "\n", "OPEN\n", "opened\n", " open\n"):
        file.write_text(content)
        assert "Try again, or try another host" in await _libpq(copy.address), content
    file.unlink()
    assert "this copy admits no clients now" in await _libpq(copy.address)
    file.mkdir()
    assert "this copy admits no clients now" in await _libpq(copy.address)
    file.rmdir()
    made.open()
    assert await _libpq(copy.address) == copy.address


async def test_a_broken_configuration_does_not_keep_the_door_open(cluster: Cluster, door: Path) -> None:
    """A reload that PostgreSQL refuses, in either file."""
    copy = cluster.first()
    made = await _start(copy, door)
    await roles.ensure_roles(copy.session, master="app", password="secret", database="app")
    made.open()
    assert await _libpq(copy.address) == copy.address
    for name in ("postgresql.conf", "pg_hba.conf"):
        with (copy.layout.pgdata / name).open("a") as file:
            file.write("no such thing\n")
    copy.server.reload()
    made.close(CLOSED)
    assert CLOSED in await _libpq(copy.address)


async def test_the_users_libraries_are_loaded_beside_it(cluster: Cluster, door: Path) -> None:
    copy = cluster.first()
    await _start(copy, door, shared_preload_libraries="auto_explain")
    await roles.ensure_roles(copy.session, master="app", password="secret", database="app")
    (loaded,) = await copy.session.row("SHOW shared_preload_libraries")
    assert loaded == f"auto_explain, {door.with_suffix('')}"
    assert CLOSED in await _libpq(copy.address)


async def test_a_server_that_cannot_load_it_does_not_start(cluster: Cluster) -> None:
    """Else its clients, whom pg_hba.conf lists, would be in."""
    broken = cluster.root / "broken.so"
    broken.write_text("no library")
    with pytest.raises(ServerError):
        await _start(cluster.first(), broken)


async def test_without_the_library_pg_hba_is_the_door(cluster: Cluster) -> None:
    """An image of one's own."""
    copy = cluster.first()
    made = await _start(copy, cluster.root / "none.so")
    await roles.ensure_roles(copy.session, master="app", password="secret", database="app")
    assert "no pg_hba.conf entry" in await _libpq(copy.address)
    for change, heard in ((made.open, copy.address), (lambda: made.close(CLOSED), "no pg_hba.conf entry")):
        assert change()
        await queries.reload_seen(copy.session, "cluster_name", copy.name)
        assert heard in await _libpq(copy.address)
