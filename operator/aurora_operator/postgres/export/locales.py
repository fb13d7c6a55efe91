"""Encoding and locale of a database: by what its text is stored, sorted and compared. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from aurora_operator.postgres.errors import DataError

QUERY: Final = "SELECT pg_encoding_to_char(encoding), to_jsonb(d) FROM pg_database d WHERE datname = %s"
"""Its answer is for `of_catalog`. Columns have other names in other versions of PostgreSQL."""
_PROVIDERS: Final = {"c": "libc", "i": "icu", "b": "builtin"}
_VALUE: Final = r"(?:'(?:[^']|'')*'|\w+)"
_OPTION: Final = re.compile(rf"([A-Z_]+) = ({_VALUE})", re.ASCII)
_STATEMENT: Final = re.compile(
    rf"""^CREATE DATABASE (?:"(?:[^"]|"")*"|\w+) WITH TEMPLATE = template0((?: [A-Z_]+ = {_VALUE})+);""", re.MULTILINE
)
_SAME: Final = {"posix": "c"}
"""Names of one locale; as `_plain` writes them."""


@dataclass(frozen=True, slots=True)
class Locale:
    """What CREATE DATABASE is told; None is what an option's default is."""

    encoding: str
    provider: str
    """`libc`, `icu` or `builtin`."""
    collate: str
    ctype: str
    locale: str | None = None
    """Of ICU or PostgreSQL itself."""
    rules: str | None = None
    """ICU's, besides."""

    def __str__(self) -> str:
        name = self.collate if self.provider == "libc" else self.locale
        more = " with rules of its own" if self.rules else ""
        return f"{self.encoding}, {self.provider} {name}{more}"

    @property
    def order(self) -> tuple[str | None, ...]:
        """Equal for two that store, sort and compare alike."""
        if self.provider == "icu":
            return self.encoding, self.provider, self.locale, self.rules
        # libc's C and C.UTF-8 go by code points and plain tables, as PostgreSQL's own of these names do.
        names = (self.locale, self.locale) if self.provider == "builtin" else (self.collate, self.ctype)
        return self.encoding, *map(_plain, names)

    def create(self, database: str) -> sql.Composed:
        """The statement that makes a database of it."""
        named = {"builtin": "BUILTIN_LOCALE", "icu": "ICU_LOCALE"}.get(self.provider)
        options = [
            ("ENCODING", self.encoding),
            ("LOCALE_PROVIDER", self.provider),
            ("LC_COLLATE", self.collate),
            ("LC_CTYPE", self.ctype),
            (named, self.locale),
            ("ICU_RULES", self.rules),
        ]
        given = [sql.SQL(" {} = {}").format(sql.SQL(k), sql.Literal(v)) for k, v in options if k and v]
        return sql.SQL("CREATE DATABASE {} TEMPLATE = template0{}").format(
            sql.Identifier(database), sql.Composed(given)
        )


def of_catalog(encoding: str, row: Mapping[str, Any]) -> Locale:
    """By a row of pg_database, of PostgreSQL 15 or later."""
    return Locale(
        encoding=encoding,
        provider=_PROVIDERS.get(str(row["datlocprovider"]), str(row["datlocprovider"])),
        collate=str(row["datcollate"]),
        ctype=str(row["datctype"]),
        locale=row.get("datlocale") or row.get("daticulocale"),
        rules=row.get("daticurules"),
    )


def of_dump(text: str) -> Locale:
    """By the statement that pg_restore would make the database with. Raises DataError where there is none."""
    statement = _STATEMENT.search(text)
    if statement is None or "ENCODING = " not in statement[1]:
        raise DataError("the export does not say how its database sorts")
    found = {option: _unquoted(value) for option, value in _OPTION.findall(statement[1])}
    provider = found.get("LOCALE_PROVIDER", "libc")
    both = found.get("LOCALE", "C")
    return Locale(
        encoding=found["ENCODING"],
        provider=provider,
        collate=found.get("LC_COLLATE", both),
        ctype=found.get("LC_CTYPE", both),
        locale=found.get("BUILTIN_LOCALE") or found.get("ICU_LOCALE"),
        rules=found.get("ICU_RULES"),
    )


def differs(database: str, there: Locale, wanted: Locale) -> str | None:
    """Why an export is not to be put into a database that is there; None where both sort alike."""
    if there.order == wanted.order:
        return None
    return (
        f"the database {database} stores and sorts text by {there}, and the export by {wanted}: drop it, and the import"
        " makes it as it was; or take it as it is with --other-locale"
    )


def _plain(name: str | None) -> str:
    plain = re.sub(r"[-.]", "", (name or "").lower())
    return _SAME.get(plain, plain)


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'") if text.startswith("'") else text
