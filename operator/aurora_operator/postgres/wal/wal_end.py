"""Where valid WAL ends, as PostgreSQL's own reader (pg_waldump) finds it: that is what a candidate would replay."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import SEGMENT_BYTES, format_lsn, parse_lsn, segment_name
from aurora_operator.postgres.errors import ToolError
from aurora_operator.postgres.files import like_parent, make_directory
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal.wal_record import SHORT_HEADER_BYTES, continuation_end, parse_page, read_record_end

_LAST: Final = re.compile(r"error in WAL record at ([0-9A-F]+/[0-9A-F]+): ", re.ASCII)
_NONE: Final = "could not find a valid record after"
_SECONDS: Final = 60.0


class WalEnd:
    """Finds ends, and remembers them: each search begins at the end found before, or at the newest segment."""

    def __init__(self, tools: Tools, scratch: Path) -> None:
        """`scratch` is a directory for links to the files, under the names that pg_waldump wants."""
        self._tools = tools
        self._scratch = scratch
        self._found: dict[int, int] = {}

    async def find(self, timeline: int, files: Mapping[int, Path]) -> int | None:
        """The end of the newest whole record on a timeline; None when there is none.

        `files` are its segment files by the LSN of their first byte, under whatever names. Only those that follow
        each other up to the newest count. Raises ToolError, OSError.
        """
        # A new file is zeros at first, and pg_waldump makes nothing of a segment without its first page.
        files = {first: path for first, path in files.items() if _begun(path, first)}
        if not files:
            return None
        first = max(files)
        known = self._found.get(timeline)
        while True:
            inside = known is not None and first <= known < first + SEGMENT_BYTES
            start = known if inside and known is not None else first
            last = await self._last_record(timeline, files, start)
            if last is not None:
                end = read_record_end(last, lambda lsn, size: _read(files, lsn, size))
                break
            if inside:
                end = known  # It was the end of a whole record, and no whole one follows.
                break
            if first - SEGMENT_BYTES not in files:
                end = continuation_end(first, lambda lsn, size: _read(files, lsn, size))
                break
            first -= SEGMENT_BYTES
        if end is not None:
            self._found[timeline] = end
        return end

    def forget(self) -> None:
        """The files have been changed other than by receiving more."""
        self._found.clear()

    async def _last_record(self, timeline: int, files: Mapping[int, Path], start: int) -> int | None:
        """Where the last whole record begins, of those that begin at `start` or later; None when none does."""
        folder, beyond = self._link(timeline, files, start)
        try:
            args = ["--quiet", f"--path={folder}", f"--start={format_lsn(start)}"]
            try:
                # Without a last segment it would stop, content, at the end of the first.
                await self._tools.run(
                    "pg_waldump", *args, segment_name(timeline, start), segment_name(timeline, beyond), timeout=_SECONDS
                )
            except ToolError as error:
                if (match := _LAST.search(error.output)) is not None:
                    return parse_lsn(match[1]) or None
                if _NONE in error.output:
                    return None
                raise
            raise ToolError("pg_waldump", 0, f"no end of WAL after {format_lsn(start)}")
        finally:
            shutil.rmtree(folder)

    def _link(self, timeline: int, files: Mapping[int, Path], start: int) -> tuple[Path, int]:
        """A directory of links, and the LSN of an empty segment after the last."""
        make_directory(self._scratch)
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        like_parent(folder)
        first = start // SEGMENT_BYTES * SEGMENT_BYTES
        while first in files:
            (folder / segment_name(timeline, first)).symlink_to(files[first])
            first += SEGMENT_BYTES
        # It waits for seconds for a file that is not there; at one without WAL in it, it ends at once.
        zeros = folder / segment_name(timeline, first)
        with zeros.open("wb") as file:
            file.truncate(SEGMENT_BYTES)
        like_parent(zeros)
        return folder, first


def _begun(path: Path, first: int) -> bool:
    """Whether the first page of a segment has been written."""
    with path.open("rb") as file:
        page = parse_page(file.read(SHORT_HEADER_BYTES))
    return page is not None and page.lsn == first


def _read(files: Mapping[int, Path], lsn: int, size: int) -> bytes:
    path = files.get(lsn // SEGMENT_BYTES * SEGMENT_BYTES)
    if path is None:
        return b""
    with path.open("rb") as file:
        file.seek(lsn % SEGMENT_BYTES)
        return file.read(size)
