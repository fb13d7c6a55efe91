"""The role by which proxies look up the verifiers of passwords: it can do nothing else, and is there only for them.

Verifiers are shown by one function alone, and only those of roles that clients have: no superuser's, none that
replicates, none of our own. What it shows is SCRAM's (RFC 5803), no password: who has it can check one, no more.
"""

from __future__ import annotations

import contextlib
from typing import Final

from psycopg import sql

from aurora_operator.api.base import names
from aurora_operator.postgres.errors import QueryError
from aurora_operator.postgres.sql.access import DATABASE
from aurora_operator.postgres.sql.session import Session

_ROLE: Final = names.PROXY_USER
_ATTRIBUTES: Final = (
    "LOGIN NOINHERIT NOSUPERUSER NOREPLICATION NOCREATEDB NOCREATEROLE NOBYPASSRLS CONNECTION LIMIT -1 PASSWORD NULL"
    " VALID UNTIL 'infinity'"
)
_BODY: Final = (
    " SELECT a.rolname::text, a.rolpassword FROM pg_catalog.pg_authid a WHERE a.rolname = $1 AND a.rolcanlogin"
    " AND NOT a.rolsuper AND NOT a.rolreplication AND a.rolname NOT LIKE 'aurora\\_%'"
    " AND (a.rolvaliduntil IS NULL OR a.rolvaliduntil > pg_catalog.now()) "
)
_IS_RIGHT: Final = (
    "SELECT r.rolcanlogin AND NOT (r.rolinherit OR r.rolsuper OR r.rolreplication OR r.rolcreatedb OR r.rolcreaterole"
    " OR r.rolbypassrls) AND r.rolconnlimit = -1 AND coalesce(r.rolvaliduntil, 'infinity') = 'infinity'"
    # A member could become it, and read all verifiers; and what it is a member of, it could use.
    " AND NOT EXISTS (SELECT FROM pg_auth_members m WHERE r.oid IN (m.roleid, m.member))"
    " AND has_database_privilege(r.oid, %s, 'CONNECT')"
    " AND coalesce((SELECT p.prosecdef AND p.prosrc = %s AND o.rolsuper AND n.nspowner = p.proowner"
    "   AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_function_privilege(r.oid, p.oid, 'EXECUTE')"
    "   AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp'] AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) x"
    "     WHERE x.privilege_type = 'EXECUTE' AND x.grantee NOT IN (p.proowner, r.oid))"
    "  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles o ON o.oid = p.proowner"
    "  WHERE n.nspname = %s AND p.oid = to_regprocedure(%s)), false)"
    " FROM pg_roles r WHERE r.rolname = %s"
)


async def ensure_proxy_access(session: Session, *, wanted: bool) -> tuple[str, ...]:
    """On the writer: make the role and its function, or take them away; says what was done. Idempotent.

    Raises QueryError, Unavailable.
    """
    if await session.rows("SELECT current_database() <> %s", [DATABASE]) == [(True,)]:
        return ()  # Nobody can connect where the function is; `access` mends that first.
    found = await session.rows("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [_ROLE])
    if not wanted:
        if found != [(True,)]:
            return ()
        await _take_away(session)
        return (f"the role {_ROLE} can no longer log in: there is no proxy",)
    right = await session.rows(_IS_RIGHT, [DATABASE, _BODY, _ROLE, f"{_ROLE}.verifier(name)", _ROLE])
    if right == [(True,)]:
        return ()
    await _make(session, exists=bool(found))
    return (f"the role {_ROLE} is as proxies need it",)


async def _make(session: Session, *, exists: bool) -> None:
    role, schema = sql.Identifier(_ROLE), sql.Identifier(_ROLE)
    function = sql.SQL("{}.verifier(name)").format(schema)
    verb = sql.SQL("ALTER" if exists else "CREATE")
    await session.rows(sql.SQL("{} ROLE {} ").format(verb, role) + sql.SQL(_ATTRIBUTES))
    await _revoke_memberships(session)
    await session.rows(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(DATABASE), role))
    await session.rows(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    await session.rows(sql.SQL("ALTER SCHEMA {} OWNER TO CURRENT_USER").format(schema))
    made = (
        "CREATE OR REPLACE FUNCTION {}.verifier(username name, OUT name text, OUT verifier text) RETURNS SETOF record"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {}"
    )
    await session.rows(sql.SQL(made).format(schema, sql.Literal(_BODY)))
    await session.rows(sql.SQL("ALTER FUNCTION {} OWNER TO CURRENT_USER").format(function))
    await session.rows(sql.SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(function))
    await session.rows(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
    await session.rows(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(function, role))


async def _revoke_memberships(session: Session) -> None:
    granted = await session.rows(
        "SELECT g.rolname, m.rolname, b.rolname FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid"
        " JOIN pg_roles m ON m.oid = a.member JOIN pg_roles b ON b.oid = a.grantor WHERE %s IN (g.rolname, m.rolname)",
        [_ROLE],
    )
    for role, member, grantor in granted:
        revoke = sql.SQL("REVOKE {} FROM {} GRANTED BY {} CASCADE")
        await session.rows(revoke.format(*map(sql.Identifier, (role, member, grantor))))


async def _take_away(session: Session) -> None:
    """Nothing but our own: what somebody has put into its schema, or given to the role, stays, and the role with it."""
    role = sql.Identifier(_ROLE)
    await session.rows(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
    database = sql.Identifier(DATABASE)
    with contextlib.suppress(QueryError):
        await session.rows(sql.SQL("DROP FUNCTION IF EXISTS {}.verifier(name)").format(role))
        await session.rows(sql.SQL("DROP SCHEMA IF EXISTS {}").format(role))
        await session.rows(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(database, role))
        await session.rows(sql.SQL("DROP ROLE {}").format(role))
