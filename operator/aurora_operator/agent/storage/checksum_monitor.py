"""Watching for damaged pages: PostgreSQL counts those whose checksum is wrong. A writer hands over first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aurora_operator.agent.member.instance import Instance
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.leader import switchover_refusal
from aurora_operator.consensus.state import Role
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.server.ailments import SENTENCES
from aurora_operator.postgres.sql import queries

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0


class ChecksumMonitor:
    """Runs for the whole life of an instance's agent."""

    def __init__(self, copy: Instance, clone: Callable[[], None]) -> None:
        """`clone` has this copy cloned again, its data kept until that is complete."""
        self._copy = copy
        self._clone = clone

    async def run(self) -> None:
        """Until cancelled."""
        copy = self._copy
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                if copy.ailment is None and copy.server.state() == "ready":
                    failures = await queries.checksum_failures(copy.session)
                    if failures:
                        copy.ailment = "corruption"
                        log.error("%d pages had a wrong checksum: %s", failures, SENTENCES["corruption"])
                if copy.ailment == "corruption" and copy.server.state() == "ready":
                    self._act()
            except PostgresError as error:
                log.info("looking for damage: %s", error)

    def _act(self) -> None:
        copy = self._copy
        state = copy.driver.state
        if state.role == Role.LEADING:
            refusal = switchover_refusal(state, None)
            copy.say("Leading", SENTENCES["corruption"] + (f"; it leads on since {refusal}" if refusal else ""))
            if refusal is None:
                copy.driver.post(ev.SwitchoverRequested(None))
        elif state.role == Role.STANDBY and copy.follows_open_leader():
            copy.say("Failed", SENTENCES["corruption"])
            self._clone()
