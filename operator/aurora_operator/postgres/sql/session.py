"""A connection to the server of this pod, over the socket, as the superuser: every call ends in time."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

from aurora_operator.api.base import names
from aurora_operator.postgres.config import pins
from aurora_operator.postgres.errors import QueryError, Unavailable

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

    Query = LiteralString | sql.SQL | sql.Composed

APPLICATION: Final = "aurora-agent"
OTHER_DATABASE: Final = "template1"
"""Where we connect when nobody can to the database that we want: all that we ask concerns the whole server."""
_T = TypeVar("_T")
Row = tuple[Any, ...]


def load() -> None:
    """Import psycopg, which takes a good part of the time that all imports take: while PostgreSQL starts."""
    import psycopg  # noqa: F401


class Session:
    """Connects when first used and again after a failure. Safe for several tasks: one statement at a time.

    What it writes does not wait for other copies (`synchronous_commit=local`): the agent must be able to act when
    no quorum is there. Nothing is lost by it: WAL is one sequence, so a client's acknowledged commit carries all that
    was written before it, and what nobody has built upon is written again (`roles.ensure_roles`).
    """

    def __init__(self, socket_dir: Path, *, dbname: str = "postgres", timeout: float = 2) -> None:
        """`timeout`, in seconds, bounds connecting and each statement, unless a call says otherwise."""
        self._dir = socket_dir
        self._dbname = dbname
        self._timeout = timeout
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._lock = asyncio.Lock()
        self.answered = -math.inf
        """When the server last answered here, of the monotonic clock."""

    async def rows(self, query: Query, params: Sequence[object] = (), *, timeout: float | None = None) -> list[Row]:  # noqa: ASYNC109
        """Run a statement in a transaction of its own; returns its rows. Raises QueryError, Unavailable."""
        import psycopg

        limit = timeout or self._timeout
        async with self._lock:
            connection = await self._connect()
            try:
                rows = await self._bounded(_run(connection, query, params), limit, connection)
                self.answered = time.monotonic()
                return rows
            except psycopg.Error as error:
                if connection.closed or connection.broken:
                    await self.close()
                    raise Unavailable(f"PostgreSQL closed the connection: {_first_line(error)}") from error
                raise QueryError(_first_line(error), error.sqlstate) from error
            except BaseException:
                await self.close()
                raise

    async def row(self, query: Query, params: Sequence[object] = (), *, timeout: float | None = None) -> Row:  # noqa: ASYNC109
        """The only row of a statement's answer. Raises QueryError, also when there is not exactly one."""
        rows = await self.rows(query, params, timeout=timeout)
        if len(rows) != 1:
            raise QueryError(f"one row expected, not {len(rows)}")
        return rows[0]

    async def encrypt_password(self, user: str, password: str) -> str:
        """The SCRAM verifier of a password, made here, so that the server and its log never see the password."""
        async with self._lock:
            connection = await self._connect()
            return connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()

    async def close(self) -> None:
        """End the connection; the next statement makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            import psycopg

            with contextlib.suppress(psycopg.Error):
                await connection.close()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connect(self) -> psycopg.AsyncConnection[Row]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        import psycopg

        try:
            async with asyncio.timeout(self._timeout):
                try:
                    self._connection = await self._connect_to(self._dbname)
                except psycopg.OperationalError as error:
                    # Somebody has closed or dropped it: PostgreSQL names it then. The writer mends that (`access`).
                    if f'database "{self._dbname}"' not in str(error) or self._dbname == OTHER_DATABASE:
                        raise
                    self._connection = await self._connect_to(OTHER_DATABASE)
        except TimeoutError:
            raise Unavailable(f"PostgreSQL did not answer within {self._timeout:g} s") from None
        except psycopg.Error as error:
            raise Unavailable(f"cannot connect to PostgreSQL: {_first_line(error)}") from error
        return self._connection

    async def _connect_to(self, dbname: str) -> psycopg.AsyncConnection[Row]:
        import psycopg

        return await psycopg.AsyncConnection.connect(
            host=str(self._dir),
            port=names.POSTGRES_PORT,
            user="postgres",
            dbname=dbname,
            application_name=APPLICATION,
            options=pins.options(superuser=True, synchronous_commit="local"),
            autocommit=True,
            prepare_threshold=None,
        )

    async def _bounded(
        self, work: Coroutine[Any, Any, _T], limit: float, connection: psycopg.AsyncConnection[Row]
    ) -> _T:
        """Run `work` for at most `limit` seconds. psycopg's own cancellation would wait for a frozen server."""
        import psycopg

        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit)
        except asyncio.CancelledError:
            _hang_up(connection)
            await asyncio.wait({task}, timeout=1)
            raise
        if not done:
            _hang_up(connection)
            await asyncio.wait({task}, timeout=1)
            task.cancel()
            with contextlib.suppress(psycopg.Error, asyncio.CancelledError):
                await task
            raise Unavailable(f"PostgreSQL did not answer within {limit:g} s")
        return task.result()


async def _run(connection: psycopg.AsyncConnection[Row], query: Query, params: Sequence[object]) -> list[Row]:
    # Without parameters the statement goes as it is: a % in it means itself.
    cursor = await connection.execute(query, params or None)
    return await cursor.fetchall() if cursor.description is not None else []  # rows may have no columns


def _hang_up(connection: psycopg.AsyncConnection[Row]) -> None:
    """Shut the socket down, which ends whatever waits for it with an error at once."""
    import psycopg

    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _first_line(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    return primary or (str(error).strip().splitlines() or [type(error).__name__])[0]
