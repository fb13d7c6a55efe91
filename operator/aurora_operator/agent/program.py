"""The program of a database container: which agent it is, and where its log goes."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from collections.abc import Callable
from typing import Protocol

from pythonjsonlogger.json import JsonFormatter

from aurora_operator.agent.member.environment import Environment
from aurora_operator.agent.ports import Ports
from aurora_operator.agent.process.memory import use_small_tls_buffers
from aurora_operator.api.agent.settings import Settings
from aurora_operator.postgres.errors import VolumeInUse

log = logging.getLogger(__name__)

VOLUME_POLL_SECONDS = 0.2


class _Agent(Protocol):
    async def run(self) -> None: ...


def _kind(environment: Environment) -> Callable[[Environment, Settings, Ports], _Agent]:
    """The agent of this kind of copy; only its own modules are imported: memory is counted."""
    if environment.kind == "log":
        from aurora_operator.agent.log_copy.agent import LogAgent

        return LogAgent
    from aurora_operator.agent.instance import Agent

    return Agent


async def _once_free(make: Callable[[], _Agent]) -> _Agent:
    """Make the agent once no other container uses the volume: after a forced delete that takes a moment."""
    said = False
    while True:
        try:
            return make()
        except VolumeInUse as error:
            if not said:
                log.warning("%s; waiting", error)
                said = True
            await asyncio.sleep(VOLUME_POLL_SECONDS)


def _log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


async def run(environment: Environment, ports: Ports) -> None:
    """Until SIGTERM."""
    _log_to_stdout()
    settings = Settings.model_validate(json.loads((environment.settings / "settings.json").read_text()))
    use_small_tls_buffers()
    kind = _kind(environment)
    agent = await _once_free(lambda: kind(environment, settings, ports))
    gc.freeze()
    gc.enable()
    await agent.run()
