"""Clients of the proxy, while the writer changes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import psycopg
import pytest
from tests.integration.agents.cluster import DATABASE, Cluster
from tests.integration.agents.proxy import Connection, Proxy

from aurora_operator.api.base import names
from aurora_operator.api.spec.proxy import Proxy as Spec
from aurora_operator.gateway.packets import First, classify

CLIENTS = 200
BUSY = 20
POOL_PERCENT = 10


@dataclass
class Clients:
    """Sessions of the proxy, few of which are busy at any time."""

    proxy: Proxy
    sessions: list[Connection] = field(default_factory=list)
    later: list[Connection] = field(default_factory=list)
    """In the place of those that were lost."""
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0
    done: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ending: bool = False

    async def come(self, count: int) -> None:
        for _ in range(0, count, BUSY):
            self.sessions += await asyncio.gather(*(self.proxy.connect() for _ in range(BUSY)))

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Some of them write without pause."""
        self._tasks = [asyncio.create_task(self._write(session)) for session in self.sessions[:BUSY]]
        try:
            await self.more()
            yield
            await self.more()
        finally:
            self._ending = True
            await asyncio.gather(*self._tasks)

    async def more(self) -> None:
        """Until more has been written."""
        goal, deadline = self.done + 2 * BUSY, time.monotonic() + 30
        while self.done < goal:
            assert time.monotonic() < deadline, self.errors
            await asyncio.sleep(0.01)

    async def _write(self, session: Connection) -> None:
        while not self._ending:
            began = time.monotonic()
            try:
                await session.execute("INSERT INTO kept DEFAULT VALUES")
            except psycopg.Error as error:
                self.errors.append(f"{error.sqlstate} {error}")
                if session.closed:
                    session.pgconn.finish()
                    session = await self.proxy.connect()
                    self.later.append(session)
            else:
                self.done += 1
            self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(0.005)

    async def idle_survive(self) -> int:
        """How many of those that did nothing have no session any more."""

        async def ask(session: Connection) -> bool:
            try:
                await session.execute("SELECT 1")
            except psycopg.Error as error:
                self.errors.append(f"idle: {error}")
                return False
            return True

        answers = await asyncio.gather(*(ask(session) for session in self.sessions[BUSY:]))
        return answers.count(False)

    async def close(self) -> None:
        for session in (*self.sessions, *self.later):
            session.pgconn.finish()


@pytest.fixture
async def proxied(three: Cluster) -> AsyncIterator[tuple[Cluster, Proxy]]:
    await three.tell(proxy=True)
    proxy = Proxy(three, Spec(max_connections_percent=POOL_PERCENT))
    try:
        await proxy.start()

        async def there() -> bool:
            with contextlib.suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(20):
                    async with await proxy.connect() as session:
                        await session.execute("CREATE TABLE IF NOT EXISTS kept (number bigserial PRIMARY KEY)")
                        return True
            return False

        await three.until("a client of the proxy has a session", there, proxy.said)
        yield three, proxy
    finally:
        await proxy.close()


@pytest.fixture
async def clients(proxied: tuple[Cluster, Proxy]) -> AsyncIterator[Clients]:
    made = Clients(proxied[1])
    await made.come(CLIENTS)
    try:
        yield made
    finally:
        await made.close()


async def test_a_crash_costs_no_idle_session(
    proxied: tuple[Cluster, Proxy], clients: Clients, measured: Callable[[str, float], None]
) -> None:
    """The writer's container is killed: who was in the middle of something hears of it, nobody else does."""
    cluster, proxy = proxied
    writer = await cluster.writer()
    async with clients.at_work():
        await writer.kill()
        await cluster.writer(but=writer)
        await clients.more()
    lost = await clients.idle_survive()
    measured("proxy: longest statement through a crash", clients.longest)
    assert lost == 0, clients.errors
    assert len(clients.errors) <= BUSY, clients.errors
    assert await proxy.metric("aurora_proxy_writer_changes_total") == 2


async def test_a_switchover_is_a_pause(
    proxied: tuple[Cluster, Proxy], clients: Clients, measured: Callable[[str, float], None]
) -> None:
    """Nobody hears of it."""
    cluster, proxy = proxied
    writer = await cluster.writer()
    async with clients.at_work():
        await writer.call("POST", "/v1/switchover", "{}")
        await cluster.writer(but=writer)
        await clients.more()
    measured("proxy: longest statement through a switchover", clients.longest)
    assert not clients.errors
    assert await clients.idle_survive() == 0
    assert await proxy.metric("aurora_proxy_pauses_total") == 1


async def test_a_frozen_writer_holds_nobody(
    proxied: tuple[Cluster, Proxy], clients: Clients, measured: Callable[[str, float], None]
) -> None:
    """Whose statement it had hears of it as soon as there is another writer; nobody waits for the frozen one."""
    cluster, proxy = proxied
    writer = await cluster.writer()
    async with clients.at_work():
        writer.signal_all(signal.SIGSTOP)
        await cluster.writer(but=writer)
        await clients.more()
    measured("proxy: longest statement with a frozen writer", clients.longest)
    assert await clients.idle_survive() == 0
    assert len(clients.errors) <= BUSY, clients.errors
    assert await proxy.metric("aurora_proxy_sessions_dropped_total") >= 1


async def test_any_role_logs_in_and_reads_go_to_readers(proxied: tuple[Cluster, Proxy]) -> None:
    """By its own password, which no list holds; the role that looks passwords up can do nothing else."""
    cluster, proxy = proxied
    async with await proxy.connect() as session:
        await session.execute("CREATE ROLE guest LOGIN PASSWORD 'guest-secret'")
        await session.execute("GRANT INSERT, SELECT ON kept TO guest")
        await session.execute("GRANT USAGE ON SEQUENCE kept_number_seq TO guest")
    async with await proxy.connect(user="guest", password="guest-secret") as session:
        await session.execute("INSERT INTO kept DEFAULT VALUES")
        cursor = await session.execute("SELECT session_user, pg_is_in_recovery()")
        assert await cursor.fetchone() == ("guest", False)
        # A prepared statement, by name, over whatever server session there is.
        for number in range(20):
            cursor = await session.execute("SELECT %s::int", [number], prepare=True)
            assert await cursor.fetchone() == (number,)
    with pytest.raises(psycopg.OperationalError):
        await proxy.connect(user="guest", password="wrong")
    for user in (names.PROXY_USER, "postgres", "nobody"):
        with pytest.raises(psycopg.OperationalError):
            await proxy.connect(user=user, password="")
    async with await proxy.connect(readers=True) as session:
        cursor = await session.execute("SELECT pg_is_in_recovery()")
        assert await cursor.fetchone() == (True,)
    await _only_looks_up(cluster, proxy)


async def _only_looks_up(cluster: Cluster, proxy: Proxy) -> None:
    """As whoever has stolen a proxy's certificate."""
    writer = await cluster.writer()

    async def connect(database: str) -> Connection:
        return await psycopg.AsyncConnection.connect(
            host=writer.name,
            hostaddr=writer.address,
            user=names.PROXY_USER,
            dbname=database,
            sslmode="verify-full",
            sslrootcert=str(proxy.places.tls / "ca.crt"),
            sslcert=str(proxy.places.tls / "proxy.crt"),
            sslkey=str(proxy.places.tls / "proxy.key"),
            autocommit=True,
        )

    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        await connect(DATABASE)
    async with await connect("postgres") as session:
        look = f"SELECT * FROM {names.PROXY_USER}.verifier(%s)"
        cursor = await session.execute(look, ["guest"])
        ((name, verifier),) = await cursor.fetchall()
        assert name == "guest"
        assert verifier.startswith("SCRAM-SHA-256$")
        for role in ("postgres", names.REPLICATION_USER, names.PROXY_USER):
            assert await (await session.execute(look, [role])).fetchall() == []
        for statement in ("SELECT * FROM pg_authid", "CREATE ROLE more", "SET ROLE app", "CREATE TABLE t (n int)"):
            with pytest.raises(psycopg.Error):
                await session.execute(statement)


async def test_a_pod_that_goes_waits_for_its_clients(proxied: tuple[Cluster, Proxy]) -> None:
    """Who has a session keeps it; nobody new comes in."""
    _, proxy = proxied
    assert proxy.process is not None
    session = await proxy.connect()
    await session.execute("INSERT INTO kept DEFAULT VALUES")
    proxy.process.send_signal(signal.SIGTERM)

    async def refuses() -> bool:
        try:
            other = await proxy.connect()
        except psycopg.OperationalError:
            return True
        await other.close()
        return False

    await proxied[0].until("nobody new comes in", refuses, proxy.said)
    await session.execute("INSERT INTO kept DEFAULT VALUES")
    assert proxy.process.returncode is None
    await session.close()
    async with asyncio.timeout(30):
        assert await proxy.process.wait() == 0


async def test_a_client_wakes_a_cluster_that_sleeps(empty: Cluster) -> None:
    """The proxy asks at the writer's Service, which leads to the gateway then; the client waits for a writer."""
    for _ in range(3):
        empty.add()
    await empty.tell(proxy=True)
    asked = asyncio.Event()

    async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if classify(await reader.read(100)) is First.SSL:
            asked.set()
        await reader.read()
        writer.close()

    address = f"{empty.network}.90"
    server = await asyncio.start_server(gateway, address, names.POSTGRES_PORT)
    proxy = Proxy(empty, Spec(), gateway=address)
    try:
        await proxy.start()
        waiting = asyncio.create_task(proxy.connect())
        async with asyncio.timeout(30):
            await asked.wait()
        assert not waiting.done()
        await empty.start()
        async with asyncio.timeout(90):
            session = await waiting
        await session.execute("SELECT 1")
        await session.close()
    finally:
        await proxy.close()
        server.close()
