"""Which of a cluster's servers a transfer works with, and what happens when that one goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from aurora_operator.postgres.errors import ToolError, Unavailable
from aurora_operator.postgres.export.server import Server, started

TRIES: Final = 5
PAUSE_SECONDS: Final = 1.0
_PASSING: Final = (
    "the database system is ",
    "too many clients",
    "connection slots are reserved",
    "too many connections",
)
T = TypeVar("T")


def may_pass(why: str) -> bool:
    """Whether a server that could not be reached for this reason may be reached later. Pure.

    What it has answered, such as that there is no such database, stays so; unless it was starting, stopping or full.
    """
    return "FATAL:" not in why or any(text in why for text in _PASSING)


class Servers:
    """Servers with the same data, the best one first."""

    def __init__(
        self, servers: Sequence[Server], database: str, say: Callable[[str], None], *, patience: float = 0
    ) -> None:
        """`patience`: seconds to wait until one answers."""
        self._servers = list(servers)
        self._database = database
        self._say = say
        self._patience = patience

    async def answering(self) -> tuple[Server, str]:
        """The first that answers, and since when it runs. Raises Unavailable when there is none in time."""
        end = time.monotonic() + self._patience
        said = ""
        while True:
            reasons = []
            for server in self._servers:
                try:
                    return server, await started(server, self._database)
                except Unavailable as error:
                    reasons.append(str(error))
            if time.monotonic() >= end or not any(map(may_pass, reasons)):
                raise Unavailable(reasons[0])
            if reasons[0] != said:
                said = reasons[0]
                self._say(f"waiting for a server: {said}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def persist(self, work: Callable[[Server], Awaitable[T]]) -> T:
        """Do what may be done again from its beginning, with another server if the one that does it goes or restarts.

        Raises what `work` raises while its server stays, and Unavailable.
        """
        for left in reversed(range(TRIES)):
            server, life = await self.answering()
            try:
                return await work(server)
            except (ToolError, Unavailable) as error:
                if left == 0 or await self._lives(server, life):
                    raise
                self._say(f"{server.host} has gone, so it begins anew: {str(error).splitlines()[0]}")
                self._servers.remove(server)
                self._servers.append(server)
        raise AssertionError("unreachable")

    async def _lives(self, server: Server, life: str) -> bool:
        """Whether it is the same that it was: by its own answer, not by what a program says of it."""
        try:
            return await started(server, self._database) == life
        except Unavailable:
            return False
