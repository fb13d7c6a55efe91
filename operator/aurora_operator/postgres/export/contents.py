"""The list of what a dump holds, and the SQL that a part of it stands for."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Final

from aurora_operator.postgres.export.locales import Locale, of_dump
from aurora_operator.postgres.tools import Tools

SECONDS: Final = 600
_DATABASE: Final = re.compile(r"\d+; 1262 \d+ DATABASE ")
_OF_DATABASE: Final = re.compile(r"\d+; \d+ \d+ (?:DATABASE PROPERTIES - |(?:ACL|COMMENT|SECURITY LABEL) - DATABASE )")
_STATEMENT: Final = re.compile(
    r"^(?:ALTER DATABASE|ALTER ROLE .* IN DATABASE|COMMENT ON DATABASE|SECURITY LABEL|GRANT|REVOKE) .*$", re.MULTILINE
)
_OBJECT_GRANT: Final = re.compile(r"\d+; \d+ \d+ ACL - LARGE OBJECTS? ")
_EXTENSION_COMMENT: Final = re.compile(r"\d+; \d+ \d+ COMMENT - EXTENSION (.*?) *$")


async def entries(tools: Tools, source: Path) -> list[str]:
    """One line for each, in pg_restore's order and form. Raises ToolError."""
    listed = await tools.run("pg_restore", "--create", "--list", source, timeout=SECONDS)
    return [line for line in listed.splitlines() if line and not line.startswith(";")]


def with_data(lines: Iterable[str]) -> int:
    """How many tables with rows there are. Pure."""
    return sum(" TABLE DATA " in line for line in lines)


def grants_on_objects(lines: Iterable[str]) -> list[str]:
    """Those on large objects. Pure."""
    return [line for line in lines if _OBJECT_GRANT.match(line)]


def to_restore(lines: Iterable[str], extensions: Container[str]) -> list[str]:
    """All but the comments on extensions that are there already: those are their owner's to write. Pure."""
    return [line for line in lines if (found := _EXTENSION_COMMENT.match(line)) is None or found[1] not in extensions]


async def locale(tools: Tools, source: Path, lines: Iterable[str]) -> Locale:
    """Of the database that was dumped. Raises ToolError, DataError."""
    return of_dump(await script(tools, source, filter(_DATABASE.match, lines), "--create"))


async def of_database(tools: Tools, source: Path, lines: Iterable[str]) -> list[str]:
    """What was set for the database as a whole, as statements (the first line of each). Raises ToolError, OSError."""
    chosen_ones = list(filter(_OF_DATABASE.match, lines))
    return statements(await script(tools, source, chosen_ones, "--create")) if chosen_ones else []


def statements(text: str) -> list[str]:
    """Those of a script that set something for a database as a whole. Pure."""
    return _STATEMENT.findall(text)


async def script(tools: Tools, source: Path, lines: Iterable[str], *options: str) -> str:
    """What pg_restore would do for these entries, as a script for psql. Raises ToolError, OSError."""
    with chosen(lines) as listed:
        words = (*options, "--no-owner", f"--use-list={listed.name}", "--file=-")
        return await tools.run("pg_restore", *words, source, timeout=SECONDS)


def chosen(lines: Iterable[str]) -> tempfile._TemporaryFileWrapper[str]:
    """A file with these entries, for pg_restore to read; it is gone when it is closed. Raises OSError."""
    made = tempfile.NamedTemporaryFile("w", prefix="entries-", encoding="utf-8", errors="replace")  # noqa: SIM115
    made.writelines(f"{line}\n" for line in lines)
    made.flush()
    Path(made.name).chmod(0o644)
    return made
