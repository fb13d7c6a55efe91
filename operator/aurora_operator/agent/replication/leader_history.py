"""What this copy asks of another copy's PostgreSQL, as `aurora_replication`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES, parse_segment_name
from aurora_operator.net.resolver import Resolver
from aurora_operator.postgres.config import pins
from aurora_operator.postgres.config.conf import Source, conninfo
from aurora_operator.postgres.errors import Unavailable
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.wal.timeline import History, history_name, parse_history

ASK_SECONDS = 2.0
_WHERE: Final = {"dbname": "postgres", "replication": "database"}


async def resolve(host: str) -> str:
    """An address of a host, as text. Raises Unavailable when its name is not known, or not yet."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return (await Resolver().addresses(host))[0]
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"the address of {host} is not known: {error or 'no answer in time'}") from error


async def leader_history(layout: Layout, source: Source, epoch: int) -> History:
    """The history of timeline `epoch` from its leader. Raises Unavailable when that is not there or no writer."""
    return await remote_history(layout, source, epoch, writer=True)


async def remote_history(layout: Layout, source: Source, timeline: int, *, writer: bool = False) -> History:
    """The history of a timeline from a copy that is on it. Raises Unavailable when that is not there, or no `writer`.

    By a connection for replication, for which there is room when clients have taken all others: they must keep no copy
    from following. Such a connection takes simple queries alone.
    """
    text = f"convert_from(pg_read_binary_file('pg_wal/{history_name(timeline)}'), 'UTF8')"
    recovering, found = await _ask(layout, source, f"pg_is_in_recovery(), {text}", "history")
    if writer and recovering:
        raise Unavailable(f"{source.host} is no writer")
    try:
        return await asyncio.to_thread(parse_history, timeline, found)
    except ValueError as error:
        raise Unavailable(f"{source.host} has a damaged history: {error}") from error


async def wal_segments(layout: Layout, source: Source) -> tuple[str, ...]:
    """Names of the WAL segments that a copy has, of all timelines. Raises Unavailable."""
    (names,) = await _ask(layout, source, "string_agg(f, ' ') FROM pg_ls_dir('pg_wal', true, false) AS f", "WAL")
    return tuple(name for name in (names or "").split() if parse_segment_name(name) is not None)


def wal_is_gone(names: Iterable[str], lsn: int) -> bool:
    """Whether a copy that has all before `lsn` finds no way on at one that has these segments. Pure.

    It asks for the whole segment that it is in: that is missing there, and later ones are not.
    """
    starts = {found[1] for name in names if (found := parse_segment_name(name)) is not None}
    needed = lsn - lsn % SEGMENT_BYTES
    return needed not in starts and max(starts, default=0) > needed


async def _ask(layout: Layout, source: Source, what: str, noun: str) -> tuple[Any, ...]:
    import psycopg

    try:
        async with (
            asyncio.timeout(ASK_SECONDS),
            await psycopg.AsyncConnection.connect(
                conninfo(source, layout, "aurora-agent", options=pins.options(), **_WHERE), autocommit=True
            ) as connection,
        ):
            row = await (await connection.execute(f"SELECT {what}".encode())).fetchone()
    except (psycopg.Error, TimeoutError) as error:
        why = (str(error).strip().splitlines() or ["no answer in time"])[0]
        raise Unavailable(f"cannot ask {source.host} for its {noun}: {why}") from error
    if row is None:
        raise Unavailable(f"{source.host} has not said anything of its {noun}")
    return row
