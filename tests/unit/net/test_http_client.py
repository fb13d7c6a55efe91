"""The agent's own HTTPS client against real servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.net.http_client import Client, ClientError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(certificates: Certificates, handler: Handler) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=certificates.server)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return head + await reader.readexactly(size)


def _client(certificates: Certificates, port: int, timeout: float = 5) -> Client:
    return Client("127.0.0.1", port, certificates.client, timeout=timeout, server_name="localhost")


async def test_a_connection_serves_again_and_a_closed_one_is_replaced(certificates: Certificates) -> None:
    connections = 0
    asked: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            asked.append(await _request(reader))
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    async with serving(certificates, handle) as port, _client(certificates, port) as client:
        for _ in range(2):
            answer = await client.request("PUT", "/x", headers={"Authorization": "Bearer t"}, body=b"{}")
            assert (answer.status, answer.text, answer.ok) == (201, "ok", True)
        assert connections == 1
        await asyncio.sleep(0.05)
        await client.request("GET", "/x")
        assert connections == 2
    assert asked[0].startswith(b"PUT /x HTTP/1.1\r\nHost: localhost\r\n") and asked[0].endswith(b"\r\n\r\n{}")
    assert b"Authorization: Bearer t\r\n" in asked[0]


async def test_a_sink_gets_what_was_asked_for_and_no_error_page(certificates: Certificates) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status in (b"200 OK", b"404 Not Found"):
            await _request(reader)
            writer.write(
                b"HTTP/1.1 " + status + b"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            )
            await writer.drain()
        writer.close()

    got: list[bytes] = []
    async with serving(certificates, handle) as port, _client(certificates, port) as client:
        assert (await client.request("GET", "/", sink=got.append)).body == b""
        assert b"".join(got) == b"abcde"
        answer = await client.request("GET", "/", sink=got.append)
        assert (answer.status, answer.body, b"".join(got)) == (404, b"abcde", b"abcde")


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
async def test_half_an_answer_is_none(certificates: Certificates, reply: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with serving(certificates, handle) as port, _client(certificates, port) as client:
        with pytest.raises(ClientError):
            await client.request("GET", "/")


async def test_who_does_not_answer_is_not_waited_for(certificates: Certificates) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.close()

    async with serving(certificates, handle) as port, _client(certificates, port, 0.1) as client:
        with pytest.raises(ClientError, match="no answer"):
            await client.request("GET", "/")
    async with _client(certificates, 1) as client:
        with pytest.raises(ClientError, match="cannot connect"):
            await client.request("GET", "/")
