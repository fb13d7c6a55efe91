"""The proxies that listen to this copy, and the moment that a stop in order gives them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

LEAVE_SECONDS: Final = 1.0
"""For so long a stop in order waits for the proxies' sessions to end: their clients' transactions, that is."""


class Proxies:
    """Proxies by their names. Of one event loop."""

    def __init__(self) -> None:
        self._listening: Counter[str] = Counter()
        self._left: set[str] = set()
        self._changed = asyncio.Event()
        self.leaving = False
        """PostgreSQL is about to be stopped in order."""

    @property
    def count(self) -> int:
        """How many listen."""
        return len(+self._listening)

    @contextlib.contextmanager
    def listening(self, proxy: str) -> Iterator[None]:
        """While this one has a stream from here."""
        self._listening[proxy] += 1
        try:
            yield
        finally:
            self._listening[proxy] -= 1
            self._changed.set()

    def left(self, proxy: str) -> None:
        """It has no session here any more, and begins none."""
        self._left.add(proxy)
        self._changed.set()

    def leave(self) -> None:
        """Let them know that PostgreSQL is about to stop."""
        self._left.clear()
        self.leaving = True

    async def gone(self) -> None:
        """Until all that listen have left, or have had the time to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                while set(+self._listening) - self._left:
                    self._changed.clear()
                    await self._changed.wait()

    def stay(self) -> None:
        """PostgreSQL has stopped."""
        self.leaving = False
