"""What a user may write into spec.parameters: each setting of PostgreSQL with a value of each class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.postgres.sql.session import Session

TYPICAL: Final[dict[str, tuple[str, ...]]] = {
    "backtrace_functions": ("errstart",),
    "client_encoding": ("SQL_ASCII", "LATIN1", "EUC_JP"),
    "createrole_self_grant": ("set, inherit",),
    "datestyle": ("SQL, DMY", "German", "Postgres, MDY"),
    "default_table_access_method": ("heap", "nowhere"),
    "default_tablespace": ("nowhere",),
    "default_text_search_config": ("pg_catalog.german",),
    "dynamic_library_path": ("/nowhere",),
    "jit_provider": ("nowhere",),
    "lc_messages": ("C", "C.UTF-8"),
    "lc_monetary": ("C", "C.UTF-8"),
    "lc_numeric": ("C", "C.UTF-8"),
    "lc_time": ("C", "C.UTF-8"),
    "local_preload_libraries": ("auto_explain",),
    "log_timezone": ("Asia/Tokyo",),
    "restrict_nonsystem_relation_kind": ("view, foreign-table",),
    "search_path": ('"$user", public', "evil"),
    "session_preload_libraries": ("auto_explain",),
    "shared_preload_libraries": ("pg_stat_statements, auto_explain", "auto_explain"),
    "temp_tablespaces": ("nowhere",),
    "timezone": ("Asia/Tokyo", "America/St_Johns"),
    "timezone_abbreviations": ("Default", "India"),
    "unix_socket_group": ("postgres",),
    "wal_consistency_checking": ("all", "heap, btree"),
}
"""Values of texts, by the name in lower case; the empty text is tried of each."""


@dataclass(frozen=True, order=True)
class Value:
    """A setting and one of its values, as spec.parameters has them."""

    name: str
    value: str


def classes_of(kind: str, least: str | None, most: str | None, enum: Iterable[str] | None, usual: str) -> list[str]:
    """A value of each class: both of a switch, each of a list, of a number the least, the most and an odd one."""
    if kind == "bool":
        return ["on", "off"]
    if kind == "enum":
        return list(enum or ())
    if kind == "string":
        return ["", usual]
    assert least is not None and most is not None
    step = 1 if kind == "integer" else 0.125
    number = type(step)(float(usual))
    odd = number + step if number + step <= float(most) else number - step
    return [least, most, str(odd)]


async def all_values(session: Session) -> list[Value]:
    """Of each setting that PostgreSQL has, and a few of extensions."""
    rows = await session.rows(
        "SELECT name, vartype, min_val, max_val, enumvals, coalesce(boot_val, '') FROM pg_settings ORDER BY name"
    )
    found: dict[Value, None] = {}
    for name, kind, *rest in rows:
        lower = str(name).lower()
        for value in (*classes_of(kind, *rest), *TYPICAL.get(lower, ())):
            found[Value(lower, value)] = None
    return [*found, Value("myapp.tenant", "anything"), Value("plpgsql.extra_errors", "all")]


def refusal(value: Value) -> str | None:
    """Why `kubectl apply` refuses it, or None."""
    try:
        AuroraClusterSpec.model_validate({"parameters": {value.name: value.value}})
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return None


def in_groups(values: Iterable[Value], size: int) -> Iterator[dict[str, str]]:
    """As few groups as there can be, in which each setting has one value."""
    rest: list[Value] = list(values)
    while rest:
        group: dict[str, str] = {}
        later: list[Value] = []
        for item in rest:
            if item.name in group or len(group) == size:
                later.append(item)
            else:
                group[item.name] = item.value
        rest = later
        yield group


def halves(group: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """For whoever looks for the one that fails."""
    items = list(group.items())
    middle = len(items) // 2
    return dict(items[:middle]), dict(items[middle:])
