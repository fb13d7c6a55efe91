"""Names of databases: any text that PostgreSQL takes, as its programs have to be told. Pure."""

from __future__ import annotations

from typing import Final

MAX_BYTES: Final = 63
"""PostgreSQL cuts longer names off without an error."""


def refusal(name: str) -> str | None:
    """Why no database can be called so; None where one can."""
    if not name:
        return "the name of a database is not empty"
    if "\0" in name:
        return f"{name!r} is no name of a database: it holds a zero byte"
    size = len(name.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        return f"the name of a database has up to {MAX_BYTES} bytes, and {name!r} has {size}"
    return None


def conninfo(name: str) -> str:
    """A database as a connection string: a plain name that holds `=`, or begins like a URI, is taken for one itself."""
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
