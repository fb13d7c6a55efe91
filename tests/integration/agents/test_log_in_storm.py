"""Twice as many log-ins as there are connections, and none of them ends: our own sessions and a failover go on."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import AsyncIterator

import psycopg
from tests.integration.agents.cluster import DATABASE, USER, Cluster
from tests.integration.agents.pod import PASSWORD, Pod
from tests.integration.agents.writers import connect, query

from aurora_operator.api.base.names import POSTGRES_PORT

BOUND_SECONDS = 5.0
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
TOO_MANY = b"53300"
AGAIN_SECONDS = 10.0


def _start_up() -> bytes:
    body = b"".join(f"{key}\0{value}\0".encode() for key, value in (("user", USER), ("database", DATABASE))) + b"\0"
    return struct.pack("!ii", len(body) + 8, 196608) + body


async def _stall(pod: Pod, seen: list[bytes]) -> None:
    """Ask to log in, and never answer what the server asks then; again some time after it hangs up."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            reader, writer = await asyncio.open_connection(pod.address, POSTGRES_PORT)
            try:
                writer.write(SSL_REQUEST)
                if await reader.readexactly(1) == b"S":
                    await writer.start_tls(trusting)
                    writer.write(_start_up())
                    while answer := await reader.read(512):
                        seen.append(answer)
            finally:
                writer.close()
        await asyncio.sleep(AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def _storm(pods: list[Pod], count: int) -> AsyncIterator[list[bytes]]:
    seen: list[bytes] = []
    tasks = [asyncio.create_task(_stall(pod, seen)) for pod in pods for _ in range(count)]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _asked(seen: list[bytes]) -> int:
    """How many were asked for a password."""
    return sum(answer[:1] == b"R" for answer in seen)


async def _gets_in(pod: Pod) -> bool:
    with contextlib.suppress(psycopg.Error):
        connection = await psycopg.AsyncConnection.connect(
            host=pod.address, user=USER, password=PASSWORD, dbname=DATABASE, sslmode="require", connect_timeout=3
        )
        await connection.close()
        return True
    return False


async def test_stalled_log_ins_stop_neither_our_sessions_nor_a_failover(three: Cluster) -> None:
    writer = await three.ready()
    ((connections,),) = await query(writer, "SELECT current_setting('max_connections')::int")
    connection = await connect(writer)
    await connection.execute("CREATE TABLE t (id int)")
    async with _storm(list(three.pods.values()), 2 * connections) as seen:
        await three.until("all connections are taken", lambda: any(TOO_MANY in answer for answer in seen))
        assert _asked(seen) >= connections, "they are asked for a password, and hold a connection each"
        # PostgreSQL itself would wait for their passwords for a minute.
        began = time.monotonic()
        await three.until("a client gets in", lambda: _gets_in(writer))
        entry = time.monotonic() - began
        # Who is in goes on, and so does the agent.
        longest = 0.0
        for _ in range(20):
            began = time.monotonic()
            await connection.execute("INSERT INTO t VALUES (1)")
            status = await writer.status()
            longest = max(longest, time.monotonic() - began)
            assert status is not None and status.role == "writer"
        connection.pgconn.finish()
        began = time.monotonic()
        await writer.kill()
        other = await three.writer(but=writer)
        took = time.monotonic() - began
        print(f"a client got in after {entry:.1f} s, {_asked(seen)} log-ins stalled")
        print(f"longest write and status {longest:.2f} s, failover {took:.2f} s")
        assert entry <= BOUND_SECONDS and longest <= BOUND_SECONDS and took <= BOUND_SECONDS
        status = await other.status()
        assert status is not None and status.phase == "Leading"
    await writer.start()
    await three.ready()
