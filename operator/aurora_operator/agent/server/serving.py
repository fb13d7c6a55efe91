"""Brings up the HTTP servers. Their libraries take a good part of the time that all imports take, and clients may wait
for the cluster to open: that goes first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aurora_operator.agent.member.member import Member
    from aurora_operator.agent.server.http import Service

LATEST_SECONDS: Final = 3.0
"""They come up after this time, whatever else the copy does."""
SETTLE_SECONDS: Final = 0.3
"""After it is at work: an opening leader writes the endpoint and the record first."""


async def serve(service: Service, copy: Member, host: str = "") -> None:
    """Serve until cancelled, from when the copy is at work on, on every address or on one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LATEST_SECONDS):
            await copy.at_work.wait()
            await asyncio.sleep(SETTLE_SECONDS)
    serve_all = await asyncio.to_thread(_load)
    await serve_all(service, copy, host)


def _load() -> Callable[[Service, Member, str], Awaitable[None]]:
    from prometheus_client import CollectorRegistry

    from aurora_operator.agent.server import http, standing
    from aurora_operator.agent.server.metrics import Metrics

    async def serve_all(service: Service, copy: Member, host: str) -> None:
        registry = CollectorRegistry()
        registry.register(Metrics(copy))
        await http.serve_all(service, standing.routes(copy), registry, copy.certificates.server, host)

    return serve_all
