"""The small client of Kubernetes: what comes back is an object, or an error with a sentence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.net.http_client import Client
from aurora_operator.net.http_server import Limits, Request, Response, serve
from aurora_operator.net.kubernetes import Conflict, KubeError, Kubernetes, at, items

PATH = "/api/v1/x"


@contextlib.asynccontextmanager
async def answering(certificates: Certificates, folder: Path, port: int, answer: Response) -> AsyncIterator[Kubernetes]:
    async def handle(_: Request) -> Response:
        return answer

    opened = asyncio.Event()
    routes = {PATH: dict.fromkeys(("GET", "PUT", "PATCH"), handle)}
    task = asyncio.create_task(
        serve(routes, port, certificates.server, "127.0.0.1", limits=Limits(), ready=lambda _: opened.set())
    )
    await asyncio.wait_for(opened.wait(), 10)
    (folder / "token").write_text("t")
    api = Kubernetes(folder, Client("localhost", port, certificates.client, timeout=5, max_body=1000))
    try:
        yield api
    finally:
        await api.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(200, b""), "no JSON"),
        (Response(200, b"\xff"), "no JSON"),
        (Response(200, b"["), "no JSON"),
        (Response(200, b"[1]"), "no object"),
        (Response(200, b"x" * 2000), "too large"),
        (Response(403, b'{"message": "forbidden"}'), "403 .*forbidden"),
        (Response(500, b"\xff"), "500"),
    ],
)
async def test_anything_else_than_an_object_is_an_error(
    certificates: Certificates, tmp_path: Path, unused_tcp_port: int, answer: Response, error: str
) -> None:
    async with answering(certificates, tmp_path, unused_tcp_port, answer) as api:
        with pytest.raises(KubeError, match=f"GET {PATH}: .*{error}"):
            await api.get(PATH)


async def test_an_object_a_conflict_and_a_token_that_is_not_there(
    certificates: Certificates, tmp_path: Path, unused_tcp_port: int
) -> None:
    async with answering(certificates, tmp_path, unused_tcp_port, Response(200, b'{"a": 1}')) as api:
        assert await api.patch(PATH, {}) == {"a": 1}
        (tmp_path / "token").unlink()
        with pytest.raises(KubeError, match="token"):
            await api.get(PATH)
    async with answering(certificates, tmp_path, unused_tcp_port, Response(409)) as api:
        with pytest.raises(Conflict):
            await api.put(PATH, {})


def test_what_stands_where() -> None:
    value = {"a": [{"b": "c"}], "n": None}
    assert at(value, "a", 0, "b") == "c"
    assert at(value, "a", 1, "b") is at(value, "n", "x") is at(value, "a", "b") is at(None, 0) is None
    assert items(value, "a") == [{"b": "c"}]
    assert items(value, "n") == items(value, "a", 0) == []
