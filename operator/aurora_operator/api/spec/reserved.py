"""Names of databases and roles, and those that are taken."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

from aurora_operator.api.base.rules import Rule, immutable

RESERVED_DATABASES: Final = (
    # PostgreSQL's and Aurora's own
    *("postgres", "template0", "template1", "rdsadmin"),
    # words with a meaning in pg_hba.conf
    *("all", "sameuser", "samerole", "samegroup", "replication"),
)
RESERVED_USERS: Final = (
    *("postgres", "rdsadmin", "rds_superuser", "rds_replication", "rdsrepladmin"),
    # words with a meaning in SQL or pg_hba.conf
    *("all", "public", "none", "user", "current_user", "current_role", "session_user", "replication"),
)
RESERVED_PREFIXES: Final = ("pg_", "aurora_", "rds_")
_FORM: Final = re.compile("[a-z][a-z0-9_]{0,62}", re.ASCII)


def _form(field: str) -> Rule:
    return Rule(
        cel="self.matches('^[a-z][a-z0-9_]{0,62}$')",
        message=f"{field} must be 1 to 63 lower-case letters, digits and underscores, and begin with a letter.",
        check=lambda name: _FORM.fullmatch(name) is not None,
    )


def _free(field: str, names: tuple[str, ...], example: str) -> Rule:
    listed = ", ".join(f"'{name}'" for name in names)
    prefixes = " && ".join(f"!self.startsWith('{prefix}')" for prefix in RESERVED_PREFIXES)
    return Rule(
        cel=f"!(self in [{listed}]) && {prefixes}",
        message=f"This {field} is reserved for PostgreSQL or for the operator: choose another, such as {example}. "
        f"Names that begin with {', '.join(RESERVED_PREFIXES)} are reserved too.",
        check=lambda name: name not in names and not name.startswith(RESERVED_PREFIXES),
    )


def _fixed(field: str, instead: str) -> Rule:
    return immutable(f"{field} cannot change once the cluster exists: {instead}.")


DatabaseName = Annotated[
    str,
    Field(max_length=63),
    _form("databaseName"),
    _free("databaseName", RESERVED_DATABASES, "app"),
    _fixed("databaseName", "put the old value back, and make further databases with CREATE DATABASE"),
]
MasterUsername = Annotated[
    str,
    Field(max_length=63),
    _form("masterUsername"),
    _free("masterUsername", RESERVED_USERS, "app"),
    _fixed("masterUsername", "put the old value back, and make further users with CREATE ROLE"),
]
