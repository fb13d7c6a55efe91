"""Writing a copy's configuration files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from aurora_operator.postgres.config.conf import (
    ARCHIVE_FILE,
    RUNTIME_FILE,
    SPACE_FILE,
    Access,
    Runtime,
    render_archive_conf,
    render_conf,
    render_hba,
    render_ident,
    render_runtime_conf,
    render_space_conf,
)
from aurora_operator.postgres.config.parameters import Choice
from aurora_operator.postgres.files import make_directory, remove_durably, write_durably
from aurora_operator.postgres.layout import Layout


def write_base(
    layout: Layout,
    choices: Iterable[Choice],
    *,
    cluster_name: str,
    os_users: Iterable[str] = ("postgres",),
    listen: str = "*",
) -> bool:
    """Write postgresql.conf and pg_ident.conf, and empty what ALTER SYSTEM may have left.

    Returns whether anything changed; a reload is due then.
    """
    pgdata = layout.pgdata
    text = render_conf(choices, layout, cluster_name=cluster_name, listen=listen)
    changed = write_durably(pgdata / "postgresql.conf", text)
    changed |= write_durably(pgdata / "pg_ident.conf", render_ident(os_users))
    # Read after postgresql.conf, so whatever is in it would win over what the agents need.
    changed |= write_durably(pgdata / "postgresql.auto.conf", "")
    return changed


def write_runtime(layout: Layout, runtime: Runtime, *, copy: str) -> bool:
    """Write aurora.conf; returns whether it changed. Each start writes it, so no failover waits for the disk here."""
    return write_durably(layout.pgdata / RUNTIME_FILE, render_runtime_conf(runtime, layout, copy=copy), sync=False)


def write_space(layout: Layout, *, read_only: bool) -> bool:
    """Write space.conf; returns whether it changed. Each start writes it too."""
    return write_durably(layout.pgdata / SPACE_FILE, render_space_conf(read_only=read_only), sync=False)


def write_archive(layout: Layout, command: Sequence[str] | None) -> bool:
    """Write how segments are archived; returns whether it changed. Each start says: not yet."""
    return write_durably(layout.pgdata / ARCHIVE_FILE, render_archive_conf(command), sync=False)


def write_hba(layout: Layout, access: Access) -> bool:
    """Write pg_hba.conf; returns whether it changed. Each start writes it too."""
    return write_durably(layout.pgdata / "pg_hba.conf", render_hba(access), sync=False)


def set_standby(layout: Layout, standby: bool) -> None:
    """Have the next start be a standby's, or not. Every start of ours is a standby's, except right after initdb."""
    signal = layout.pgdata / "standby.signal"
    if standby:
        write_durably(signal, "")
    else:
        remove_durably(signal)
    # Of other tools: it would make the next start a point-in-time recovery.
    remove_durably(layout.pgdata / "recovery.signal")


def install_certificates(layout: Layout) -> bool:
    """Copy the mounted server certificate, key and CA to where the server reads them; returns whether any changed.

    PostgreSQL refuses a key that others could read, and a mounted Secret belongs to root. Raises OSError.
    """
    target = layout.server_key.parent
    make_directory(target)
    changed = False
    for name, path in _certificates(layout):
        changed |= write_durably(path, (layout.tls / name).read_bytes())
    return changed


def _certificates(layout: Layout) -> tuple[tuple[str, Path], ...]:
    return (
        ("ca.crt", layout.ca_certificate),
        ("server.crt", layout.server_certificate),
        ("server.key", layout.server_key),
    )
