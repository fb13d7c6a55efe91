"""What proxies hear of a copy, and how long a stop in order waits for them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from aurora_operator.agent.member import proxies as module
from aurora_operator.agent.member.member import Member
from aurora_operator.agent.member.proxies import Proxies
from aurora_operator.agent.server import standing
from aurora_operator.agent.server.http import for_proxies
from aurora_operator.api.agent.proxy import Standing
from aurora_operator.api.base.names import AGENT_CN, OPERATOR_CN, PROXY_USER
from aurora_operator.net.http_server import Request, dispatch


class Copy(SimpleNamespace):
    """A member, as far as its standing goes."""

    def __init__(self) -> None:
        super().__init__(
            role="writer",
            lag_seconds=0.04,
            proxies=Proxies(),
            environment=SimpleNamespace(instance="demo-1"),
            leader_epoch=lambda: 7,
        )

    @property
    def member(self) -> Member:
        return cast(Member, self)


async def test_each_change_is_told_and_silence_is_not_for_long() -> None:
    copy = Copy()
    said = standing.lines(copy.member, "one")

    async def heard() -> Standing:
        async with asyncio.timeout(10):
            return Standing.model_validate_json(await anext(said))

    first = await heard()
    assert (first.name, first.role, first.epoch, first.leaving, first.proxies) == ("demo-1", "writer", 7, False, 1)
    assert first.lag_seconds is None
    copy.proxies.leave()
    assert (await heard()).leaving
    copy.role = "reader"
    assert (await heard()).lag_seconds == 0.0
    copy.role = "log"
    assert (await heard()).role == "none"
    assert (await heard()).role == "none", "said again, though nothing has changed"
    await said.aclose()  # type: ignore[attr-defined]
    assert copy.proxies.count == 0


@pytest.mark.parametrize("peer", [OPERATOR_CN, AGENT_CN, "aurora_replication", None])
async def test_it_is_for_proxies_alone(peer: str | None) -> None:
    routes = for_proxies(standing.routes(Copy().member))
    for method, path in (("GET", "/v1/standing"), ("POST", "/v1/standing/left")):
        assert (await dispatch(routes, Request(method, path, {"proxy": "one"}, b"", peer))).status == 403


async def test_a_proxy_says_its_name() -> None:
    copy = Copy()
    routes = for_proxies(standing.routes(copy.member))
    for name, status in (("", 400), ("x" * 254, 400), ("one", 204)):
        answer = await dispatch(routes, Request("POST", "/v1/standing/left", {"proxy": name}, b"", PROXY_USER))
        assert answer.status == status


async def test_a_stop_waits_for_each_that_listens() -> None:
    found = Proxies()
    with found.listening("one"), found.listening("two"):
        found.leave()
        waiting = asyncio.create_task(found.gone())
        found.left("one")
        await asyncio.sleep(0.01)
        assert not waiting.done()
        found.left("two")
        await waiting
    found.stay()
    assert not found.leaving


async def test_one_that_hangs_up_is_waited_for_no_longer() -> None:
    found = Proxies()
    with found.listening("one"):
        found.leave()
        waiting = asyncio.create_task(found.gone())
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await waiting


async def test_one_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)
    found = Proxies()
    with found.listening("one"):
        found.leave()
        async with asyncio.timeout(10):
            await found.gone()


async def test_what_was_said_about_an_earlier_stop_counts_for_nothing() -> None:
    found = Proxies()
    with found.listening("one"):
        found.left("one")
        found.leave()
        waiting = asyncio.create_task(found.gone())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        found.left("one")
        await waiting
