"""One job at a time on PostgreSQL: a new one ends the old one first, as the effects' cancellation rules say."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]


class TaskSlot:
    """Runs the newest job given to it. Jobs are cancelled at their awaits; they clean up before they end."""

    def __init__(self, name: str, on_error: Callable[[BaseException], None]) -> None:
        """`on_error` gets what a job did not expect; what it expects, it handles itself."""
        self._name = name
        self._on_error = on_error
        self._task: asyncio.Task[None] | None = None

    def start(self, what: str, job: Job) -> None:
        """Cancel what runs, wait for its end, and run `job`."""
        self._task = asyncio.create_task(self._run(what, job, self._task), name=f"{self._name}-{what}")

    async def _run(self, what: str, job: Job, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            before.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await before
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise asyncio.CancelledError
        try:
            await job()
        except Exception as error:
            log.exception("%s: %s failed", self._name, what)
            self._on_error(error)

    async def cancel(self) -> None:
        """End what runs, and wait for that."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
