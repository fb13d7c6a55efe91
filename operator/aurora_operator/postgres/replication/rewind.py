"""Bringing a copy whose history has left the leader's back onto it."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

from aurora_operator.api.base.lsn import MAX_LSN, SEGMENT_BYTES, parse_segment_name
from aurora_operator.postgres.config import pins
from aurora_operator.postgres.config.conf import Source, conninfo
from aurora_operator.postgres.errors import CannotRewind, ToolError, Unavailable
from aurora_operator.postgres.files import (
    fsync_directory,
    like_parent,
    make_directory,
    remove_durably,
    remove_tree,
    write_durably,
)
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.replication.base_backup import Progress, parse_progress, stamp
from aurora_operator.postgres.server.control import read_control
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal.pg_wal import (
    clean_future_histories,
    is_written,
    part_histories,
    read_history,
    segments,
)
from aurora_operator.postgres.wal.timeline import History, history_name


def common_point(leader: History, own: History) -> tuple[int, int | None]:
    """(timeline, LSN) of the last thing that two histories share; LSN None when `own` is a part of the leader's.

    Raises CannotRewind when they share no timeline.
    """
    shared = [t for t in own.timelines if leader.includes(t)]
    if not shared:
        raise CannotRewind(f"timelines {own.timelines[-9:]} and {leader.timelines[-9:]} have none in common")
    last = shared[-1]
    ends = [end for end in (leader.end_of(last), own.end_of(last)) if end is not None]
    return last, min(ends, default=None)


def diverged_segments(pgdata: Path, leader: History) -> list[Path]:
    """Segment files of this copy with WAL that the leader's history has not, in order of their names."""
    ends: dict[int, int] = {}
    for timeline in {t for t, _, _ in segments(pgdata)} - {leader.timeline}:
        own = read_history(pgdata, timeline)
        if own is None or own.placeholder:
            # A number is one leader's alone: what its timeline had when the leader's history left it is shared.
            end = leader.end_of(timeline) if leader.includes(timeline) else 0
        else:
            _, end = common_point(leader, own)
        ends[timeline] = MAX_LSN if end is None else end
    return sorted(
        path
        for timeline, first, path in segments(pgdata)
        if first + SEGMENT_BYTES > ends.get(timeline, MAX_LSN) and is_written(path, first)
    )


def keep_diverged(layout: Layout, leader: History) -> Path | None:
    """Copy the WAL that a rewind will discard, and its timelines' histories, to `kept/<epoch>-<time>/`.

    Returns where; None if there is none. Raises CannotRewind when there is no room for it.
    """
    found = diverged_segments(layout.pgdata, leader)
    if not found:
        return None
    make_directory(layout.kept)
    target = layout.kept / stamp(str(leader.timeline))
    make_directory(target)
    try:
        for path in (*found, *_histories_of(layout, found)):
            _copy_durably(path, target / path.name)
        fsync_directory(target)
        fsync_directory(layout.kept)
    except OSError as error:
        remove_tree(target)
        raise CannotRewind(f"cannot keep what would be discarded: {error}") from error
    return target


def _histories_of(layout: Layout, found: list[Path]) -> list[Path]:
    """The history files of the timelines of these segments; each tells its ancestors' too."""
    timelines = {segment[0] for path in found if (segment := parse_segment_name(path.name)) is not None}
    files = (layout.wal / history_name(timeline) for timeline in sorted(timelines))
    return [path for path in files if path.exists()]


def _copy_durably(path: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)
    like_parent(copy)
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def broken_off(layout: Layout) -> int | None:
    """The epoch of the leader to whose history a rewind of this copy broke off; None if none did. Raises OSError."""
    try:
        return int(layout.rewinding.read_text())
    except FileNotFoundError:
        return None


async def checkpoint_source(source: Source, layout: Layout, *, copy: str, epoch: int, timeout: float = 120) -> None:  # noqa: ASYNC109
    """Have the leader write its timeline into its pg_control, where pg_rewind looks for it.

    A leader that was promoted a moment ago has not done so, and pg_rewind would find nothing to do.
    Raises Unavailable.
    """
    import psycopg

    settings = {"dbname": "postgres", "options": pins.options(statement_timeout=str(int(timeout * 1000)))}
    try:
        async with await psycopg.AsyncConnection.connect(
            conninfo(source, layout, copy, **settings), autocommit=True
        ) as connection:
            query = "SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()"
            row = await (await connection.execute(query)).fetchone()
            if row is None or row[0] < epoch:
                await connection.execute("CHECKPOINT")
                row = await (await connection.execute(query)).fetchone()
            if row is None or row[0] < epoch:
                raise Unavailable(f"the copy to rewind from is on timeline {row and row[0]}, not on {epoch}")
    except psycopg.Error as error:
        raise Unavailable(f"the copy to rewind from does not answer: {str(error).strip()}") from error


async def rewind(
    tools: Tools,
    layout: Layout,
    source: Source,
    leader: History,
    *,
    copy: str,
    on_progress: Progress | None = None,
    timeout: float = 6 * 3600,  # noqa: ASYNC109
) -> Path | None:
    """Rewind this copy to where it left the leader's history; what it had beyond is kept. Returns where.

    With PostgreSQL down; `source` is the leader, open for `aurora_replication`. Afterwards all configuration files
    are the source's: write ours again, and start as a standby. Raises CannotRewind when only a new clone helps,
    Unavailable when the source cannot be used now, ToolError. A rewind that breaks off leaves a mark on the volume,
    with which the server does not start until the copy is cloned again: its files are of two histories.
    """
    await clean_future_histories(tools, layout.pgdata)
    if layout.rewinding.exists():
        raise CannotRewind("an earlier rewind broke off")
    if not (await read_control(tools, layout.pgdata)).clean:
        raise CannotRewind("PostgreSQL was not shut down in order: start it as a standby and stop it first")
    await checkpoint_source(source, layout, copy=copy, epoch=leader.timeline)
    deadline = time.monotonic() + timeout

    def watch(line: str) -> None:
        found = parse_progress(line)
        if found is not None and on_progress is not None:
            on_progress(*found)

    async def run(*more: str) -> None:
        await tools.run(
            "pg_rewind",
            f"--source-server={conninfo(source, layout, copy, dbname='postgres', options=pins.options())}",
            f"--target-pgdata={layout.pgdata}",
            "--no-ensure-shutdown",
            "--progress",
            *more,
            timeout=max(deadline - time.monotonic(), 1),
            on_line=watch if not more else None,
        )

    try:
        await run("--dry-run")
    except ToolError as error:
        if "connection to server" in error.output:
            raise Unavailable(str(error)) from error
        raise CannotRewind(str(error)) from error
    kept = keep_diverged(layout, leader)
    make_directory(layout.rewinding.parent)
    write_durably(layout.rewinding, f"{leader.timeline}\n")
    await asyncio.to_thread(part_histories, layout.pgdata)
    try:
        await run()
    except ToolError as error:
        raise CannotRewind(str(error)) from error
    remove_durably(layout.rewinding)
    return kept
