"""PostgreSQL's configuration files as text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from aurora_operator.api.base import names
from aurora_operator.postgres.config import pins
from aurora_operator.postgres.config.parameters import Choice
from aurora_operator.postgres.layout import Layout

RUNTIME_FILE: Final = "aurora.conf"
SPACE_FILE: Final = "space.conf"
ARCHIVE_FILE: Final = "aurora-archive.conf"
NOBODY: Final = "nobody/00000000"
"""A copy that never exists: what a server waits for that was not told whom to wait for."""
MAX_NAME: Final = 63
"""PostgreSQL cuts names, application_name too, after 63 bytes; a cut one would match nobody."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)*", re.ASCII)
_ESCAPES: Final = {"\\": "\\\\", "'": "''", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_HEADER: Final = "# Written by the agent; changes are lost. Parameters belong in the AuroraCluster resource.\n"


def quote_value(value: str) -> str:
    """A parameter's value as postgresql.conf takes it. Raises ValueError for a NUL, which it cannot hold."""
    if "\0" in value:
        raise ValueError("a parameter cannot hold a NUL character")
    return "'" + "".join(_ESCAPES.get(char, char) for char in value) + "'"


def setting(name: str, value: str) -> str:
    """A line of postgresql.conf, without its end. Raises ValueError for what is no parameter's name."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"not a parameter's name: {name!r}")
    return f"{name} = {quote_value(value)}"


def render_conf(choices: Iterable[Choice], layout: Layout, *, cluster_name: str, listen: str = "*") -> str:
    """postgresql.conf: where things are, then each choice with its reason, then what changes at run time."""
    places = (
        ("listen_addresses", listen),
        ("port", str(names.POSTGRES_PORT)),
        ("unix_socket_directories", str(layout.run)),
        ("hba_file", str(layout.pgdata / "pg_hba.conf")),
        ("ident_file", str(layout.pgdata / "pg_ident.conf")),
        ("ssl_ca_file", str(layout.ca_certificate)),
        ("ssl_cert_file", str(layout.server_certificate)),
        ("ssl_key_file", str(layout.server_key)),
        ("cluster_name", cluster_name[:MAX_NAME]),
    )
    lines = [_HEADER, *(setting(name, value) for name, value in places), ""]
    for choice in choices:
        reason = " ".join(choice.reason.split())
        lines += [f"# {reason}", setting(choice.name, choice.value)]
    late = (f"include_if_exists '{name}'" for name in (SPACE_FILE, ARCHIVE_FILE))
    return "\n".join([*lines, "", f"include '{RUNTIME_FILE}'", *late, ""])


@dataclass(frozen=True, slots=True)
class Source:
    """A copy to receive from. `host` is in its certificate; `address` is its IP, so that no DNS is asked."""

    host: str
    address: str
    port: int = names.POSTGRES_PORT
    credentials: Path | None = None
    """Folder of ca.crt, replication.crt and replication.key, where they are not the cluster's own."""


def conninfo(source: Source, layout: Layout, application_name: str, **more: str) -> str:
    """A libpq connection string as `aurora_replication`, by certificate, to a copy that must prove its name."""
    credentials = source.credentials or layout.tls
    parts = {
        "host": source.host,
        "hostaddr": source.address,
        "port": str(source.port),
        "user": names.REPLICATION_USER,
        "application_name": checked_name(application_name),
        "sslmode": "verify-full",
        "sslrootcert": str(credentials / "ca.crt"),
        "sslcert": str(credentials / "replication.crt"),
        "sslkey": str(credentials / "replication.key"),
        "gssencmode": "disable",
        "connect_timeout": "3",
        "keepalives_idle": "3",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "10000",
        "options": pins.limits(),
        **more,
    }
    return " ".join(f"{key}={_quote_conninfo(value)}" for key, value in parts.items())


def _quote_conninfo(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def checked_name(name: str) -> str:
    """An application_name that PostgreSQL keeps as it is. Raises ValueError."""
    if not name or len(name) > MAX_NAME or not name.isascii() or not name.isprintable() or '"' in name:
        raise ValueError(f"PostgreSQL would not keep this name as it is: {name!r}")
    return name


def follower_name(copy: str, epoch: int) -> str:
    """The application_name of a copy whose history was found to be part of that of epoch's leader.

    A writer waits for these names alone. PostgreSQL takes the LSN that a standby reports for an acknowledgement
    whatever history it is of (walreceiver.c reports what it has replayed; syncrep.c compares LSNs): one with a tail
    that the leader never had would acknowledge commits that it does not have. Raises ValueError.
    """
    return checked_name(f"{copy}@{epoch:x}")


def parse_follower(name: str) -> tuple[str, int | None]:
    """A copy's id, and the epoch whose leader it follows, of an application_name; None where that is no follower's."""
    copy, at, epoch = name.partition("@")
    return copy, int(epoch, 16) if at and re.fullmatch(r"[0-9a-f]+", epoch) else None


def slot_name(copy: str) -> str:
    """Name of the replication slot of a copy `name/incarnation`. Raises ValueError when it is too long."""
    return checked_name(re.sub(r"[^a-z0-9_]", "_", copy.lower()))


def render_sync(need: int, copies: Sequence[str]) -> str:
    """Value of synchronous_standby_names: any `need` of `copies`; empty when `need` is 0. Raises ValueError."""
    if need == 0:
        return ""
    if not 0 < need <= len(copies):
        raise ValueError(f"cannot wait for {need} of {len(copies)} copies")
    quoted = ", ".join(f'"{checked_name(copy)}"' for copy in copies)
    return f"ANY {need} ({quoted})"


@dataclass(frozen=True, slots=True)
class Runtime:
    """What changes while the server runs.

    `sync` is None where nobody leads: such a server waits for a copy that does not exist, so that a commit that
    should not be there is never acknowledged, and so that PostgreSQL's checkpointer, which alone turns waiting on
    and off, has it turned on long before a promotion.
    """

    source: Source | None = None
    slot: str | None = None
    epoch: int | None = None
    """The epoch of the leader that `source` is, once this copy's history has been compared with it."""
    sync: tuple[int, tuple[str, ...]] | None = None
    fetched: bool = False
    """Whether recovery also takes WAL from the folder where a log copy's is put."""


def fetched_command(layout: Layout) -> str:
    """The `restore_command` that takes WAL from `layout.fetched`: it fails at once for what is not there."""
    return f'test -e "{layout.fetched}/%f" && cp "{layout.fetched}/%f" "%p"'


def render_source(runtime: Runtime, layout: Layout, copy: str) -> str:
    """Value of primary_conninfo; empty where nobody is followed."""
    if runtime.source is None:
        return ""
    name = copy if runtime.epoch is None else follower_name(copy, runtime.epoch)
    return conninfo(runtime.source, layout, name)


def render_runtime_conf(runtime: Runtime, layout: Layout, *, copy: str) -> str:
    """aurora.conf, included last. `copy` is this copy's id, which it streams as."""
    source = render_source(runtime, layout, copy)
    sync = render_sync(1, [NOBODY]) if runtime.sync is None else render_sync(*runtime.sync)
    lines = (
        setting("primary_conninfo", source),
        setting("primary_slot_name", runtime.slot or ""),
        setting("synchronous_standby_names", sync),
        *([setting("restore_command", fetched_command(layout))] if runtime.fetched else []),
    )
    return _HEADER + "\n".join(lines) + "\n"


def render_space_conf(*, read_only: bool) -> str:
    """space.conf: what clients may not do while the volume is nearly full."""
    return _HEADER + (setting("default_transaction_read_only", "on") + "\n" if read_only else "")


def render_archive_conf(command: Sequence[str] | None) -> str:
    """aurora-archive.conf: how to archive a segment. None: not now; PostgreSQL keeps them until there is a command.

    Raises ValueError for a word that a shell would not take as it is.
    """
    if command is None:
        return _HEADER + setting("archive_command", "") + "\n"
    if any(re.fullmatch(r"[A-Za-z0-9_./=:-]+", word) is None for word in command):
        raise ValueError(f"not a plain command: {command}")
    return _HEADER + setting("archive_command", f'{" ".join(command)} "%p"') + "\n"


Access = Literal["open", "closed"]


def render_hba(access: Access) -> str:
    """pg_hba.conf. `closed` admits our own people only: superuser by socket, agents of other copies by certificate.

    `aurora_replication` and `aurora_proxy` get in by certificate alone, the latter to look passwords up, `postgres`
    from this pod alone; everyone else by password over TLS alone.
    """
    user = names.REPLICATION_USER
    lines = [
        ("local", "all", "postgres", "", "peer map=aurora"),
        ("hostssl", "replication", user, "all", "cert"),
        ("hostssl", "postgres", user, "all", "cert"),
        ("host", "all,replication", f"{user},postgres", "all", "reject"),
    ]
    if access == "open":
        proxy = names.PROXY_USER
        lines += [("hostssl", "postgres", proxy, "all", "cert"), ("host", "all,replication", proxy, "all", "reject")]
        lines += [("local", "all", "all", "", "scram-sha-256"), ("hostssl", "all", "all", "all", "scram-sha-256")]
    body = "".join(f"{kind:<8} {db:<16} {who:<28} {where:<6} {how}\n" for kind, db, who, where, how in lines)
    return _HEADER + body


def render_ident(os_users: Iterable[str] = ("postgres",)) -> str:
    """pg_ident.conf: which users of the pod are the superuser."""
    return _HEADER + "".join(f'aurora "{user}" postgres\n' for user in os_users)
