from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.agent.server.http import api, health
from aurora_operator.api.agent.messages import AcceptDataLoss, AgentStatus, BackupRequest, SnapshotRequest
from aurora_operator.api.agent.settings import Member, Settings
from aurora_operator.net.http_client import Client
from aurora_operator.net.http_server import Request, Routes, dispatch, serve

SETTINGS = Settings(
    cluster="demo",
    namespace="default",
    cluster_uid="u",
    revision=4,
    engine_version="17",
    bootstrap="demo-1",
    members=(Member(name="demo-1", ordinal=1, host="localhost"),),
    voters=("demo-1",),
    write_quorum=1,
    database_name="app",
    master_username="app",
)


class Service:
    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.target: str | None = "nobody asked"
        self.up = True
        self.backups: list[BackupRequest] = []
        self.kept: list[SnapshotRequest] = []
        self.survivors: tuple[str, ...] = ()
        self.wal = Path("/nonexistent")

    def status(self) -> AgentStatus:
        return AgentStatus(name="demo-1", incarnation="0a0b0c0d", phase="Leading", role="writer", lag_bytes=0)

    async def put_settings(self, settings: Settings) -> None:
        self.settings = settings

    async def check_parameters(self, parameters: dict[str, str]) -> dict[str, str]:
        return {name: f"{name} is unknown" for name in parameters}

    async def restart(self) -> None:
        raise Refused("this is the writer: switch over first")

    async def stop(self) -> None:
        raise Refused("the settings say that the cluster is to run")

    def switchover(self, target: str | None) -> None:
        self.target = target

    def backup(self, request: BackupRequest) -> None:
        if self.backups:
            raise Refused("a backup is under way here")
        self.backups.append(request)

    def snapshot(self, request: SnapshotRequest) -> None:
        self.kept.append(request)

    async def accept_data_loss(self, request: AcceptDataLoss) -> None:
        if request.lost != ("c/1",):
            raise Refused("not what was stated: these survivors give up c/1")
        self.survivors = request.survivors

    def wal_folder(self) -> Path:
        return self.wal

    def alive(self) -> bool:
        return self.up

    def ready(self) -> bool:
        return self.up


@pytest.fixture
def service() -> Service:
    return Service()


def asking(routes: Routes, peer: str | None = None) -> httpx.AsyncClient:
    """A client of these routes, without a network."""

    async def answer(asked: httpx.Request) -> httpx.Response:
        url = asked.url
        path = url.raw_path.decode().partition("?")[0]
        request = Request(asked.method, path, dict(url.params), await asked.aread(), peer)
        response = await dispatch(routes, request)
        body = response.body
        content = b"".join([piece async for piece in body]) if isinstance(body, AsyncIterator) else body
        return httpx.Response(response.status, headers={"Content-Type": response.content_type}, content=content)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://agent")


def as_peer(service: Service, peer: str | None) -> httpx.AsyncClient:
    """A client whose certificate has this name."""
    return asking(api(service), peer)


@pytest.fixture
def client(service: Service) -> httpx.AsyncClient:
    return as_peer(service, "aurora-operator")


async def test_status_is_camel_case(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/v1/status")).json()
    assert answer["lagBytes"] == 0
    assert AgentStatus.model_validate(answer).role == "writer"


async def test_settings_are_taken_whole(client: httpx.AsyncClient, service: Service) -> None:
    answer = await client.put("/v1/settings", content=SETTINGS.model_dump_json(by_alias=True))
    assert answer.status_code == 204
    assert service.settings == SETTINGS


async def test_a_bad_body_is_refused_with_a_sentence(client: httpx.AsyncClient, service: Service) -> None:
    answer = await client.put("/v1/settings", json={"cluster": "demo"})
    assert answer.status_code == 409
    assert "not a Settings" in answer.json()["error"]
    assert service.settings is None


async def test_a_refusal_carries_its_reason(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/restart")
    assert (answer.status_code, answer.json()) == (409, {"error": "this is the writer: switch over first"})


async def test_parameters_are_checked(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/parameters/check", json={"parameters": {"nope": "1"}})
    assert answer.json() == {"errors": {"nope": "nope is unknown"}}


async def test_switchover_names_its_target(client: httpx.AsyncClient, service: Service) -> None:
    assert (await client.post("/v1/switchover", json={"target": "demo-2"})).status_code == 202
    assert service.target == "demo-2"


async def test_a_backup_is_begun_once(client: httpx.AsyncClient, service: Service) -> None:
    body = {"kind": "incr", "token": "20261125T040000Z"}
    assert (await client.post("/v1/backup", json=body)).status_code == 202
    assert service.backups == [BackupRequest(kind="incr", token="20261125T040000Z")]
    assert (await client.post("/v1/backup", json=body)).status_code == 409


async def test_a_snapshot_is_begun_where_it_is_to_be(client: httpx.AsyncClient, service: Service) -> None:
    destination = {"s3": {"bucket": "backups", "endpoint": "s3.test"}, "path": "/b/snapshots/monday-1/1"}
    body = {"token": "uid", "repository": {"destination": destination, "stanza": "demo-1"}}
    assert (await client.post("/v1/snapshot", json=body)).status_code == 202
    assert [r.repository.destination.path for r in service.kept] == ["/b/snapshots/monday-1/1"]
    assert (await client.post("/v1/snapshot", json={"token": "uid"})).status_code == 409


async def test_probes_tell_the_truth(service: Service) -> None:
    async with asking(health(service, CollectorRegistry())) as client:
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        service.up = False
        assert (await client.get("/livez")).status_code == 503
        assert (await client.get("/readyz")).status_code == 503


async def test_data_loss_is_accepted_as_stated(client: httpx.AsyncClient, service: Service) -> None:
    body = {"survivors": ["a/1", "b/1"], "lost": ["c/1"], "configEpoch": 3, "configVersion": 2}
    answer = await client.post("/v1/accept-data-loss", json={**body, "lost": []})
    assert answer.status_code == 409
    assert answer.json() == {"error": "not what was stated: these survivors give up c/1"}
    answer = await client.post("/v1/accept-data-loss", json={**body, "survivors": []})
    assert answer.status_code == 409
    assert not service.survivors
    assert (await client.post("/v1/accept-data-loss", json=body)).status_code == 202
    assert service.survivors == ("a/1", "b/1")


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        ("aurora-operator", {"/v1/status", "/v1/switchover"}),
        ("aurora-agent", {"/v1/status", "/v1/wal", "/v1/wal/00000002.history"}),
        ("aurora_replication", set()),
        (None, set()),
    ],
)
async def test_each_may_do_what_it_is_for(service: Service, peer: str | None, may: set[str]) -> None:
    async with as_peer(service, peer) as client:
        answers = {
            path: (await client.request("POST" if "switch" in path else "GET", path, json={})).status_code
            for path in ("/v1/status", "/v1/switchover", "/v1/wal", "/v1/wal/00000002.history")
        }
    assert {path for path, code in answers.items() if code != 403} == may


async def test_wal_is_served_and_nothing_else(service: Service, tmp_path: Path) -> None:
    def segment(name: str, first: int) -> bytes:
        content = struct.pack("=HHIQ", 0xD116, 0, 1, first).ljust(16 << 20, b"x")
        (tmp_path / name).write_bytes(content)
        return content

    service.wal = tmp_path
    whole = segment("000000010000000000000002", 2 << 24)
    segment("000000010000000000000009", 2 << 24)  # kept for later under a name to come
    partial = segment("000000010000000000000003.partial", 3 << 24)
    (tmp_path / "000000010000000000000004.partial").write_bytes(b"not yet whole")
    (tmp_path / "00000002.history").write_text("1\t0/3000000\tx\n")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "00000003.history").symlink_to(tmp_path / "secret")
    async with as_peer(service, "aurora-agent") as client:
        assert (await client.get("/v1/wal")).json() == {
            "files": {
                "000000010000000000000002": 16 << 20,
                "000000010000000000000003.partial": 16 << 20,
                "00000002.history": 14,
            }
        }
        assert (await client.get("/v1/wal/000000010000000000000002")).content == whole
        assert (await client.get("/v1/wal/000000010000000000000003.partial")).content == partial
        assert (await client.get("/v1/wal/00000002.history")).text == "1\t0/3000000\tx\n"
        for name in ("secret", "..%2Fsecret", "000000010000000000000004.partial", "000000010000000000000009", "x"):
            assert (await client.get(f"/v1/wal/{name}")).status_code == 404, name
        assert (await client.get("/v1/wal/00000003.history")).status_code == 404


async def test_the_certificate_of_a_connection_counts(
    service: Service, certificates: Certificates, unused_tcp_port: int
) -> None:
    server = asyncio.create_task(serve(api(service), unused_tcp_port, certificates.server))
    try:
        for _ in range(100):
            await asyncio.sleep(0.02)
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
            except OSError:
                continue
            writer.close()
            break
        async with Client("localhost", unused_tcp_port, certificates.client, timeout=5) as client:
            assert (await client.request("GET", "/v1/status")).ok
            answer = await client.request("POST", "/v1/restart")
            assert (answer.status, answer.text) == (
                403,
                '{"error":"not for this certificate, but for aurora-operator"}',
            )
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
