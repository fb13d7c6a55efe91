"""Why a transfer is not begun: all that stands against it, each with what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from psycopg import sql

_LISTED: Final = 12
_LENGTH: Final = 300
"""Of one item, in characters: all of the message fits into what Kubernetes keeps of a container's end."""

Kind = Literal["schema", "table", "sequence", "rows", "large objects", "unlogged"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What the user of an export may not read."""

    kind: Kind
    what: str
    """Its name, quoted as SQL wants it; of large objects, one of them."""
    owner: str
    count: int = 1
    forced: bool = False
    """Row security holds for the owner too."""


@dataclass(frozen=True, slots=True)
class Error:
    """What the server said to a statement."""

    message: str
    more: tuple[str, ...] = ()
    """Detail and hint."""


def message(beginning: str, items: Sequence[str]) -> str:
    """A sentence, and a list of which not too much is shown."""
    shown = [f"- {item if len(item) <= _LENGTH else item[:_LENGTH] + '…'}" for item in items[:_LISTED]]
    left = len(items) - _LISTED
    return "\n".join([f"{beginning}:", *shown, *([f"- and {left} more"] if left > 0 else [])])


def to_read(user: str, found: Iterable[Unreadable]) -> list[str]:
    """Of an export: what a superuser can do about each."""
    return [_to_read(_quoted(user), one) for one in found]


def _to_read(user: str, one: Unreadable) -> str:
    match one.kind:
        case "schema":
            return f"schema {one.what} may not be used: GRANT USAGE ON SCHEMA {one.what} TO {user}"
        case "table":
            return f"table {one.what} may not be read: GRANT SELECT ON {one.what} TO {user}"
        case "sequence":
            return f"sequence {one.what} may not be read: GRANT SELECT ON SEQUENCE {one.what} TO {user}"
        case "unlogged":
            return (
                f"table {one.what} is unlogged, so its rows are at the writer only: ALTER TABLE {one.what} SET LOGGED"
            )
        case "large objects":
            which = f"large objects of {one.owner} may not be read, {one.count} in all, such as {one.what}"
            return f"{which}: GRANT {_quoted(one.owner)} TO {user}"
    way = f"ALTER ROLE {user} BYPASSRLS" if one.forced else f"GRANT {_quoted(one.owner)} TO {user}"
    return f"rows of table {one.what} are hidden by its row security: {way}"


def errors(lines: Iterable[str]) -> list[Error]:
    """What psql has said of a script, in its order."""
    found: list[Error] = []
    for line in lines:
        begun = _ERROR.match(line)
        if begun is not None:
            found.append(Error(begun[1]))
        elif found and (more := _MORE.match(line)):
            found[-1] = Error(found[-1].message, (*found[-1].more, more[1]))
    return found


def to_create(user: str, database: str, found: Sequence[Error]) -> list[str]:
    """Of an import: what can be done about each; what only follows from another one is left out."""
    causes = [one for one in found if _FOLLOWS.search(one.message) is None] or found
    return list(dict.fromkeys(_to_create(user, database, one) for one in causes))


def _to_create(user: str, database: str, one: Error) -> str:
    if role := _ROLE.search(one.message):
        return f"there is no role {role[1]}, which grants, policies or mappings name: CREATE ROLE {_quoted(role[1])}"
    if extension := _NOT_ALLOWED.search(one.message):
        made = f"CREATE EXTENSION {_quoted(extension[1])}"
        return (
            f"only a superuser may create extension {extension[1]}: make the database {database} yourself, then {made}"
            " in it as superuser (aurora psql)"
        )
    if extension := _NOT_THERE.search(one.message):
        return f"the server does not have extension {extension[1]}: use an instance image with it"
    if "permission denied to change default privileges" in one.message:
        return f"default privileges of another role: GRANT that role TO {_quoted(user)}, or export without them"
    return "; ".join((one.message, *one.more))


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


_ERROR: Final = re.compile(r"psql:[^:]*:\d+: (?:ERROR|FATAL):\s+(.*)")
_MORE: Final = re.compile(r"((?:DETAIL|HINT):\s+.*)")
_ROLE: Final = re.compile(r'^role "(.*)" does not exist$')
_FOLLOWS: Final = re.compile(r'^(?!role ").* does not exist$')
_NOT_ALLOWED: Final = re.compile(r'^permission denied to create extension "(.*)"$')
_NOT_THERE: Final = re.compile(r'^extension "(.*)" is not available$')
