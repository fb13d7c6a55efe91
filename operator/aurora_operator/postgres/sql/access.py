"""What the copies need of the database, held by our own rights: found missing, and mended by the writer.

Our own sessions are the superuser's, whom no grant binds. The other copies come as `aurora_replication`, which streams,
clones and rewinds: it needs its attributes, the database `postgres`, and a few functions. Whoever hardens a database
(REVOKE CONNECT, ALLOW_CONNECTIONS false) does not mean those.
"""

from __future__ import annotations

from typing import Final

from psycopg import sql

from aurora_operator.api.base import names
from aurora_operator.postgres.config import pins
from aurora_operator.postgres.sql.session import Session

DATABASE: Final = "postgres"
_ROLE: Final = names.REPLICATION_USER
_FUNCTIONS: Final = (
    "pg_catalog.pg_ls_dir(text, boolean, boolean)",
    "pg_catalog.pg_stat_file(text, boolean)",
    "pg_catalog.pg_read_binary_file(text)",
    "pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What pg_rewind calls at its source, as its manual page lists them."""
_ATTRIBUTES: Final = "LOGIN REPLICATION INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE CONNECTION LIMIT -1 PASSWORD NULL"
_SETTINGS: Final = {name: pins.SUPERUSER[name] for name in ("session_preload_libraries", "event_triggers")}
"""What could keep it from logging in, and what it may not ask for itself."""


async def missing_access(session: Session) -> tuple[str, ...]:
    """What the copies lack, one sentence each; empty when all is well. Raises QueryError, Unavailable."""
    found: list[str] = []
    database = await session.rows(
        "SELECT datallowconn, datconnlimit, has_database_privilege(r.oid, d.oid, 'CONNECT')"
        " FROM pg_database d LEFT JOIN pg_roles r ON r.rolname = %s WHERE datname = %s",
        [_ROLE, DATABASE],
    )
    role = await session.rows(
        "SELECT rolcanlogin AND rolreplication AND rolinherit AND rolconnlimit = -1"
        " AND coalesce(rolvaliduntil, 'infinity') = 'infinity' AND pg_has_role(oid, 'pg_checkpoint', 'USAGE')"
        # Functions are each database's own: those of another one say nothing.
        " AND (current_database() <> %s OR"
        " (SELECT bool_and(has_function_privilege(oid, f, 'EXECUTE')) FROM unnest(%s::text[]) f))"
        " FROM pg_roles WHERE rolname = %s",
        [DATABASE, list(_FUNCTIONS), _ROLE],
    )
    if not database:
        found.append(f"there is no database {DATABASE}")
    else:
        allowed, limit, connects = database[0]
        if not allowed:
            found.append(f"the database {DATABASE} allows no connections")
        if limit != -1:
            found.append(f"the database {DATABASE} has a connection limit")
        if role and not connects:
            found.append(f"{_ROLE} may not connect to the database {DATABASE}")
    if not role:
        found.append(f"there is no role {_ROLE}")
    elif not role[0][0]:
        found.append(f"the role {_ROLE} lacks an attribute or a grant")
    if await _settings(session) != {f"{name}={value}" for name, value in _SETTINGS.items()}:
        found.append(f"the role {_ROLE} does not have its settings")
    return tuple(found)


async def ensure_access(session: Session) -> tuple[str, ...]:
    """On the writer: give the copies what they lack; returns what that was. Idempotent. Raises QueryError."""
    found = await missing_access(session)
    if found:
        await _mend_database(session)
        await _mend_role(session)
    return found


async def _mend_database(session: Session) -> None:
    database = sql.Identifier(DATABASE)
    if not await session.rows("SELECT FROM pg_database WHERE datname = %s", [DATABASE]):
        await session.rows(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(database), timeout=60)
    await session.rows(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true CONNECTION LIMIT -1").format(database))
    # It may be connected elsewhere: there it keeps others from CREATE DATABASE, and its grants are of that database.
    await session.close()


async def _mend_role(session: Session) -> None:
    role, database = sql.Identifier(_ROLE), sql.Identifier(DATABASE)
    exists = await session.rows("SELECT FROM pg_roles WHERE rolname = %s", [_ROLE])
    verb = sql.SQL("ALTER" if exists else "CREATE")
    await session.rows(sql.SQL(f"{{}} ROLE {{}} {_ATTRIBUTES} VALID UNTIL 'infinity'").format(verb, role))
    await session.rows(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role))
    for function in _FUNCTIONS:
        await session.rows(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), role))
    await session.rows(sql.SQL("GRANT pg_checkpoint TO {} WITH INHERIT TRUE").format(role))
    alter = sql.SQL("ALTER ROLE {} IN DATABASE {} ").format(role, database)
    await session.rows(alter + sql.SQL("RESET ALL"))
    for name in _SETTINGS:
        # The most special of all settings: it outranks those for all roles, or for the whole database. From this
        # session, which has them pinned: an empty list cannot be written in SQL.
        await session.rows(alter + sql.SQL("SET {} FROM CURRENT").format(sql.Identifier(name)))


async def _settings(session: Session) -> set[str]:
    rows = await session.rows(
        "SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole"
        " JOIN pg_database d ON d.oid = s.setdatabase WHERE r.rolname = %s AND d.datname = %s",
        [_ROLE, DATABASE],
    )
    return {str(entry) for (entry,) in rows}
