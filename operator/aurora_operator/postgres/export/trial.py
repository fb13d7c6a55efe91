"""Whether a transfer can be whole, asked before it begins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aurora_operator.api.base.database import conninfo
from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.export import contents, refusals
from aurora_operator.postgres.export.server import Server, connected
from aurora_operator.postgres.tools import Tools

_SECONDS: Final = 1800
_RELATIONS: Final = """
SELECT c.oid, c.relkind, c.relpersistence, c.relforcerowsecurity, c.relowner, n.oid AS schema, n.nspowner,
       format('%I', n.nspname) AS schema_name, format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig))
       OR NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
"""
"""What pg_dump reads: of an extension's own tables those only that it has asked for."""
_UNREADABLE: Final = f"""
WITH r AS ({_RELATIONS})
SELECT DISTINCT 'schema', schema_name, pg_get_userbyid(nspowner), 1, false
FROM r WHERE NOT has_schema_privilege(schema, 'USAGE')
UNION ALL
SELECT 'table', name, pg_get_userbyid(relowner), 1, false
FROM r WHERE relkind <> 'S' AND NOT has_table_privilege(oid, 'SELECT')
UNION ALL
SELECT 'sequence', name, pg_get_userbyid(relowner), 1, false
FROM r WHERE CASE relkind WHEN 'S' THEN NOT has_sequence_privilege(oid, 'SELECT') ELSE false END
UNION ALL
SELECT 'rows', name, pg_get_userbyid(relowner), 1, relforcerowsecurity
FROM r WHERE relkind = 'r' AND row_security_active(oid)
UNION ALL
SELECT 'unlogged', name, pg_get_userbyid(relowner), 1, false
FROM r WHERE relkind = 'r' AND relpersistence = 'u' AND pg_is_in_recovery()
UNION ALL
SELECT 'large objects', min(l.oid)::text, pg_get_userbyid(l.lomowner), count(*), false
FROM pg_largeobject_metadata l
WHERE NOT pg_has_role(l.lomowner, 'USAGE') AND NOT current_setting('lo_compat_privileges')::boolean
  AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a
                  WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
GROUP BY l.lomowner
ORDER BY 1, 2
"""  # noqa: S608 - nothing in it comes from outside
_UNLOGGED: Final = f"WITH r AS ({_RELATIONS}) SELECT count(*) FROM r WHERE relkind = 'r' AND relpersistence = 'u'"  # noqa: S608
_LOCKS: Final = (
    "SELECT current_setting('max_locks_per_transaction')::int"
    " * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)"
)
_LOCKS_OF_ONE: Final = 3
"""A table's own, that of its TOAST table and of that one's index."""
_OBJECT_GRANT: Final = re.compile(
    r'^(?:GRANT|REVOKE) .* ON LARGE OBJECT \d+ (?:TO|FROM) ("(?:[^"]|"")*"|\w+)(?: WITH GRANT OPTION)?;$', re.MULTILINE
)


async def require_readable(server: Server, database: str) -> None:
    """See to it that an export can read all there is. Raises DataError with a list of what it cannot, Unavailable."""
    async with connected(server, database) as connection:
        rows = await (await connection.execute(_UNREADABLE)).fetchall()
    found = [refusals.Unreadable(*row) for row in rows]
    if found:
        why = (
            f"{server.user} cannot read all of database {database}, so nothing is exported; as superuser (aurora psql)"
        )
        raise DataError(refusals.message(why, refusals.to_read(server.user, found)))


async def unlogged_tables(server: Server, database: str) -> int:
    """How many there are: their rows are at the writer only, and pg_dump leaves them out at a reader. Raises
    Unavailable."""
    async with connected(server, database) as connection:
        row = await (await connection.execute(_UNLOGGED)).fetchone()
    return int(row[0]) if row is not None else 0


async def require_creatable(
    tools: Tools, server: Server, database: str, source: Path, entries: Sequence[str]
) -> str | None:
    """See to it that the user can create all of a dump: by doing so, but for its data, in a transaction that is rolled
    back. Returns why that was not tried. Raises DataError with a list of what fails, ToolError, Unavailable, OSError.
    """
    async with connected(server, database) as connection:
        row = await (await connection.execute(_LOCKS)).fetchone()
    room = int(row[0]) if row is not None else 0
    if len(entries) * _LOCKS_OF_ONE > room / 2:
        # All of them are locked until the end; other sessions need some too.
        return f"{len(entries)} objects are too many to be tried in one transaction: what fails, fails on the way"
    schema = await contents.script(tools, source, entries, "--schema-only")
    objects = await contents.script(tools, source, contents.grants_on_objects(entries))
    script = "\n".join(["BEGIN;", schema, *of_objects(objects), "ROLLBACK;", ""])
    said: list[str] = []
    await tools.run_bytes(
        "psql",
        *("--no-psqlrc", "--quiet", "--no-password", "--output=/dev/null"),
        *("--set=ON_ERROR_ROLLBACK=on", "--set=SHOW_CONTEXT=never"),
        *("--file=-", f"--dbname={conninfo(database)}"),
        timeout=_SECONDS,
        on_line=said.append,
        env=server.environment(database),
        stdin=script.encode(),
    )
    items = refusals.to_create(server.user, database, refusals.errors(said))
    if items:
        why = f"{server.user} cannot create all that the export holds, so nothing is imported"
        raise DataError(refusals.message(why, items))
    return None


def of_objects(script: str) -> list[str]:
    """Statements that fail where a role is missing that grants on large objects name. Pure.

    The objects themselves, which may be millions, come with the data.
    """
    roles = sorted({found[1] for found in _OBJECT_GRANT.finditer(script)} - {"PUBLIC"})
    return ["SELECT '{}'::pg_catalog.regrole;".format(role.replace("'", "''")) for role in roles]
