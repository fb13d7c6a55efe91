"""Cloning a copy from another one that runs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aurora_operator.postgres.config.conf import Source, conninfo
from aurora_operator.postgres.files import make_directory, remove_durably, remove_tree, rename_durably
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.tools import Tools

_PROGRESS: Final = re.compile(r"\s*(\d+)/(\d+) kB \(", re.ASCII)
Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; the latter grows when the source does."""


def parse_progress(line: str) -> tuple[int, int] | None:
    """(bytes done, bytes in all) from a line that pg_basebackup or pg_rewind prints with --progress. Pure."""
    match = _PROGRESS.match(line)
    return (int(match[1]) * 1024, int(match[2]) * 1024) if match else None


def stamp(what: str) -> str:
    """A name for something kept: what, and when, to the second."""
    return f"{what}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def keep_aside(layout: Layout, path: Path, what: str) -> Path:
    """Move something on the volume to `kept/`, under a name that is free; returns where it is."""
    make_directory(layout.kept)
    name = stamp(what)
    target = layout.kept / name
    for number in range(1, 1000):
        if not target.exists():
            break
        target = layout.kept / f"{name}.{number}"
    rename_durably(path, target)
    return target


async def base_backup(
    tools: Tools,
    layout: Layout,
    source: Source,
    *,
    copy: str,
    slot: str | None = None,
    on_progress: Progress | None = None,
    verify: bool = True,
    timeout: float = 24 * 3600,  # noqa: ASYNC109
) -> Path | None:
    """Clone `source` into the data directory; a former one is kept and only replaced by a complete, verified one.

    `slot`, if given, exists at the source and holds the WAL until this copy streams. Returns where the former data
    directory is kept, if there was one; the caller removes it once this copy streams. With PostgreSQL down. What an
    attempt that failed or was cancelled leaves is `pgdata.new` alone, and the next attempt removes it.
    Raises ToolError, OSError.
    """
    remove_tree(layout.new)
    make_directory(layout.new)

    def watch(line: str) -> None:
        found = parse_progress(line)
        if found is not None and on_progress is not None:
            on_progress(*found)

    started = time.monotonic()
    await tools.run(
        "pg_basebackup",
        f"--dbname={conninfo(source, layout, copy)}",
        "--pgdata",
        layout.new,
        "--format=plain",
        "--wal-method=stream",
        *([f"--slot={slot}"] if slot else []),
        "--checkpoint=fast",
        "--progress",
        "--verbose",
        "--no-password",
        timeout=timeout,
        on_line=watch,
    )
    if verify:
        left = max(timeout - (time.monotonic() - started), 60)
        await tools.run("pg_verifybackup", "--exit-on-error", "--quiet", layout.new, timeout=left)
    kept = keep_aside(layout, layout.pgdata, "pgdata") if layout.pgdata.exists() else None
    rename_durably(layout.new, layout.pgdata)
    remove_durably(layout.rewinding)  # What it told of has been replaced.
    return kept


def drop_replaced(layout: Layout) -> None:
    """Remove former data directories that `base_backup` kept; call it once this copy streams. Raises OSError."""
    if layout.pgdata.exists() and layout.kept.exists():
        for path in sorted(layout.kept.glob("pgdata-*")):
            remove_tree(path)


def recover_interrupted(layout: Layout) -> bool:
    """After a crash between the two renames at the end of `base_backup`: put the newest former directory back.

    Call it before looking whether there is a data directory. Returns whether anything was done.
    """
    if layout.pgdata.exists() or not layout.kept.exists():
        return False
    former = sorted(layout.kept.glob("pgdata-*"))
    if former:
        rename_durably(former[-1], layout.pgdata)
    return bool(former)


def forget_slots(layout: Layout) -> None:
    """Remove the replication slots that came with a copied volume: nobody uses them here, and each would keep WAL for
    ever. With PostgreSQL down. Raises OSError."""
    slots = layout.pgdata / "pg_replslot"
    for path in sorted(slots.iterdir()) if slots.is_dir() else ():
        remove_tree(path)
