"""pg_receivewal as a child process: one run, from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

from aurora_operator.postgres.config.conf import Source, conninfo, follower_name
from aurora_operator.postgres.errors import ServerError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.tools import Tools

Trouble = Literal["gone", "full", "disk", "other"]
"""Why it ended: the source no longer has the WAL; the volume is full, or fails; anything else, worth trying again."""

_TAIL_LINES: Final = 20
_GONE: Final = ("has already been removed", "can no longer get changes from", "no longer be read from")
_STREAMING: Final = "starting log streaming at"


def trouble(lines: Sequence[str]) -> Trouble:
    """What the last lines of a receiver's complaints mean. Pure."""
    text = "\n".join(lines)
    if "No space left on device" in text or "Disk quota exceeded" in text:
        return "full"
    if "Input/output error" in text or "Read-only file system" in text or "Structure needs cleaning" in text:
        return "disk"
    return "gone" if any(words in text for words in _GONE) else "other"


class Receiver:
    """Streams WAL into a directory and acknowledges what it has flushed. Not reusable across event loops."""

    def __init__(
        self,
        tools: Tools,
        layout: Layout,
        *,
        copy: str,
        on_line: Callable[[str], None],
        inherit_fds: Sequence[int] = (),
    ) -> None:
        """`copy` is the id that it streams as; `inherit_fds` are open in it as long as it lives."""
        self._tools = tools
        self._layout = layout
        self._copy = copy
        self._on_line = on_line
        self._inherit = tuple(inherit_fds)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.streaming = False
        """Whether this run has begun to stream."""

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def last_words(self) -> tuple[str, ...]:
        """What it said last, oldest first."""
        return tuple(self._tail)

    async def start(self, folder: Path, source: Source, slot: str | None, epoch: int) -> None:
        """Begin where the WAL in `folder` ends; in an empty one, where the slot is, or else where the source is.

        `epoch` is the source's, with whose history that WAL was compared: only then it may acknowledge.

        Raises ServerError.
        """
        if self.pid is not None:
            raise ServerError("pg_receivewal runs already")
        self._tail.clear()
        self.streaming = False
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._tools.path("pg_receivewal"),
                f"--dbname={conninfo(source, self._layout, follower_name(self._copy, epoch))}",
                f"--directory={folder}",
                *([f"--slot={slot}"] if slot is not None else []),
                "--synchronous",
                "--no-loop",
                "--no-password",
                "--status-interval=1",
                "--verbose",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                start_new_session=True,
                pass_fds=self._inherit,
                **self._tools.process_options(),
            )
        except OSError as error:
            raise ServerError(f"cannot start pg_receivewal: {error}") from error
        self._reading = asyncio.create_task(self._read(self._process.stderr), name="pg_receivewal-output")

    async def wait(self) -> int:
        """Wait until it has ended; returns how. What it said is all in `last_words` then."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        if self._reading is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.shield(self._reading)
        return code

    async def stop(self) -> None:
        """Kill it, and see it gone: it acknowledges nothing any more when this returns. Cancellable, to be repeated.

        It is not asked to end by itself: that could take a last round trip to a source that does not answer.
        """
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        self.streaming = False

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None  # noqa: S101
        while line := await stream.readline():
            text = line.decode(errors="replace").rstrip()
            self._tail.append(text[:1000])
            self.streaming = self.streaming or _STREAMING in text
            self._on_line(text)
