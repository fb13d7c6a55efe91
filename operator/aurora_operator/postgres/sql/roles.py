"""Roles and databases that every cluster has; made and repaired by the writer, each time it begins to lead."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

from psycopg import sql

from aurora_operator.postgres.sql.access import ensure_access
from aurora_operator.postgres.sql.session import Session

_MASTER_ROLES: Final = (
    "pg_monitor",
    "pg_signal_backend",
    "pg_checkpoint",
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_create_subscription",
    "pg_maintain",
)
"""About what `rds_superuser` may do; some exist from PostgreSQL 16 and 17 on."""
_VERIFIER: Final = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)", re.ASCII)


def password_matches(verifier: str | None, password: str) -> bool:
    """Whether a SCRAM verifier (RFC 5803) is of this password. Pure; says False for non-ASCII passwords.

    Those would have to be prepared (SASLprep) as libpq does; it makes them a new verifier instead.
    """
    match = _VERIFIER.fullmatch(verifier or "")
    if match is None or not password.isascii():
        return False
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(match[2]), int(match[1]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(match[3]))


async def ensure_master(session: Session, user: str, password: str | None) -> None:
    """The master user, as powerful as one can be without being superuser. Idempotent. Raises QueryError.

    Without a password, the one in force stays, and a new user cannot log in. The password travels and is logged as a
    SCRAM verifier only, and is left alone when it is this one already.
    """
    if not await session.rows(
        "SELECT FROM pg_roles WHERE rolname = %s", [user]
    ):  # What somebody gave or took from it later is theirs to decide.
        await session.rows(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(sql.Identifier(user)))
    ((verifier,),) = await session.rows("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [user])
    if password is not None and not password_matches(verifier, password):
        made = await session.encrypt_password(user, password)
        await session.rows(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(made)))
    missing = await session.rows(
        "SELECT r.rolname FROM pg_roles r WHERE r.rolname = ANY(%s) AND NOT EXISTS (SELECT FROM pg_auth_members m"
        " JOIN pg_roles u ON u.oid = m.member WHERE m.roleid = r.oid AND u.rolname = %s AND m.admin_option)",
        [list(_MASTER_ROLES), user],
    )
    for (role,) in missing:
        grant = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION")
        await session.rows(grant.format(sql.Identifier(role), sql.Identifier(user)))


async def ensure_database(session: Session, database: str, owner: str) -> bool:
    """The application's database; returns whether it was made now. Raises QueryError, Unavailable."""
    if await session.rows("SELECT FROM pg_database WHERE datname = %s", [database]):
        return False
    create = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(owner))
    await session.rows(create, timeout=60)
    return True


async def ensure_roles(session: Session, *, master: str, password: str | None, database: str) -> None:
    """All of the above. Fit to be called again and again. Raises QueryError, Unavailable."""
    await ensure_access(session)
    await ensure_master(session, master, password)
    await ensure_database(session, database, master)
