from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry

from aurora_operator.agent.http import Refused, api, health
from aurora_operator.api.agent import AcceptDataLoss, AgentStatus
from aurora_operator.api.settings import Member, Settings

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
        self.survivors: tuple[str, ...] = ()

    def status(self) -> AgentStatus:
        return AgentStatus(name="demo-1", incarnation="0a0b0c0d", phase="Leading", role="writer", lag_bytes=0)

    async def put_settings(self, settings: Settings) -> None:
        self.settings = settings

    async def check_parameters(self, parameters: dict[str, str]) -> dict[str, str]:
        return {name: f"{name} is unknown" for name in parameters}

    async def restart(self) -> None:
        raise Refused("this is the writer: switch over first")

    def switchover(self, target: str | None) -> None:
        self.target = target

    async def accept_data_loss(self, request: AcceptDataLoss) -> None:
        if request.lost != ("c/1",):
            raise Refused("not what was stated: these survivors give up c/1")
        self.survivors = request.survivors

    def alive(self) -> bool:
        return self.up

    def ready(self) -> bool:
        return self.up


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(api(service)), base_url="http://agent")


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


async def test_probes_tell_the_truth(service: Service) -> None:
    app = health(service, CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent") as client:
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
