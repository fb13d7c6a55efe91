"""Settings that our own sessions bring along, so that nobody else's reach them. Pure.

What a session asks for as it starts (`options`, PGOPTIONS) outranks postgresql.conf, ALTER DATABASE and ALTER ROLE, for
all roles too (guc.c: PGC_S_CLIENT). A user may set any of these for his own sessions; ours work as if he had not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PINNED: Final[Mapping[str, str]] = {
    # Ended in the middle, or never begun.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    # A standby cannot be serializable, and some of ours write.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    # With our own rights, and our own functions.
    "role": "none",
    "search_path": "pg_catalog, pg_temp",
    "row_security": "on",
    "local_preload_libraries": "",
    # What is said and read in one way.
    "client_encoding": "UTF8",
    "client_min_messages": "error",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "array_nulls": "on",
    # Made where and as everything else is.
    "default_tablespace": "",
    "temp_tablespaces": "",
    "default_table_access_method": "heap",
    # Small and quick, whatever the planner is told.
    "jit": "off",
    "debug_parallel_query": "off",
    "restrict_nonsystem_relation_kind": "",
}
"""For every session of ours, whoever it is."""

SUPERUSER: Final[Mapping[str, str]] = {
    "session_preload_libraries": "",
    "session_replication_role": "origin",
    "event_triggers": "off",
    "lc_messages": "C",
    "temp_file_limit": "-1",
    "allow_system_table_mods": "off",
}
"""Besides, for a superuser's; others may not ask for these, and get them of their role (`sql.access`)."""


def options(*, superuser: bool = False, **more: str) -> str:
    """Of a connection: the value of `options` or PGOPTIONS. `more` comes besides, or in place of a pinned one."""
    pinned = {**PINNED, **(SUPERUSER if superuser else {}), **more}
    return " ".join(f"-c {name}={_escape(value)}" for name, value in pinned.items())


def limits() -> str:
    """Of a connection for replication, which runs no queries: that nothing ends it while it waits."""
    return " ".join(f"-c {name}={value}" for name, value in PINNED.items() if name.endswith("_timeout"))


def environment(*, superuser: bool = False, **more: str) -> dict[str, str]:
    """The same for a program of PostgreSQL's."""
    return {"PGOPTIONS": options(superuser=superuser, **more)}


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
