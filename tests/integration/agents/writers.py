"""Clients that insert and read at every instance without pause, and what must be true of what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from tests.integration.agents.cluster import DATABASE, USER, Cluster
from tests.integration.agents.pod import PASSWORD, Pod

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

STATEMENT_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.02
RETRY_SECONDS: Final = 0.2
INSERT: Final = (
    "INSERT INTO written VALUES (%s)"
    " RETURNING ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"
)
READ: Final = "SELECT pg_is_in_recovery(), (SELECT coalesce(max(number), -1) FROM written)"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A row that its client was told is committed; times are of the monotonic clock."""

    number: int
    server: str
    epoch: int
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Read:
    """The highest number that a server showed which takes writes; times likewise."""

    highest: int
    server: str
    began: float


async def connect(pod: Pod) -> Connection:
    """As the application's user. Raises psycopg.Error, TimeoutError."""
    async with asyncio.timeout(STATEMENT_SECONDS):
        return await psycopg.AsyncConnection.connect(
            host=pod.name,
            hostaddr=pod.address,
            user=USER,
            password=PASSWORD,
            dbname=DATABASE,
            sslmode="verify-full",
            sslrootcert=str(pod.layout.tls / "ca.crt"),
            autocommit=True,
        )


async def query(
    pod: Pod,
    statement: LiteralString,
    timeout: float = 4 * STATEMENT_SECONDS,  # noqa: ASYNC109
) -> list[tuple[Any, ...]]:
    """The rows of one statement. Raises psycopg.Error, TimeoutError."""
    connection = await connect(pod)
    try:
        async with asyncio.timeout(timeout):
            cursor = await connection.execute(statement)
            return await cursor.fetchall() if cursor.description else []
    finally:
        connection.pgconn.finish()


async def _value(connection: Connection, statement: LiteralString, *values: int) -> Any:
    async with asyncio.timeout(STATEMENT_SECONDS):
        cursor = await connection.execute(statement, values)
        row = await cursor.fetchone()
    assert row is not None
    return row[0]


class Writers:
    """Two clients for each pod. They ask no Service: whoever takes a write that it must not take is found out."""

    def __init__(self, cluster: Cluster, *, stale_reads: bool = False) -> None:
        """`stale_reads` may be where a server stands still with its agent and its watchdog, and goes on with them."""
        self._cluster = cluster
        self._stale_reads = stale_reads
        self._reads: list[Read] = []
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self.acknowledged: list[Acknowledged] = []

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[Writers]:
        """Make the table, and insert until the end; then look up every row."""
        await self._cluster.until("there is a table", self._make_table)
        for pod in self._cluster.pods.values():
            self.insert_at(pod)
        try:
            await self.one_more()
            yield self
            await self.one_more()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._check()

    async def _make_table(self) -> bool:
        """False while a new cluster's database is not there yet."""
        with contextlib.suppress(psycopg.Error, TimeoutError):
            await query(await self._cluster.writer(), "CREATE TABLE IF NOT EXISTS written (number bigint PRIMARY KEY)")
            return True
        return False

    def insert_at(self, pod: Pod) -> None:
        """From now on at this one, too."""
        if pod.kind != "log":
            for work in (self._insert_over, self._read_over):
                self._tasks.append(asyncio.create_task(self._keep(work, pod)))

    async def one_more(self) -> Acknowledged:
        """Wait for a row that was begun and acknowledged from now on."""
        now = time.monotonic()
        await self._cluster.until("a row is acknowledged", lambda: any(a.began > now for a in self.acknowledged))
        return next(a for a in self.acknowledged if a.began > now)

    async def _keep(self, work: Callable[[Connection, str], Awaitable[None]], pod: Pod) -> None:
        while True:
            with contextlib.suppress(psycopg.Error, TimeoutError):
                connection = await connect(pod)
                try:
                    await work(connection, pod.name)
                finally:
                    # In order that could take long: its server may stand still.
                    connection.pgconn.finish()
            await asyncio.sleep(RETRY_SECONDS)

    async def _insert_over(self, connection: Connection, server: str) -> None:
        while True:
            if await _value(connection, "SELECT pg_is_in_recovery()"):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            number, began = next(self._numbers), time.monotonic()
            epoch = await _value(connection, INSERT, number)
            self.acknowledged.append(Acknowledged(number, server, epoch, began, time.monotonic()))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _read_over(self, connection: Connection, server: str) -> None:
        while True:
            began = time.monotonic()
            async with asyncio.timeout(STATEMENT_SECONDS):
                cursor = await connection.execute(READ)
                (row,) = await cursor.fetchall()
            in_recovery, highest = row
            if not in_recovery:
                self._reads.append(Read(highest, server, began))
            await asyncio.sleep(RETRY_SECONDS if in_recovery else PAUSE_SECONDS)

    async def _check(self) -> None:
        check_order(self.acknowledged)
        assert self._reads
        if not self._stale_reads:
            check_reads(self.acknowledged, self._reads)
        writer = await self._cluster.writer()
        there = {number for (number,) in await query(writer, "SELECT number FROM written")}
        lost = [a for a in self.acknowledged if a.number not in there]
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} acknowledged rows are lost, first {lost[0]}"


def check_order(acknowledged: list[Acknowledged]) -> None:
    """One server has each epoch; once a later one has acknowledged anything, none acknowledges what begins later."""
    leaders: dict[int, str] = {}
    for a in acknowledged:
        assert leaders.setdefault(a.epoch, a.server) == a.server, f"two writers of epoch {a.epoch}: {a}"
    newest: Acknowledged | None = None
    ended = sorted(acknowledged, key=lambda a: a.ended)
    position = 0
    for a in sorted(acknowledged, key=lambda a: a.began):
        while position < len(ended) and ended[position].ended < a.began:
            if newest is None or ended[position].epoch > newest.epoch:
                newest = ended[position]
            position += 1
        assert newest is None or newest.epoch <= a.epoch, f"{a} after {newest}"


def check_reads(acknowledged: list[Acknowledged], reads: list[Read]) -> None:
    """Who takes writes shows every row that was acknowledged before it was asked."""
    highest, position = -1, 0
    ended = sorted(acknowledged, key=lambda a: a.ended)
    for read in sorted(reads, key=lambda r: r.began):
        while position < len(ended) and ended[position].ended < read.began:
            highest = max(highest, ended[position].number)
            position += 1
        assert read.highest >= highest, f"{read} lacks row {highest}"
