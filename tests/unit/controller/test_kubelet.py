from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.unit.planning.volumes.test_kubelet_stats import CUT_OFF, pod, summary

from aurora_operator.api.base.volume import VolumeUse
from aurora_operator.controller.kubelet import KubeletError, VolumeStats, over_https
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.model.plan_model import Node

KEY = ("ns", "demo")
NODES = (Node("a", None, address="10.1.0.1"), Node("b", None, ready=False, address="10.1.0.2"), Node("c", None))
FULL = summary(capacityBytes=1000, availableBytes=100)


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.tokens = 0
        self.asked: list[tuple[str, str]] = []
        self.answer: Mapping[str, Any] | KubeletError = FULL
        self.stats = VolumeStats(self, "sys", "stats", self.ask, lambda: self.now)

    async def request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        assert (method, path) == ("POST", "/api/v1/namespaces/sys/serviceaccounts/stats/token")
        assert more["body"]["spec"] == {"expirationSeconds": 600}
        self.tokens += 1
        return {"status": {"token": f"token-{self.tokens}"}}

    async def ask(self, address: str, token: str) -> Mapping[str, Any]:
        self.asked.append((address, token))
        if isinstance(self.answer, KubeletError):
            raise self.answer
        return self.answer

    async def read(self, node: str = "a") -> Mapping[str, VolumeUse]:
        children = {"Pod": {"demo-1-0": pod("demo-1", node)}}
        return await self.stats.read(KEY, children, NODES, {"demo-1": CUT_OFF})


async def test_a_kubelet_is_asked_after_a_while_and_not_at_every_look() -> None:
    world = World()
    assert await world.read() == {} and not world.asked
    world.now += 31
    use = VolumeUse(size_bytes=1000, used_bytes=900)
    assert await world.read() == {"demo-1": use} == await world.read()
    assert world.asked == [("10.1.0.1", "token-1")]
    world.now += 16
    await world.read()
    world.now += 300
    await world.read()
    assert [token for _, token in world.asked] == ["token-1", "token-1", "token-2"]
    world.stats.forget(KEY)
    assert await world.read() == {}


@pytest.mark.parametrize("node", ["b", "c", "d"])
async def test_nodes_that_cannot_be_asked(node: str) -> None:
    world = World()
    await world.read(node)
    world.now += 31
    assert await world.read(node) == {} and not world.asked


async def test_a_kubelet_that_refuses_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.answer = KubeletError("it answers 403 Forbidden")
    await world.read()
    world.now += 31
    with caplog.at_level(logging.WARNING):
        assert await world.read() == {}
    assert "the kubelet of a tells nothing about volumes: it answers 403" in caplog.text
    assert "token" not in caplog.text


async def test_over_tls(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = pki.make_authority("kubelets", pki.new_private_key(), now)
    made = pki.make_server("a", ("a.test",), pki.new_private_key(), authority, now)
    files = {"ca.crt": authority.certificate, "tls.crt": made.certificate, "tls.key": made.key}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")

    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer good":
            return web.Response(status=401)
        return web.json_response(FULL)

    app = web.Application()
    app.router.add_get("/stats/summary", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    try:
        ask = over_https(verify=False, port=port)
        assert await ask("127.0.0.1", "good") == FULL
        with pytest.raises(KubeletError, match="401"):
            await ask("127.0.0.1", "bad")
        checked = over_https(verify=True, port=port, authority=str(tmp_path / "ca.crt"))
        with pytest.raises(KubeletError, match=r"insecureSkipTLSVerify"):
            await checked("127.0.0.1", "good")  # a certificate for another address
    finally:
        await runner.cleanup()
