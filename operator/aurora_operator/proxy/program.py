"""A proxy's process from its start to its last client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import Final

from aurora_operator.api.agent.proxy import ProxySettings
from aurora_operator.api.base import names
from aurora_operator.net.http_server import serve
from aurora_operator.proxy.agents import Find, Identity
from aurora_operator.proxy.metrics import routes
from aurora_operator.proxy.places import Places
from aurora_operator.proxy.steering import Steering

log = logging.getLogger(__name__)

LEAD_SECONDS: Final = 3.0
"""How long new clients may still come after the pod was told to end: until all nodes know that it is going."""


async def run(settings: ProxySettings, places: Places, find: Find, *, me: str, wake_host: str | None = None) -> None:
    """Until SIGTERM, and until no client is left then. What fails is raised: the kubelet starts the container anew."""
    identity = await asyncio.to_thread(Identity, places.tls)
    steering = Steering(settings, places, identity, find, me, wake_host)
    begun, asked_to_end = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)

    async def end() -> None:
        await asked_to_end.wait()
        log.info("asked to end")
        await asyncio.sleep(LEAD_SECONDS)
        await steering.drain()

    health = routes(steering, lambda: begun.is_set() and not asked_to_end.is_set())
    serving = asyncio.create_task(serve(health, names.HEALTH_PORT, None, places.health))
    steers, ends = asyncio.create_task(steering.run(begun)), asyncio.create_task(end())
    try:
        done, _ = await asyncio.wait((serving, steers, ends), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (serving, steers, ends):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(serving, steers, ends, return_exceptions=True)
