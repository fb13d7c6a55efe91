"""`GET /v1/standing`: what a proxy has to know of this copy, as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Literal, cast

from aurora_operator.agent.member.member import Member
from aurora_operator.api.agent.proxy import STANDING_SECONDS, Standing
from aurora_operator.net.http_server import Request, Response, Routes, say

LOOK_SECONDS: Final = 0.02
"""How late a proxy may hear of a change."""
MOST_NAME: Final = 253


def standing(copy: Member) -> Standing:
    """As of now."""
    role = copy.role if copy.role in ("writer", "reader") else "none"
    lag = None if copy.lag_seconds is None else round(copy.lag_seconds, 1)
    return Standing(
        name=copy.environment.instance,
        role=cast(Literal["writer", "reader", "none"], role),
        epoch=copy.leader_epoch(),
        leaving=copy.proxies.leaving,
        lag_seconds=lag if role == "reader" else None,
        proxies=copy.proxies.count,
    )


async def lines(copy: Member, proxy: str) -> AsyncIterator[bytes]:
    """One at each change, and in between so that the proxy knows that this copy lives. Without end."""
    loop = asyncio.get_running_loop()
    with copy.proxies.listening(proxy):
        told, say_at = None, 0.0
        while True:
            now = standing(copy)
            if now != told or loop.time() >= say_at:
                told, say_at = now, loop.time() + STANDING_SECONDS
                yield now.model_dump_json(by_alias=True).encode() + b"\n"
            await asyncio.sleep(LOOK_SECONDS)


def routes(copy: Member) -> Routes:
    """For proxies; whoever asks has shown that it is one."""

    def name_of(request: Request) -> str | None:
        name = request.query.get("proxy", "")
        return name if 0 < len(name) <= MOST_NAME else None

    async def listen(request: Request) -> Response:
        proxy = name_of(request)
        if proxy is None:
            return say(400, "a proxy says its name")
        return Response(body=lines(copy, proxy), content_type="application/x-ndjson")

    async def left(request: Request) -> Response:
        proxy = name_of(request)
        if proxy is None:
            return say(400, "a proxy says its name")
        copy.proxies.left(proxy)
        return Response(204)

    return {"/v1/standing": {"GET": listen}, "/v1/standing/left": {"POST": left}}
