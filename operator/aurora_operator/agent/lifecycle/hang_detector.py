"""Notices a PostgreSQL that runs and answers nobody: its processes are stopped, or wait for something for good."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aurora_operator.agent.member.instance import Instance
from aurora_operator.consensus.state import PROMOTED
from aurora_operator.postgres.errors import PostgresError, Unavailable
from aurora_operator.postgres.sql.session import Session

log = logging.getLogger(__name__)

PERIOD_SECONDS = 0.5
MOMENT_SECONDS = 0.2
READER_PATIENCE_SECONDS = 15.0
"""Of a reader: nobody waits for it, and starting again costs its clients their sessions."""


class HangDetector:
    """Asks the server of this pod again and again, on a connection of its own, on which nothing else waits."""

    def __init__(
        self,
        session: Session,
        *,
        heard: Callable[[], float],
        serving: Callable[[], bool],
        patience: Callable[[], float],
        stop: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`heard`: when it last answered somebody else, who need not be asked again (by `clock`, which is monotonic);
        `serving`: whether it takes sessions; `patience`: seconds that it may be silent; `stop` ends it."""
        self._session = session
        self._heard = heard
        self._serving = serving
        self._patience = patience
        self._stop = stop
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        answered = self._clock()
        while True:
            answer = await self._answer(answered + self._patience())
            now = self._clock()
            left = answered + self._patience() - now
            pause = PERIOD_SECONDS
            if answer is not None:
                answered = answer
            elif left <= 0:
                log.error("PostgreSQL has not answered for %.1f s; stopping it", now - answered)
                self._stop()
                answered = now
            else:
                pause = min(pause, left)
            await asyncio.sleep(pause)

    async def _answer(self, deadline: float) -> float | None:
        """When it answered last; None if it should have and has not. A refusal is an answer.

        Waited for until the deadline (monotonic clock), but always for a moment.
        """
        asked = self._clock()
        if not self._serving():
            await self._session.close()
            return asked
        heard = self._heard()
        if asked - heard < self._patience() / 6:
            return heard
        try:
            async with asyncio.timeout(max(deadline - asked, MOMENT_SECONDS)):
                await self._session.row("SELECT 1")
        except TimeoutError:
            return None
        except Unavailable:
            now = self._clock()
            return None if now - asked > PERIOD_SECONDS else now
        except PostgresError:
            pass
        return self._clock()


def detector_of(copy: Instance, stop: Callable[[], None]) -> HangDetector:
    """Of a copy's server: a leader's silence is borne for a lease, since nobody else leads before it ends."""

    def patience() -> float:
        leading = copy.driver.state.role in PROMOTED
        return copy.settings.timings.lease_ms / 1000 if leading else READER_PATIENCE_SECONDS

    return HangDetector(
        Session(copy.layout.run, timeout=1),
        heard=lambda: max(copy.session.answered, copy.watching.answered),
        serving=lambda: copy.server.state() == "ready",
        patience=patience,
        stop=stop,
    )
