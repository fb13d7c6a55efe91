"""Sessions that wait at the gate, and where they are led."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from aurora_operator.proxy.gate import MOST_HELD_BYTES, Gate

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
MOST = 100


class Instances:
    """Servers at addresses of their own, which answer with where they are."""

    def __init__(self) -> None:
        self.network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        self.port = 0
        self.servers: dict[str, asyncio.Server] = {}

    async def open(self, number: int, handler: Handler | None = None) -> str:
        address = f"{self.network}.{number}"

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(1000):
                    writer.write(address.encode() + b" " + data)
            writer.close()

        server = await asyncio.start_server(handler or answer, address, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self.servers[address] = server
        return address


@pytest.fixture
async def instances() -> AsyncIterator[Instances]:
    made = Instances()
    try:
        yield made
    finally:
        for server in made.servers.values():
            server.close()


class Door:
    """A gate on a port of its own, and its clients."""

    def __init__(self, instances: Instances) -> None:
        self.gate = Gate(instances.port, lambda: None)
        self.port = 0
        self.server: asyncio.Server | None = None
        self.clients: list[Client] = []

    async def open(self) -> None:
        self.server = await self.gate.serve("127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def come(self) -> Client:
        client = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(client)
        return client


@pytest.fixture
async def door(instances: Instances) -> AsyncIterator[Door]:
    await instances.open(1)
    made = Door(instances)
    await made.open()
    try:
        yield made
    finally:
        assert made.server is not None
        made.server.close()
        made.gate.close()
        for _, writer in made.clients:
            writer.close()
        await until(lambda: not made.gate.waiting and not made.gate.joined)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not look():
            await asyncio.sleep(0.01)


async def ask(client: Client) -> str:
    """Who answers."""
    client[1].write(b"x")
    return await heard(client)


async def heard(client: Client) -> str:
    async with asyncio.timeout(10):
        return (await client[0].read(1000)).decode().split(" ")[0]


async def test_a_session_waits_with_what_it_has_said(instances: Instances, door: Door) -> None:
    client = await door.come()
    client[1].write(b"hello")
    await until(lambda: door.gate.waiting == 1)
    (address,) = instances.servers
    door.gate.lead(frozenset({address}), 1, MOST)
    assert await heard(client) == address
    assert door.gate.sessions(address) == door.gate.joined == 1


async def test_an_instance_that_goes_before_it_answers_costs_nothing(instances: Instances, door: Door) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    dying = await instances.open(2, hang_up)
    client = await door.come()
    client[1].write(b"hello")
    door.gate.lead(frozenset({dying}), 1, MOST)
    await asyncio.sleep(0.1)
    (alive, _) = instances.servers
    door.gate.lead(frozenset({alive}), 2, MOST)
    assert await heard(client) == alive


async def test_a_deposed_writers_sessions_end_at_once(instances: Instances, door: Door) -> None:
    (old,) = instances.servers
    new = await instances.open(2)
    door.gate.lead(frozenset({old}), 1, MOST)
    lost = await door.come()
    assert await ask(lost) == old
    assert door.gate.drop(lambda _, epoch: epoch >= 2) == 1
    with contextlib.suppress(ConnectionResetError):
        assert await lost[0].read(1) == b""
    door.gate.lead(frozenset({new}), 2, MOST)
    assert await ask(await door.come()) == new
    assert door.gate.drop(lambda _, epoch: epoch >= 2) == 0


async def test_readers_share_sessions_and_none_has_too_many(instances: Instances, door: Door) -> None:
    (first,) = instances.servers
    second = await instances.open(2)
    both = frozenset({first, second})
    door.gate.lead(both, 1, 2)
    clients = [await door.come() for _ in range(4)]
    answers = [await ask(client) for client in clients]
    assert sorted(answers) == sorted([first, second] * 2)
    late = await door.come()
    late[1].write(b"x")
    await until(lambda: door.gate.waiting == 1)
    clients[answers.index(first)][1].close()
    assert await heard(late) == first
    assert door.gate.with_others(frozenset({second}))
    assert not door.gate.with_others(both)


async def test_who_says_too_much_before_an_answer_is_ended(door: Door) -> None:
    client = await door.come()
    client[1].write(b"x" * (MOST_HELD_BYTES + 1))
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            assert await client[0].read(1) == b""
    await until(lambda: door.gate.waiting == 0)


async def test_a_slow_client_holds_back_its_server_only(instances: Instances, door: Door) -> None:
    size = 8 << 20
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(1)
        for _ in range(size >> 16):
            writer.write(bytes(1 << 16))
            await writer.drain()
            sent += 1 << 16
        writer.close()

    address = await instances.open(2, pour)
    door.gate.lead(frozenset({address}), 1, MOST)
    client = await door.come()
    client[1].write(b"x")
    got = 0
    async with asyncio.timeout(30):
        while data := await client[0].read(1 << 16):
            got += len(data)
    assert got == sent == size
