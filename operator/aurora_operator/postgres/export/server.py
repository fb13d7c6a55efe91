"""The server of a transfer: how its programs and our own sessions connect to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from aurora_operator.postgres.config import pins
from aurora_operator.postgres.errors import Unavailable

MAINTENANCE: Final = "postgres"
"""The database to connect to where another one may not be there yet."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect, and as whom: always by TLS, to a server that proves its name."""

    host: str
    user: str
    password: str
    ca: Path
    port: int = 5432
    address: str | None = None
    """Its IP, where no DNS is to be asked."""

    def environment(self, database: str) -> dict[str, str]:
        """libpq's variables: a password in arguments could be seen by others."""
        return {
            **({"PGHOSTADDR": self.address} if self.address is not None else {}),
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": database,
            "PGSSLMODE": "verify-full",
            "PGSSLCERTMODE": "disable",
            "PGSSLROOTCERT": str(self.ca),
            "PGCONNECT_TIMEOUT": "10",
            "PGAPPNAME": "aurora-transfer",
            **pins.environment(),
        }


@contextlib.asynccontextmanager
async def connected(server: Server, database: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    """A connection; raises Unavailable for all that goes wrong with it, without the password."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            host=server.host,
            hostaddr=server.address,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=database,
            sslmode="verify-full",
            sslcertmode="disable",
            sslrootcert=str(server.ca),
            connect_timeout=10,
            application_name="aurora-transfer",
            options=pins.options(),
            autocommit=True,
        )
        async with connection:
            yield connection
    except psycopg.Error as error:
        raise Unavailable(first_line(error)) from error


def first_line(error: psycopg.Error) -> str:
    """What the server, or libpq, says."""
    return (str(error).strip().splitlines() or ["no answer"])[0]


async def engine_version(server: Server, database: str) -> str:
    """The server's version, such as 17.6. Raises Unavailable."""
    async with connected(server, database) as connection:
        row = await (await connection.execute("SHOW server_version")).fetchone()
    return str(row[0]).split()[0] if row is not None else ""


async def started(server: Server, database: str) -> str:
    """When it did; another time for each of its lives. Raises Unavailable."""
    async with connected(server, database) as connection:
        row = await (await connection.execute("SELECT pg_postmaster_start_time()::text")).fetchone()
    return str(row[0]) if row is not None else ""
