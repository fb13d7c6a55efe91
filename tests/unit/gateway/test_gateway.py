"""The gateway over real sockets: who wakes, who is held, and that bytes go through untouched."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from aurora_operator.gateway import gateway as module
from aurora_operator.gateway.gateway import Address, Clients, Gateway, Refusal
from aurora_operator.gateway.kube import serves

SSL = struct.pack("!II", 8, 80877103)
STARTUP = struct.pack("!II", 18, 196608) + b"user\0app\0\0"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class World:
    """A gateway, and a database behind it that echoes what it gets."""

    def __init__(
        self, hold_seconds: float = 30, refusal: Refusal | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.writer: Address | None = None
        self.told: list[Clients] = []
        self.looks = 0
        self.port = free_port()
        self.servers: list[asyncio.Server] = []
        late = Refusal("did not wake up in time", "try again", lambda: tls or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self.gateway = Gateway(self.find, self.tell, late=late, refusal=refusal, hold_seconds=hold_seconds)

    async def find(self) -> Address | None:
        self.looks += 1
        return self.writer

    async def tell(self, clients: Clients) -> None:
        self.told.append(clients)

    async def wake(self) -> None:
        server = await asyncio.start_server(self._echo, "127.0.0.1", 0, backlog=4096)
        self.servers.append(server)
        self.writer = server.sockets[0].getsockname()[:2]

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"<" + data + b">")
        writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    ready = asyncio.Event()
    task = asyncio.create_task(world.gateway.serve("127.0.0.1", world.port, ready))
    await ready.wait()
    try:
        yield world
    finally:
        for server in world.servers:
            server.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_client_is_held_and_then_joined_with_what_it_said() -> None:
    async with running(World()) as world:
        reader, writer = await world.connect()
        writer.write(SSL[:5])
        await asyncio.sleep(0.05)
        assert world.told == ["none"], "half a packet wakes nobody"
        writer.write(SSL[5:])
        await until(lambda: "waiting" in world.told)
        await world.wake()
        assert await reader.readexactly(10) == b"<" + SSL + b">"
        writer.write(b"\x16\x03\x01hello")
        assert await reader.readexactly(10) == b"<\x16\x03\x01hello>"
        await until(lambda: world.told[-1] == "joined")
        writer.close()
        await until(lambda: world.told[-1] == "none")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n",
        b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03",
        struct.pack("!IIII", 16, 80877102, 1, 2),
        b"\xff" * 100_000,
    ],
    ids=["port-scan", "http", "tls", "cancel", "garbage"],
)
async def test_who_is_no_client_wakes_nothing(data: bytes) -> None:
    async with running(World()) as world:
        reader, writer = await world.connect()
        with suppress(OSError):
            writer.write(data)
            await writer.drain()
            writer.write_eof()
        with suppress(OSError):
            assert await reader.read() == b""
        writer.close()
        assert world.told == ["none"]
        assert world.looks == 0
        reader, writer = await world.connect()
        writer.write(STARTUP)
        await until(lambda: world.told[-1] == "waiting")
        writer.close()


async def test_a_client_that_gives_up_is_forgotten() -> None:
    async with running(World()) as world:
        _, writer = await world.connect()
        writer.write(STARTUP)
        await until(lambda: world.told[-1] == "waiting")
        writer.close()
        await until(lambda: world.told[-1] == "none")


async def test_a_thousand_clients_wait_and_all_get_through() -> None:
    async with running(World(hold_seconds=300)) as world:
        clients = []
        for _ in range(1000):
            clients.append(await world.connect())
            clients[-1][1].write(STARTUP)  # at once: who says nothing is not kept for long
        await until(lambda: world.told[-1] == "waiting")
        assert len(world.told) < 100, "the API is not told of each"
        await world.wake()
        answers = await asyncio.gather(*(reader.readexactly(len(STARTUP) + 2) for reader, _ in clients))
        assert set(answers) == {b"<" + STARTUP + b">"}
        for _, writer in clients:
            writer.close()
        await until(lambda: world.told[-1] == "none")


async def test_nobody_is_held_for_ever() -> None:
    async with running(World(hold_seconds=0.2)) as world:
        reader, writer = await world.connect()
        writer.write(STARTUP)
        answer = await reader.read()
        assert answer[:1] == b"E" and b"57P03" in answer
        writer.close()


async def test_a_writer_that_does_not_answer_yet_is_tried_again() -> None:
    async with running(World()) as world:
        world.writer = ("127.0.0.1", free_port())
        reader, writer = await world.connect()
        writer.write(STARTUP)
        await until(lambda: world.looks > 2)
        await world.wake()
        assert await reader.readexactly(2) == b"<" + STARTUP[:1]
        writer.close()


@pytest.fixture(scope="module")
def server_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demo")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    certificate = builder.sign(key, hashes.SHA256())
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def say_who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, encrypted: bool) -> bytes:
    """As libpq does; all that is answered."""
    if encrypted:
        writer.write(SSL)
        assert await reader.readexactly(1) == b"S"
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        await writer.start_tls(trusting)
    writer.write(STARTUP)
    return await reader.read()


async def test_who_was_held_in_vain_hears_why_in_tls_too(server_tls: ssl.SSLContext) -> None:
    """libpq shows no error that comes before the TLS that it has asked for."""
    async with running(World(hold_seconds=0.2, tls=server_tls)) as world:
        reader, writer = await world.connect()
        answer = await say_who(reader, writer, encrypted=True)
        assert answer[:1] == b"E" and b"did not wake up in time" in answer and b"C57P03" in answer
        writer.close()


@pytest.mark.parametrize("encrypted", [True, False])
async def test_clients_of_a_stopped_cluster_hear_why(server_tls: ssl.SSLContext, encrypted: bool) -> None:
    refusal = Refusal("the database cluster a/demo is stopped", "start it", lambda: server_tls)
    async with running(World(refusal=refusal)) as world:
        reader, writer = await world.connect()
        answer = await say_who(reader, writer, encrypted=encrypted)
        assert answer[:1] == b"E" and b"a/demo is stopped" in answer and b"C57P03" in answer
        writer.close()
        assert world.told == ["none"]


def direct() -> ssl.SSLContext:
    """What a client with sslnegotiation=direct uses; whom it talks to is not this test's matter."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    return context


async def test_tls_from_the_first_byte_hears_of_a_stopped_cluster_too(server_tls: ssl.SSLContext) -> None:
    refusal = Refusal("the database cluster a/demo is stopped", "start it", lambda: server_tls)
    async with running(World(refusal=refusal)) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=direct(), server_hostname="demo")
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "postgresql"
        writer.write(STARTUP)
        answer = await reader.readuntil(b"start it")
        assert answer[:1] == b"E" and b"a/demo is stopped" in answer and b"C57P03" in answer
        writer.close()


async def test_tls_from_the_first_byte_wakes_and_goes_through_untouched(server_tls: ssl.SSLContext) -> None:
    world = World()
    server_tls.set_alpn_protocols(["postgresql"])
    async with running(world):
        joining = asyncio.create_task(
            asyncio.open_connection("127.0.0.1", world.port, ssl=direct(), server_hostname="demo")
        )
        await until(lambda: "waiting" in world.told)
        server = await asyncio.start_server(world._echo, "127.0.0.1", 0, ssl=server_tls)
        world.servers.append(server)
        world.writer = server.sockets[0].getsockname()[:2]
        reader, writer = await joining
        writer.write(STARTUP)
        assert await reader.readexactly(len(STARTUP) + 2) == b"<" + STARTUP + b">"
        writer.close()


@pytest.mark.parametrize(("line", "expected"), [(b"HTTP/1.1 200 OK", True), (b"HTTP/1.1 503 Unavailable", False)])
async def test_a_writer_counts_once_it_says_that_it_serves(line: bytes, expected: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"GET /readyz ")
        writer.write(line + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        assert await serves("127.0.0.1", server.sockets[0].getsockname()[1]) is expected
    assert not await serves("127.0.0.1", free_port())


async def test_those_who_say_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_UNKNOWN", 20)
    async with running(World()) as world:
        await world.wake()
        silent = [await world.connect() for _ in range(50)]
        reader, writer = await world.connect()
        writer.write(SSL)
        assert await reader.readexactly(10) == b"<" + SSL + b">"
        async with asyncio.timeout(10):
            assert await silent[0][0].read() == b"", "the oldest are ended"
        assert len(world.gateway._strangers) <= 20
        for _, other in [*silent, (reader, writer)]:
            other.close()
