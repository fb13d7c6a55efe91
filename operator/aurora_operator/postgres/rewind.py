"""Bringing a copy whose history has left the leader's back onto it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import psycopg

from aurora_operator.postgres.basebackup import Progress, parse_progress, stamp
from aurora_operator.postgres.conf import Source, conninfo
from aurora_operator.postgres.control import read_control
from aurora_operator.postgres.errors import CannotRewind, ToolError, Unavailable
from aurora_operator.postgres.files import fsync_directory, like_parent, make_directory
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.lsn import SEGMENT_BYTES
from aurora_operator.postgres.timeline import History
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal import clean_future_histories, read_histories, segments

_CONNECT_SECONDS: Final = 3


def common_point(leader: History, own: History) -> tuple[int, int | None]:
    """(timeline, LSN) of the last thing that two histories share; LSN None when `own` is a part of the leader's.

    Raises CannotRewind when they share no timeline.
    """
    shared = [t for t in own.timelines if t in leader.timelines]
    if not shared:
        raise CannotRewind(f"timelines {own.timelines} and {leader.timelines} have none in common")
    last = shared[-1]
    ends = [end for end in (leader.end_of(last), own.end_of(last)) if end is not None]
    return last, min(ends, default=None)


def diverged_segments(pgdata: Path, point: int, shared: frozenset[int]) -> list[Path]:
    """Segment files with WAL that the leader has not: after `point`, or of a timeline that is not `shared`."""
    return sorted(
        path
        for timeline, first, path in segments(pgdata)
        if first + SEGMENT_BYTES > point and (timeline not in shared or first + SEGMENT_BYTES > point)
    )


def keep_diverged(layout: Layout, point: int, epoch: int) -> Path | None:
    """Copy the WAL that a rewind will discard, and this copy's histories, to `kept/<epoch>-<time>/`.

    Returns where; None if there is none. Raises OSError, on a full volume for instance: then do not rewind.
    """
    found = diverged_segments(layout.pgdata, point, frozenset())
    if not found:
        return None
    make_directory(layout.kept)
    target = layout.kept / stamp(str(epoch))
    make_directory(target)
    histories = sorted(path for path in layout.wal.glob("*.history"))
    for path in (*found, *histories):
        copy = target / path.name
        shutil.copyfile(path, copy)
        like_parent(copy)
        fd = os.open(copy, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    fsync_directory(target)
    fsync_directory(layout.kept)
    return target


async def checkpoint_source(source: Source, layout: Layout, *, copy: str, epoch: int, timeout: float = 120) -> None:  # noqa: ASYNC109
    """Have the leader write its timeline into its pg_control, where pg_rewind looks for it.

    A leader that was promoted a moment ago has not done so, and pg_rewind would find nothing to do.
    Raises Unavailable.
    """
    settings = {"dbname": "postgres", "options": f"-c statement_timeout={int(timeout * 1000)}"}
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
    are the source's: write ours again, and start as a standby. Raises CannotRewind when only a new clone helps (the
    data directory may then be unusable), ToolError for other failures, Unavailable when the source cannot be used.
    """
    await clean_future_histories(tools, layout.pgdata)
    if not (await read_control(tools, layout.pgdata)).clean:
        raise CannotRewind("PostgreSQL was not shut down in order: start it as a standby and stop it first")
    await checkpoint_source(source, layout, copy=copy, epoch=leader.timeline)
    kept = keep_diverged(layout, _point(layout.pgdata, leader), leader.timeline)

    def watch(line: str) -> None:
        found = parse_progress(line)
        if found is not None and on_progress is not None:
            on_progress(*found)

    try:
        await tools.run(
            "pg_rewind",
            f"--source-server={conninfo(source, layout, copy, dbname='postgres')}",
            "--target-pgdata",
            layout.pgdata,
            "--no-ensure-shutdown",
            "--progress",
            timeout=timeout,
            on_line=watch,
        )
    except ToolError as error:
        raise CannotRewind(str(error)) from error
    return kept


def _point(pgdata: Path, leader: History) -> int:
    """The earliest LSN from which this copy's WAL may differ from the leader's."""
    own = [h for h in read_histories(pgdata).values() if not h.placeholder]
    points = [leader.start]
    for history in own:
        if history.timeline not in leader.timelines:
            _, point = common_point(leader, history)
            if point is not None:
                points.append(point)
    here = {timeline for timeline, _, _ in segments(pgdata)}
    points += [end for t in here if t in leader.timelines and (end := leader.end_of(t)) is not None]
    return min(points)
