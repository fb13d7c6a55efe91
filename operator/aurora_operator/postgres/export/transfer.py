"""Logical export and import of one database: pg_dump's directory format, with several workers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from aurora_operator.api.base.database import conninfo, refusal
from aurora_operator.postgres.config import pins
from aurora_operator.postgres.errors import DataError, Unavailable
from aurora_operator.postgres.files import remove_tree, rename_durably
from aurora_operator.postgres.tools import Tools

_FINISHED: Final = re.compile(r"pg_(?:dump|restore): finished item \d+ TABLE DATA (.*)")
_TABLES: Final = (
    "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
)
_EXISTS: Final = "SELECT count(*) FROM pg_database WHERE datname = %s"
DAY: Final = 24 * 3600

Progress = Callable[[int, int, str], None]
"""Called with tables done, tables in all, and the one that was done last."""


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


async def export_database(
    tools: Tools, server: Server, database: str, target: Path, *, jobs: int, on_progress: Progress
) -> None:
    """Write `database` to the folder `target`, which appears when it is complete.

    Raises ToolError, DataError, Unavailable, OSError. All workers see one moment. What an attempt that broke off has
    left is removed by the next.
    """
    if await asyncio.to_thread(target.exists):
        raise DataError(f"{target} exists: an export never overwrites another one; choose another path")
    env = server.environment(database)
    total = await _count_tables(server, database)
    partial = target.with_name(f"{target.name}.partial")
    await asyncio.to_thread(remove_tree, partial)
    await tools.run(
        "pg_dump",
        "--format=directory",
        f"--jobs={max(jobs, 2)}",  # with a single one, pg_dump says less about how far it is
        "--file",
        partial,
        "--verbose",
        "--no-password",
        timeout=DAY,
        env=env,
        on_line=_counter(total, on_progress),
    )
    # Workers share one pipe, and a line of one may hide in another's.
    on_progress(total, total, "")
    await tools.run("pg_restore", "--list", partial, timeout=600)
    rename_durably(partial, target)


async def import_database(
    tools: Tools, server: Server, database: str, source: Path, *, jobs: int, on_progress: Progress
) -> None:
    """Fill `database`, made if there is none, with an export. Raises ToolError, and DataError if it holds tables.

    Everything will belong to the user who imports. An import that breaks off leaves what it has made: drop the
    database, and begin again.
    """
    listed = await tools.run("pg_restore", "--list", source, timeout=600)
    total = sum(" TABLE DATA " in line for line in listed.splitlines() if not line.startswith(";"))
    await require_empty(server, database)
    await tools.run(
        "pg_restore",
        "--format=directory",
        f"--jobs={max(jobs, 2)}",
        f"--dbname={conninfo(database)}",
        "--no-owner",
        "--exit-on-error",
        "--verbose",
        "--no-password",
        source,
        timeout=DAY,
        env=server.environment(database),
        on_line=_counter(total, on_progress),
    )
    on_progress(total, total, "")


async def require_empty(server: Server, database: str) -> None:
    """See to it that there is a database, and that it is empty. Raises Unavailable, DataError if that cannot be."""
    await _ensure_database(server, database)
    there = await _count_tables(server, database)
    if there:
        raise DataError(f"the database {database} holds {there} tables: an import begins with an empty one")


async def engine_version(server: Server, database: str) -> str:
    """The server's version, such as 17.6. Raises Unavailable."""
    async with _connected(server, database) as connection:
        row = await (await connection.execute("SHOW server_version")).fetchone()
    return str(row[0]).split()[0] if row is not None else ""


def _counter(total: int, on_progress: Progress) -> Callable[[str], None]:
    done = 0

    def watch(line: str) -> None:
        nonlocal done
        found = _FINISHED.match(line)
        if found is not None:
            done += 1
            on_progress(done, max(total, done), found[1])

    return watch


@contextlib.asynccontextmanager
async def _connected(server: Server, database: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
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
        raise Unavailable((str(error).strip().splitlines() or ["no answer"])[0]) from error


async def _count_tables(server: Server, database: str) -> int:
    async with _connected(server, database) as connection:
        row = await (await connection.execute(_TABLES)).fetchone()
    return int(row[0]) if row is not None else 0


async def _ensure_database(server: Server, database: str) -> None:
    if why := refusal(database):
        raise DataError(why)
    async with _connected(server, "postgres") as connection:
        row = await (await connection.execute(_EXISTS, [database])).fetchone()
        if row is None or row[0] == 0:
            await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
