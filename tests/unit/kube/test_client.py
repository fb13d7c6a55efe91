from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from aurora_operator.kube.client import APPLY, JSON_PATCH, Client, served
from aurora_operator.kube.errors import ApiError, Forbidden, NoAnswer


class Server:
    """An HTTP server that notes what it is asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None, Any]] = []
        self.url = ""
        self.over = asyncio.Event()
        """The test is: nobody waits for an answer any more."""

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else None
        self.seen.append((request.method, request.path_qs, request.headers.get("Content-Type"), body))
        match request.path:
            case "/api/v1/slow":
                await self.over.wait()
            case "/api/v1/secret":
                return web.json_response({"kind": "Status", "reason": "Forbidden", "message": "no"}, status=403)
            case "/api/v1/page":
                return web.Response(text="<html>")
            case "/apis/none.example/v1":
                return web.json_response({"reason": "NotFound"}, status=404)
        return web.json_response({"ok": True, "authorization": request.headers.get("Authorization")})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.over.set()
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    configuration = Configuration(host=server.url)
    configuration.api_key["BearerToken"] = "Bearer abc"
    async with ApiClient(configuration) as api:
        yield Client(api, within=1.0)


async def test_sends_json_with_query_and_credentials(server: Server, client: Client) -> None:
    query = {"fieldManager": "aurora-operator", "force": "true"}
    answer = await client.request("PATCH", "/api/v1/x", query=query, body={"a": 1}, content_type=APPLY)
    assert answer == {"ok": True, "authorization": "Bearer abc"}
    await client.request("PATCH", "/api/v1/y", body=[{"op": "add"}], content_type=JSON_PATCH)
    assert server.seen == [
        ("PATCH", "/api/v1/x?fieldManager=aurora-operator&force=true", APPLY, {"a": 1}),
        ("PATCH", "/api/v1/y", JSON_PATCH, [{"op": "add"}]),
    ]


async def test_every_call_ends(client: Client) -> None:
    started = time.monotonic()
    with pytest.raises(NoAnswer, match=r"GET /api/v1/slow: no answer within 1 s"):
        await client.request("GET", "/api/v1/slow")
    with pytest.raises(NoAnswer, match=r"within 0\.1 s"):
        await client.request("GET", "/api/v1/slow", within=0.1)
    assert time.monotonic() - started < 3


async def test_errors_are_ours(client: Client) -> None:
    with pytest.raises(Forbidden, match=r"no \(403 Forbidden\)"):
        await client.request("GET", "/api/v1/secret")
    with pytest.raises(ApiError, match="not JSON"):
        await client.request("GET", "/api/v1/page")


async def test_nobody_there() -> None:
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as api:
        with pytest.raises(NoAnswer):
            await Client(api).request("GET", "/api/v1/x")


async def test_served(client: Client) -> None:
    assert not await served(client, "none.example/v1")
    assert await served(client, "some.example/v1")
