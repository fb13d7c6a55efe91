"""The list of what a dump holds, and the SQL that a part of it stands for."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from aurora_operator.postgres.export.locales import Locale, of_dump
from aurora_operator.postgres.tools import Tools

SECONDS: Final = 600
_DATABASE: Final = re.compile(r"\d+; 1262 \d+ DATABASE ")


async def entries(tools: Tools, source: Path) -> list[str]:
    """One line for each, in pg_restore's order and form. Raises ToolError."""
    listed = await tools.run("pg_restore", "--create", "--list", source, timeout=SECONDS)
    return [line for line in listed.splitlines() if line and not line.startswith(";")]


def with_data(lines: Iterable[str]) -> int:
    """How many tables with rows there are. Pure."""
    return sum(" TABLE DATA " in line for line in lines)


async def locale(tools: Tools, source: Path, lines: Iterable[str]) -> Locale:
    """Of the database that was dumped. Raises ToolError, DataError."""
    return of_dump(await script(tools, source, filter(_DATABASE.match, lines), "--create"))


async def script(tools: Tools, source: Path, lines: Iterable[str], *options: str) -> str:
    """What pg_restore would do for these entries, as a script for psql. Raises ToolError, OSError."""
    with chosen(lines) as listed:
        words = (*options, "--no-owner", f"--use-list={listed.name}", "--file=-")
        return await tools.run("pg_restore", *words, source, timeout=SECONDS)


def chosen(lines: Iterable[str]) -> tempfile._TemporaryFileWrapper[str]:
    """A file with these entries, for pg_restore to read; it is gone when it is closed. Raises OSError."""
    made = tempfile.NamedTemporaryFile("w", prefix="entries-", errors="replace")  # noqa: SIM115
    made.writelines(f"{line}\n" for line in lines)
    made.flush()
    Path(made.name).chmod(0o644)
    return made
