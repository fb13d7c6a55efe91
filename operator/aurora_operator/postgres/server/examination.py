"""Looking for ourselves at what is wrong with a volume, once PostgreSQL has ended on it, or does not start."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aurora_operator.api.agent.messages import Ailment
from aurora_operator.api.base.lsn import SEGMENT_BYTES, format_lsn, segment_name
from aurora_operator.postgres import disk
from aurora_operator.postgres.errors import DataError, ToolError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.running_time import within
from aurora_operator.postgres.server.ailments import Block, hinted_blocks, hinted_files, of_error
from aurora_operator.postgres.server.control import Control, read_control
from aurora_operator.postgres.server.page import PAGE_BYTES, SEGMENT_PAGES, is_intact
from aurora_operator.postgres.tools import Tools

DEADLINE_SECONDS: Final = 30.0
"""A volume that has not answered our own reads for so long fails."""
_CHUNK: Final = 1 << 20
_NEEDED: Final = ("global/pg_filenode.map", "pg_xact", "pg_multixact/offsets", "pg_multixact/members", "pg_wal")
"""Without these no data directory is one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and by which sign."""

    ailment: Ailment
    sign: str


async def examine(
    tools: Tools,
    layout: Layout,
    said: Iterable[str],
    *,
    deadline: float = DEADLINE_SECONDS,
) -> Finding | None:
    """What our own reads and writes of the volume find; None where they find nothing. With PostgreSQL down.

    `said` is what it said: it names places, and is believed in nothing. `deadline` is in seconds.
    """

    async def look() -> Finding | None:
        found = await asyncio.to_thread(_try_volume, layout)
        if found is None and layout.pgdata.exists():
            found = await _read_data(tools, layout, list(said))
        return found

    try:
        return await within(deadline, look())
    except TimeoutError:
        return Finding("disk", f"it has not answered for {deadline:g} s")


async def _read_data(tools: Tools, layout: Layout, lines: list[str]) -> Finding | None:
    try:
        control = await read_control(tools, layout.pgdata)
    except (ToolError, DataError) as error:
        return await asyncio.to_thread(_unreadable, layout.pgdata / "global" / "pg_control") or Finding(
            "corruption", f"pg_control: {error}"
        )
    found = await asyncio.to_thread(_read_places, layout.pgdata, lines, control.checksums)
    return found or await _read_checkpoint(tools, layout, control)


def _try_volume(layout: Layout) -> Finding | None:
    error = disk.trial(layout.data)
    ailment = of_error(error) if error is not None else None
    if error is not None and ailment is not None:
        return Finding(ailment, f"writing to it ends in: {error.strerror}")
    return None


def _unreadable(path: Path, start: int = 0, size: int | None = None) -> Finding | None:
    """Read a file, or a part of it, past the page cache where that is possible."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, start, size or 0, os.POSIX_FADV_DONTNEED)
            left = os.fstat(fd).st_size - start if size is None else size
            while left > 0 and (data := os.pread(fd, min(left, _CHUNK), start)):
                start, left = start + len(data), left - len(data)
        finally:
            os.close(fd)
    except OSError as error:
        ailment = of_error(error)
        return Finding(ailment, f"reading {path.name} ends in: {error.strerror}") if ailment is not None else None
    return None


def _read_places(pgdata: Path, lines: list[str], checksums: bool) -> Finding | None:
    for name in _NEEDED:
        try:
            (pgdata / name).stat()
        except FileNotFoundError:
            return Finding("corruption", f"{name} is missing")
        except OSError as error:
            if (ailment := of_error(error)) is not None:
                return Finding(ailment, f"looking at {name} ends in: {error.strerror}")
    for block in hinted_blocks(lines) if checksums else ():
        found = _read_block(pgdata, block)
        if found is not None:
            return found
    for name in hinted_files(lines):
        found = _unreadable(pgdata / name)
        if found is not None:
            return found
    return None


def _read_block(pgdata: Path, block: Block) -> Finding | None:
    segment, number = divmod(block.number, SEGMENT_PAGES)
    path = pgdata / (f"{block.relation}.{segment}" if segment else block.relation)
    found = _unreadable(path, number * PAGE_BYTES, PAGE_BYTES)
    if found is not None:
        return found
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(number * PAGE_BYTES)
        if not is_intact(file.read(PAGE_BYTES), block.number):
            return Finding("corruption", f"page {block.number} of {block.relation} has a wrong checksum")
    return None


async def _read_checkpoint(tools: Tools, layout: Layout, control: Control) -> Finding | None:
    """PostgreSQL starts at the checkpoint that pg_control names, or not at all; a fresh copy starts elsewhere."""
    if (layout.pgdata / "backup_label").exists():
        return None
    name = segment_name(control.checkpoint_timeline, control.checkpoint - control.checkpoint % SEGMENT_BYTES)
    where = format_lsn(control.checkpoint)
    # After a promotion, a later timeline's file holds it too.
    timelines = sorted(int(path.name[:8], 16) for path in layout.wal.glob(f"*{name[8:]}") if len(path.name) == 24)
    slow = False
    for timeline in timelines:
        options = ("--timeline", str(timeline), "--start", where, "--limit", "1")
        try:
            await tools.run("pg_waldump", "--quiet", "--path", layout.wal, *options, timeout=10)
        except ToolError as error:
            if error.returncode is None:
                slow = True
                break  # a slow program is no sign yet: the files are read below
            continue
        return None
    for timeline in timelines:
        found = await asyncio.to_thread(_unreadable, layout.wal / f"{timeline:08X}{name[8:]}")
        if found is not None:
            return found
    if slow:
        return None
    return Finding("corruption", f"there is no record at {where}, where recovery has to begin")
