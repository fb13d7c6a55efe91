from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.controller import agents as module
from aurora_operator.controller.agents import MAX_BODY, AgentError, Agents, addresses_of, certificates_of
from aurora_operator.planning.certificates import pki
from aurora_operator.planning.model.plan_model import CheckParameters, PushSettings, Restart, Switchover, Unreachable

KEY = ("ns", "demo")
NOW = datetime.now(UTC)
CA = pki.make_authority("demo", pki.new_private_key(), NOW)
OPERATOR = pki.make_client(names.OPERATOR_CN, pki.new_private_key(), CA, NOW)
SERVER = pki.make_server("demo", ("*.demo-pods.ns.svc",), pki.new_private_key(), CA, NOW)
STATUS = AgentStatus(name="demo-1", incarnation="0123abcd", phase="Leading", role="writer", epoch=4)
SETTINGS = Settings(
    cluster="demo", namespace="ns", cluster_uid="u", revision=1, engine_version="17", bootstrap="demo-1",
    members=(), voters=(), write_quorum=1, database_name="app", master_username="app",
)  # fmt: skip


def secret(**data: str) -> dict[str, Any]:
    return {"data": {k.replace("_", "."): base64.b64encode(v.encode()).decode() for k, v in data.items()}}


def pod(instance: str, ip: str | None, phase: str = "Running") -> dict[str, Any]:
    return {"metadata": {"labels": {names.LABEL_INSTANCE: instance}}, "status": {"podIP": ip, "phase": phase}}


def children(*pods: dict[str, Any], ca: pki.Pair = CA) -> dict[str, dict[str, Any]]:
    secrets = {
        "demo-ca": secret(operator_crt=OPERATOR.certificate, operator_key=OPERATOR.key),
        "demo-tls": secret(ca_crt=ca.certificate),
    }
    return {"Pod": {str(i): p for i, p in enumerate(pods)}, "Secret": secrets}


def mocked(handler: Any) -> Agents:
    return Agents(connect=lambda context: httpx.AsyncClient(transport=httpx.MockTransport(handler)))


def test_only_pods_that_have_an_address_and_are_not_over() -> None:
    pods = children(
        pod("demo-2", "10.0.0.2"), pod("demo-1", "fd00::1"), pod("demo-3", None), pod("x", "10.0.0.4", "Failed")
    )
    found = addresses_of(KEY, pods)
    assert [a.instance for a in found] == ["demo-1", "demo-2"]
    assert found[0].url("/v1/status") == "https://[fd00::1]:8433/v1/status"
    assert found[1].host == "demo-2-0.demo-pods.ns.svc"


def test_certificates_are_there_or_not() -> None:
    assert certificates_of("demo", children()) == (CA.certificate, OPERATOR.certificate, OPERATOR.key)
    assert certificates_of("demo", {"Secret": {}}) is None
    assert certificates_of("demo", {"Secret": {"demo-ca": {"data": {"operator.crt": "%%%"}}}}) is None


async def test_statuses_of_all_at_once() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "10.0.0.1":
            return httpx.Response(200, text=STATUS.model_dump_json(by_alias=True))
        if request.url.host == "10.0.0.2":
            raise httpx.ConnectTimeout("too slow", request=request)
        return httpx.Response(200, json={"phase": "Dancing"})

    agents = mocked(answer)
    pods = children(pod("demo-1", "10.0.0.1"), pod("demo-2", "10.0.0.2"), pod("demo-3", "10.0.0.3"))
    found = await agents.statuses(KEY, pods)
    assert found["demo-1"] == STATUS
    assert found["demo-2"] == Unreachable("demo-2 does not answer GET /v1/status: too slow")
    assert isinstance(found["demo-3"], Unreachable)
    assert "not understood" in found["demo-3"].error
    await agents.close()


async def test_without_certificates_nobody_is_reachable() -> None:
    found = await Agents().statuses(KEY, {"Pod": {"p": pod("demo-1", "10.0.0.1")}})
    assert found == {"demo-1": Unreachable("the cluster's certificates are not there yet")}


async def test_calls() -> None:
    seen: list[tuple[str, str, str, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sni = request.extensions["sni_hostname"]
        seen.append((request.method, request.url.path, sni, request.content.decode() or None))
        if request.url.path == "/v1/settings":
            return httpx.Response(409, json={"error": "newer"})
        if request.url.path == "/v1/parameters/check":
            return httpx.Response(200, json={"errors": {"work_mem": "too much"}})
        return httpx.Response(202)

    agents = mocked(answer)
    pods = children(pod("demo-1", "10.0.0.1"))
    assert await agents.call(KEY, pods, PushSettings("demo-1", SETTINGS)) is None
    await agents.call(KEY, pods, Restart("demo-1"))
    await agents.call(KEY, pods, Switchover("demo-1", "demo-2"))
    result = await agents.call(KEY, pods, CheckParameters("demo-1", {"work_mem": "9TB"}, "f"))
    assert result is not None
    assert result.errors == {"work_mem": "too much"}
    host = "demo-1-0.demo-pods.ns.svc"
    assert [call[:3] for call in seen] == [
        ("PUT", "/v1/settings", host),
        ("POST", "/v1/restart", host),
        ("POST", "/v1/switchover", host),
        ("POST", "/v1/parameters/check", host),
    ]
    assert Settings.model_validate_json(seen[0][3] or "") == SETTINGS
    assert seen[2][3] == '{"target":"demo-2"}'
    await agents.close()


async def test_a_refusal_is_told_in_the_agents_words() -> None:
    agents = mocked(lambda request: httpx.Response(409, json={"error": "I am the writer."}))
    with pytest.raises(AgentError, match=r"demo-1 refuses POST /v1/restart: I am the writer\. \(409\)"):
        await agents.call(KEY, children(pod("demo-1", "10.0.0.1")), Restart("demo-1"))
    with pytest.raises(AgentError, match="demo-9 has no address yet"):
        await agents.call(KEY, children(pod("demo-1", "10.0.0.1")), Restart("demo-9"))
    await agents.close()


@pytest.fixture
async def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """An agent's listener on 127.0.0.1: it wants a certificate of the cluster, and notes whose it is."""
    (tmp_path / "pair.pem").write_text(SERVER.certificate + SERVER.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=CA.certificate)
    context.load_cert_chain(tmp_path / "pair.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        certificate = request.get_extra_info("peercert")
        seen.append(dict(part[0] for part in certificate["subject"])["commonName"])
        return web.Response(text=STATUS.model_dump_json(by_alias=True))

    app = web.Application()
    app.router.add_get("/v1/status", handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    monkeypatch.setattr(names, "API_PORT", runner.addresses[0][1])
    yield seen
    await runner.cleanup()


async def test_mutual_tls_by_address_with_the_pods_name(tls_server: list[str]) -> None:
    agents = Agents()
    found = await agents.statuses(KEY, children(pod("demo-1", "127.0.0.1")))
    assert found == {"demo-1": STATUS}
    assert tls_server == [names.OPERATOR_CN]
    await agents.close()


async def test_a_server_of_another_cluster_is_not_believed(tls_server: list[str]) -> None:
    agents = Agents()
    stranger = pki.make_authority("other", pki.new_private_key(), NOW)
    found = await agents.statuses(KEY, children(pod("demo-1", "127.0.0.1"), ca=stranger))
    assert isinstance(found["demo-1"], Unreachable)
    found = await agents.statuses(("elsewhere", "demo"), children(pod("demo-1", "127.0.0.1")))
    assert isinstance(found["demo-1"], Unreachable)
    assert "CERTIFICATE_VERIFY_FAILED" in found["demo-1"].error
    assert tls_server == []
    await agents.close()


async def answered(body: Any, **headers: str) -> AgentStatus | Unreachable:
    """What is made of a status with this body."""
    agents = mocked(lambda request: httpx.Response(200, content=body, headers=headers))
    found = await agents.statuses(KEY, children(pod("demo-1", "10.0.0.1")))
    await agents.close()
    return found["demo-1"]


async def test_of_an_answer_that_is_too_large_no_more_is_read_than_is_kept() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1 << 16
            yield b" " * (1 << 16)

    found = await answered(endless())
    assert found == Unreachable("demo-1 answers GET /v1/status with more than 1 MiB, or packed")
    assert taken <= MAX_BODY + (1 << 16)


async def test_what_is_packed_is_not_unpacked() -> None:
    found = await answered(gzip.compress(STATUS.model_dump_json().encode()), **{"Content-Encoding": "gzip"})
    assert isinstance(found, Unreachable)


async def test_an_answer_that_never_ends_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async with asyncio.timeout(10):
        assert await answered(drip()) == Unreachable("demo-1 does not answer GET /v1/status within 0.2 s")


async def test_a_pod_speaks_for_itself_only() -> None:
    found = await answered(STATUS.model_copy(update={"name": "demo-2"}).model_dump_json(by_alias=True))
    assert found == Unreachable("demo-1 says that it is 'demo-2'")
