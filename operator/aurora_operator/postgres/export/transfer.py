"""Logical export and import of one database: pg_dump's directory format, with several workers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from aurora_operator.api.base.database import conninfo, refusal
from aurora_operator.postgres.errors import DataError, Unavailable
from aurora_operator.postgres.export import contents, locales
from aurora_operator.postgres.export.locales import Locale
from aurora_operator.postgres.export.server import MAINTENANCE, Server, connected, first_line
from aurora_operator.postgres.export.trial import require_creatable, require_readable
from aurora_operator.postgres.files import remove_tree, rename_durably
from aurora_operator.postgres.tools import Tools

_FINISHED: Final = re.compile(r"pg_(?:dump|restore): finished item \d+ TABLE DATA (.*)")
_WARNING: Final = re.compile(r"pg_(?:dump|restore): warning: ")
_TABLES: Final = (
    "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
)
_EXTENSIONS: Final = "SELECT extname FROM pg_extension"
DAY: Final = 24 * 3600

Progress = Callable[[int, int, str], None]
"""Called with tables done, tables in all, and the one that was done last."""
Warn = Callable[[str], None]
"""Called with what a program warns of."""


def _ignore(_: str) -> None:
    """Nobody wants to know."""


async def export_database(
    tools: Tools, server: Server, database: str, target: Path, *, jobs: int, on_progress: Progress, warn: Warn = _ignore
) -> None:
    """Write `database` to the folder `target`, which appears when it is complete.

    Raises ToolError, Unavailable, OSError, and DataError, before anything is written, if the user may not read all. All
    workers see one moment. What an attempt that broke off has left is removed by the next.
    """
    if await asyncio.to_thread(target.exists):
        raise DataError(f"{target} exists: an export never overwrites another one; choose another path")
    env = server.environment(database)
    await require_readable(server, database)
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
        on_line=_counter(total, on_progress, warn),
    )
    # Workers share one pipe, and a line of one may hide in another's.
    on_progress(total, total, "")
    await tools.run("pg_restore", "--list", partial, timeout=600)
    rename_durably(partial, target)


async def import_database(
    tools: Tools,
    server: Server,
    database: str,
    source: Path,
    *,
    jobs: int,
    on_progress: Progress,
    warn: Warn = _ignore,
    other_locale: bool = False,
) -> None:
    """Fill `database`, made if there is none, with an export.

    Everything will belong to the user who imports. Raises ToolError, Unavailable, OSError, and DataError, with nothing
    written, if the database holds tables or sorts otherwise than the export's (`other_locale`: that is taken as it is),
    or if the user cannot create all that the export holds. An import that breaks off later leaves what it has made:
    drop the database, and begin again.
    """
    lines = await contents.entries(tools, source)
    total = contents.with_data(lines)
    wanted = await contents.locale(tools, source, lines)
    left_out = await contents.of_database(tools, source, lines)
    made = await _ensure_database(server, database, wanted, other_locale=other_locale)
    try:
        await require_empty(server, database)
        lines = contents.to_restore(lines, await _extensions(server, database))
        if why_not := await require_creatable(tools, server, database, source, lines):
            warn(why_not)
    except BaseException:
        if made:
            await _drop_empty(server, database)
        raise
    for statement in left_out:
        warn(f"not carried over, because it is of the whole database: {statement}")
    with contents.chosen(lines) as listed:
        await tools.run(
            "pg_restore",
            "--format=directory",
            f"--jobs={max(jobs, 2)}",
            f"--dbname={conninfo(database)}",
            f"--use-list={listed.name}",
            "--no-owner",
            "--exit-on-error",
            "--verbose",
            "--no-password",
            source,
            timeout=DAY,
            env=server.environment(database),
            on_line=_counter(total, on_progress, warn),
        )
    on_progress(total, total, "")


async def require_empty(server: Server, database: str) -> None:
    """See to it that there is nothing in a database, if it is there. Raises Unavailable, DataError if that is not so,
    or if it can never be there."""
    if why := refusal(database):
        raise DataError(why)
    if await _locale(server, database) is None:
        return
    there = await _count_tables(server, database)
    if there:
        raise DataError(f"the database {database} holds {there} tables: an import begins with an empty one")


def _counter(total: int, on_progress: Progress, warn: Warn) -> Callable[[str], None]:
    done = 0

    def watch(line: str) -> None:
        nonlocal done
        found = _FINISHED.match(line)
        if found is not None:
            done += 1
            on_progress(done, max(total, done), found[1])
        elif _WARNING.match(line):
            warn(line)

    return watch


async def _count_tables(server: Server, database: str) -> int:
    async with connected(server, database) as connection:
        row = await (await connection.execute(_TABLES)).fetchone()
    return int(row[0]) if row is not None else 0


async def _locale(server: Server, database: str) -> Locale | None:
    """Of a database; None where there is none of this name."""
    async with connected(server, MAINTENANCE) as connection:
        row = await (await connection.execute(locales.QUERY, [database])).fetchone()
    return None if row is None else locales.of_catalog(*row)


async def _ensure_database(server: Server, database: str, wanted: Locale, *, other_locale: bool) -> bool:
    """It is there, and sorts as `wanted`; returns whether it was made. Raises DataError if it cannot, Unavailable."""
    if why := refusal(database):
        raise DataError(why)
    there = await _locale(server, database)
    if there is not None:
        if (why := locales.differs(database, there, wanted)) and not other_locale:
            raise DataError(why)
        return False
    plain = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database))
    async with connected(server, MAINTENANCE) as connection:
        try:
            await connection.execute(plain if other_locale else wanted.create(database))
        except psycopg.Error as error:
            raise DataError(
                f"the server cannot make the database {database} with the export's locale, {wanted}:"
                f" {first_line(error)}; --other-locale makes it with the server's own"
            ) from error
    return True


async def _drop_empty(server: Server, database: str) -> None:
    """Undo `_ensure_database`, unless somebody has put something there, or uses it."""
    with contextlib.suppress(Unavailable):
        if await _count_tables(server, database) == 0:
            async with connected(server, MAINTENANCE) as connection:
                await connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(database)))


async def _extensions(server: Server, database: str) -> set[str]:
    async with connected(server, database) as connection:
        return {str(name) for (name,) in await (await connection.execute(_EXTENSIONS)).fetchall()}
