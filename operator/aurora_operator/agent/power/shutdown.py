"""Stopping in order, because the cluster is to pause or stop: the writer when it is told to, the others after it.

Nobody stands for election meanwhile (`Wanted.stands`). The writer's shutdown ends when the others have received all
that it wrote, and its resignation tells them that it is over: so all copies stop with the same WAL, and promise the
next epoch at once when they come back, because each of them knows that no leader relies on it any more.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.lifecycle.lifecycle import Lifecycle
from aurora_operator.agent.member import life
from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.ports import clock
from aurora_operator.agent.power.idle_meter import sessions
from aurora_operator.consensus.state import ELECTED, Role
from aurora_operator.consensus.step import relied_upon
from aurora_operator.postgres.errors import PostgresError

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.1
RELOAD_SECONDS: Final = 0.3
PAUSING: Final = "the database cluster is about to pause"


class Shutdown:
    """Keeps PostgreSQL down while the settings say so."""

    def __init__(self, copy: Instance, lifecycle: Lifecycle) -> None:
        self._copy = copy
        self._lifecycle = lifecycle
        self._changed = asyncio.Event()

    def settings_changed(self) -> None:
        """Look at them."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        copy = self._copy
        while True:
            if copy.settings.power == "on":
                copy.halted = False
                self._changed.clear()
                await self._changed.wait()
                continue
            state = copy.driver.state
            if not copy.halted and state.role not in ELECTED and not relied_upon(state, clock()):
                log.info("the writer has stopped; so do we")
                copy.halted = True
            if copy.halted and copy.server.alive and not self._lifecycle.stopping:
                self._lifecycle.stop("fast")
            await asyncio.sleep(POLL_SECONDS)

    async def stop_writer(self) -> None:
        """Stop this copy, which leads. Raises Refused, when it is to pause and somebody is using it after all."""
        copy = self._copy
        if copy.settings.power == "on":
            raise Refused("the settings say that the cluster is to run")
        if copy.driver.state.role != Role.LEADING:
            raise Refused("this is not the open writer")
        if copy.halted:
            return
        if copy.settings.power == "paused":
            await self._shut_out()
        copy.halted = True
        self._lifecycle.stop("fast")

    async def _shut_out(self) -> None:
        """Let nobody in any more, and look once again whether somebody is in."""
        copy = self._copy
        copy.door.close(PAUSING)
        await asyncio.sleep(RELOAD_SECONDS)
        try:
            found = await sessions(copy)
        except PostgresError as error:
            found, why = 1, str(error)
        else:
            why = f"{found} sessions have come in"
        if found:
            copy.door.open()
            raise Refused(f"not pausing: {why}")

    def rest(self) -> None:
        """The agent ends, and answers nobody any more: keep it if no leader relies on this copy."""
        copy = self._copy
        state = copy.driver.state
        if copy.halted and state.role == Role.DOWN:
            life.rest(copy.store, state, clock())
