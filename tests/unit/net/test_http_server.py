"""The agent's own HTTP server, by real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.net.http_client import Client
from aurora_operator.net.http_server import Limits, Request, Response, Routes, encoded, serve
from aurora_operator.net.listener import Bounds, Listener, Stage

CLOSED: list[str] = []
QUICK = Limits(Bounds(connections=20, per_address=10, handshake_seconds=0.3), 4096, 10_000, 0.3, 0.3, 0.3, 0.3, 0.1)
UNHURRIED = replace(QUICK, head_seconds=30.0, body_seconds=30.0, idle_seconds=30.0)


async def echo(request: Request) -> Response:
    return encoded([request.method, request.path, request.query, request.body.decode(), request.peer, request.rest])


async def nothing(_: Request) -> Response:
    return Response(204)


async def fail(_: Request) -> Response:
    raise ValueError("a secret")


async def pieces(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        try:
            for _ in range(int(request.query.get("n", "3"))):
                yield b"x" * 100_000
        finally:
            CLOSED.append(request.path)

    return Response(body=body(), content_type="application/octet-stream")


ROUTES: Routes = {
    "/echo": {"GET": echo, "POST": echo},
    "/echo/*": {"GET": echo},
    "/nothing": {"PUT": nothing},
    "/fail": {"GET": fail},
    "/pieces": {"GET": pieces},
}


@contextlib.asynccontextmanager
async def serving(
    port: int, limits: Limits = UNHURRIED, tls: ssl.SSLContext | None = None, routes: Routes = ROUTES
) -> AsyncIterator[Listener]:
    opened: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(routes, port, tls, "127.0.0.1", limits=limits, ready=opened.set_result))
    try:
        async with asyncio.timeout(10):
            yield await opened
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def talk(port: int, *said: bytes) -> bytes:
    """All that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in said:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(10):
        got = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                got += piece
    writer.close()
    return got


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_requests_follow_each_other_on_a_connection(unused_tcp_port: int) -> None:
    asked = (
        b"GET /echo?a=1&b HTTP/1.1\r\nHost: x\r\n\r\n"
        b"POST /echo/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\n"
        b"HEAD /echo/name HTTP/1.1\r\nHost: x\r\n\r\n"
        b"PUT /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    async with serving(unused_tcp_port):
        got = (await talk(unused_tcp_port, asked)).decode()
    assert re.findall(r"HTTP/1.1 (\d+)", got) == ["200", "404", "200", "200", "204"]
    assert '["GET","/echo",{"a":"1","b":""},"",null,""]' in got
    assert '["POST","/echo",{},"yo",null,""]' in got
    assert '"name"' not in got, "the answer to HEAD has no body"


async def test_what_is_not_there_what_is_not_taken_and_what_fails(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(unused_tcp_port):
        for line, expected in (
            (b"GET /x", b"404"),
            (b"GET /echo/a/b", b"404"),
            (b"GET /echo/", b"404"),
            (b"DELETE /echo", b"405"),
            (b"GET /fail", b"500"),
        ):
            got = await talk(unused_tcp_port, line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert got.split(b" ", 2)[1] == expected, line
            assert b"secret" not in got
        assert b"Allow: GET, POST\r\n" in await talk(
            unused_tcp_port, b"PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
    assert "a secret" in caplog.text


async def test_a_body_in_pieces_is_closed_however_it_ends(unused_tcp_port: int) -> None:
    CLOSED.clear()
    async with serving(unused_tcp_port, replace(QUICK, idle_seconds=30.0)):
        got = await talk(unused_tcp_port, b"GET /pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert got.count(b"x") == 300_000
        assert CLOSED == ["/pieces"]
        # One that does not read: its request ends when it has taken nothing for a while.
        _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port, limit=1024)
        writer.write(b"GET /pieces?n=1000 HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: len(CLOSED) == 2)
        writer.transport.abort()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"GET /echo HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 5000, b"HTTP/1.1 431"),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + b"z" * 20_000, b"HTTP/1.1 413"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET /echo HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        # Half a head, half a body, nothing at all: ended, without an answer.
        (b"GET /echo HTTP/1.1\r\nHost:", b""),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", b""),
        (b"", b""),
    ],
)
async def test_what_is_too_much_or_too_slow_is_ended(unused_tcp_port: int, said: bytes, answer: bytes) -> None:
    async with serving(unused_tcp_port, QUICK) as listener:
        got = await talk(unused_tcp_port, said)
        assert got.startswith(answer) and (answer or not got)
        await until(lambda: not listener.connections)


async def test_a_head_that_comes_byte_by_byte_has_no_longer(unused_tcp_port: int) -> None:
    async with serving(unused_tcp_port, QUICK) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        with contextlib.suppress(ConnectionError):
            for byte in b"GET /echo HTTP/1.1\r\nHost: " + b"x" * 60:
                writer.write(bytes((byte,)))
                await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.transport.abort()
        await until(lambda: not listener.connections)


async def test_a_connection_that_asks_no_more_is_ended(unused_tcp_port: int) -> None:
    async with serving(unused_tcp_port, QUICK) as listener:
        assert b" 200 " in await talk(unused_tcp_port, b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: not listener.connections)


async def test_a_large_request_may_wait_for_a_go_ahead(unused_tcp_port: int) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    async with serving(unused_tcp_port):
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        writer.write(head)
        assert await reader.readline() == b"HTTP/1.1 100 \r\n"
        writer.write(b"ok")
        assert b'"ok"' in await reader.read()
        writer.close()


async def test_who_asks_is_known_by_the_certificate(certificates: Certificates, unused_tcp_port: int) -> None:
    async with serving(unused_tcp_port, tls=certificates.server):
        async with Client("localhost", unused_tcp_port, certificates.client, timeout=5) as client:
            for _ in range(2):
                assert '"aurora-agent"' in (await client.request("GET", "/echo")).text
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port, ssl=stranger)
        writer.write(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
        writer.transport.abort()


async def test_what_is_at_work_is_ended_for_nobody(unused_tcp_port: int) -> None:
    go = asyncio.Event()

    async def wait(_: Request) -> Response:
        await go.wait()
        return Response(204)

    bounds = Bounds(connections=3, per_address=3)
    routes: Routes = {"/wait": {"GET": wait}, **ROUTES}
    async with serving(unused_tcp_port, replace(UNHURRIED, bounds=bounds), routes=routes) as listener:
        idle = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
        idle[1].write(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        await idle[0].readuntil(b"]")
        asked = b"GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        working = [asyncio.create_task(talk(unused_tcp_port, asked)) for _ in range(2)]
        await until(lambda: [c.stage for c in listener._open].count(Stage.BUSY) == 2)
        strangers = [await asyncio.open_connection("127.0.0.1", unused_tcp_port) for _ in range(5)]
        await until(lambda: listener.ended == 5)
        assert await idle[0].read() == b"", "the first stranger came in its place"
        assert [c.stage for c in listener._open].count(Stage.BUSY) == 2
        go.set()
        assert all([(await task).startswith(b"HTTP/1.1 204") for task in working])
        for _, writer in (idle, *strangers):
            writer.transport.abort()


async def test_the_end_waits_for_what_is_at_work(unused_tcp_port: int) -> None:
    begun = asyncio.Event()

    async def slow(_: Request) -> Response:
        begun.set()
        await asyncio.sleep(0.2)
        return Response(204)

    limits = replace(UNHURRIED, grace_seconds=10.0)
    async with serving(unused_tcp_port, limits, routes={"/slow": {"GET": slow}}):
        asked = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        waiting = asyncio.create_task(talk(unused_tcp_port, asked))
        await begun.wait()
    assert (await waiting).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("secure", [True, False])
async def test_2500_half_open_connections_hold_little_and_stop_nobody(
    certificates: Certificates, unused_tcp_port: int, secure: bool
) -> None:
    """All from one address, which is also that of who asks in earnest."""
    tls = certificates.server if secure else None
    half = b"\x16\x03\x01\x02\x00\x01" if secure else b"GET /livez HTTP/1.1\r\nHost:"
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as held:
        async with serving(unused_tcp_port, Limits(), tls) as listener:
            before = _resident()
            for _ in range(2500):
                half_open = held.enter_context(socket.socket())
                half_open.setblocking(False)
                await loop.sock_connect(half_open, ("127.0.0.1", unused_tcp_port))
                with contextlib.suppress(ConnectionError):
                    half_open.send(half)
            await until(lambda: listener.ended >= 2500 - Limits().bounds.per_address)
            assert listener.connections <= Limits().bounds.per_address
            assert _resident() - before < 4 << 20
            if secure:
                async with Client("localhost", unused_tcp_port, certificates.client, timeout=5) as client:
                    assert (await client.request("GET", "/echo")).ok
            else:
                assert b" 200 " in await talk(unused_tcp_port, b"GET /echo HTTP/1.0\r\n\r\n")


def _resident() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10
