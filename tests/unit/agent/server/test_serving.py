"""When the HTTP servers come up; what they serve is in test_http.py."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from aurora_operator.agent.server import serving


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once the libraries have been loaded and the servers are up."""
    up = asyncio.Event()

    async def serve_all(*_: object) -> None:
        up.set()

    monkeypatch.setattr(serving, "_load", lambda: serve_all)
    return up


async def test_they_wait_until_the_copy_is_at_work(started: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LATEST_SECONDS", 60.0)
    monkeypatch.setattr(serving, "SETTLE_SECONDS", 0.0)
    service: Any = None
    copy: Any = SimpleNamespace(at_work=asyncio.Event())
    task = asyncio.create_task(serving.serve(service, copy))
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not started.is_set()
    copy.at_work.set()
    async with asyncio.timeout(10):
        await task
    assert started.is_set()


async def test_they_do_not_wait_for_long(started: asyncio.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LATEST_SECONDS", 0.01)
    service: Any = None
    copy: Any = SimpleNamespace(at_work=asyncio.Event())
    async with asyncio.timeout(10):
        await serving.serve(service, copy)
    assert started.is_set()
