"""Making a new, empty data directory."""

from __future__ import annotations

from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.files import make_directory, remove_tree, rename_durably
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.tools import Tools


async def initdb(tools: Tools, layout: Layout, *, timeout: float = 300) -> None:  # noqa: ASYNC109
    """Make a data directory with checksums, UTF-8 and the C.UTF-8 locale; it appears complete or not at all.

    C.UTF-8 sorts by code point and never changes with a library: an index survives every upgrade of the image and
    every copy. From PostgreSQL 17 on it is built in. Users choose other collations per column or database.
    Raises DataError if there is one already, ToolError.
    """
    if layout.pgdata.exists():
        raise DataError(f"{layout.pgdata} exists: a data directory is never initialised twice")
    major = await tools.major()
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    # See parameters.py on huge pages; initdb starts the server before our files are there.
    settings = ["--set", "huge_pages=off", "--set", "jit=off"] if major >= 16 else []
    remove_tree(layout.new)
    make_directory(layout.new)
    await tools.run(
        "initdb",
        "--pgdata",
        layout.new,
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        *locale,
        *settings,
        "--data-checksums",
        "--auth-local=peer",
        "--auth-host=scram-sha-256",
        "--no-instructions",
        timeout=timeout,
    )
    rename_durably(layout.new, layout.pgdata)
