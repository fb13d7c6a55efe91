"""A port's bounds, and lines that come over its connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from aurora_operator.net.listener import Bounds, Connection, Listener, Stage


@contextlib.asynccontextmanager
async def listening(listener: Listener, port: int, host: str = "127.0.0.1") -> AsyncIterator[None]:
    opened = asyncio.Event()
    task = asyncio.create_task(listener.run(host, port, opened.set))
    try:
        async with asyncio.timeout(20):
            await opened.wait()
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await listener.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def hold(_: Connection) -> None:
    await asyncio.Event().wait()


async def connect(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def test_many_of_one_address_take_no_room_of_another(unused_tcp_port: int) -> None:
    listener = Listener(Bounds(connections=10, per_address=4), hold)
    async with listening(listener, unused_tcp_port):
        other = await connect(unused_tcp_port, "127.0.0.2")
        many = [await connect(unused_tcp_port, "127.0.0.3") for _ in range(30)]
        await until(lambda: listener.ended == 26)
        assert sorted(c.address for c in listener._open) == ["127.0.0.2", *["127.0.0.3"] * 4]
        for first, _ in many[:26]:
            assert await first.read() == b"", "the oldest have gone"
        crowd = [await connect(unused_tcp_port, f"127.0.1.{n}") for n in range(1, 30)]
        await until(lambda: listener.ended == 26 + 24)
        assert listener.connections == 10
        for _, writer in [other, *many, *crowd]:
            writer.transport.abort()


async def test_the_known_stay_and_those_at_work_cannot_be_ended(unused_tcp_port: int) -> None:
    listener = Listener(Bounds(connections=3, per_address=3), hold)
    async with listening(listener, unused_tcp_port):
        held = [await connect(unused_tcp_port, "127.0.0.1") for _ in range(3)]
        await until(lambda: listener.connections == 3)
        for connection, stage in zip(listener._open, (Stage.BUSY, Stage.IDLE, Stage.BUSY), strict=True):
            connection.stage = stage
        held.append(await connect(unused_tcp_port, "127.0.0.1"))
        assert await held[1][0].read() == b"", "none was a stranger: the idle one went"
        await until(lambda: listener.connections == 3)
        for connection in listener._open:
            connection.stage = Stage.BUSY
        late = await connect(unused_tcp_port, "127.0.0.1")
        assert await late[0].read() == b"", "all are at work"
        for _, writer in [*held, late]:
            writer.transport.abort()


async def test_a_connection_that_fails_ends_alone(unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(connection: Connection) -> None:
        if await connection.channel.read() == b"fail":
            raise ValueError("why")
        await connection.channel.write(b"fine", 5)

    listener = Listener(Bounds(connections=3, per_address=3), fail)
    async with listening(listener, unused_tcp_port):
        for said, heard in ((b"fail", b""), (b"work", b"fine")):
            reader, writer = await connect(unused_tcp_port, "127.0.0.1")
            writer.write(said)
            assert await reader.read() == heard
            writer.close()
        await until(lambda: not listener.connections)
    assert "why" in caplog.text


@pytest.mark.parametrize("said", [b"half", b"x" * 200, b"x" * 200 + b"\n"])
async def test_a_line_is_whole_in_time_and_has_an_end(unused_tcp_port: int, said: bytes) -> None:
    lines: list[bytes] = []
    errors: list[Exception] = []

    async def read(connection: Connection) -> None:
        try:
            while line := await connection.channel.readline(100, 0.2):
                lines.append(line)
        except (TimeoutError, ValueError) as error:
            errors.append(error)

    async with listening(Listener(Bounds(connections=3, per_address=3), read), unused_tcp_port):
        reader, writer = await connect(unused_tcp_port, "127.0.0.1")
        writer.write(b"one\ntwo\n")
        await asyncio.sleep(0.5)  # Between two lines there may be any time.
        writer.write(b"three\n" + said)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
    assert lines == [b"one\n", b"two\n", b"three\n"]
    assert [type(error) for error in errors] == [TimeoutError if said == b"half" else ValueError]


async def test_every_address_means_both_families(unused_tcp_port: int) -> None:
    seen: list[str] = []

    async def note(connection: Connection) -> None:
        seen.append(connection.address)

    async with listening(Listener(Bounds(connections=3, per_address=3), note), unused_tcp_port, host=""):
        hosts = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]
        for host in hosts:
            reader, writer = await asyncio.open_connection(host, unused_tcp_port)
            assert await reader.read() == b""
            writer.close()
    assert seen == hosts
