"""The agent's two HTTP servers: the API over mutual TLS, and plain health for the kubelet and Prometheus.

The API is for the operator; an instance's agent asks it for a status, too. WAL is for agents alone, and a proxy hears
from it what a proxy has to know, and nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Protocol, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import ValidationError

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.server import wal_files
from aurora_operator.api.agent.messages import (
    AcceptDataLoss,
    AgentStatus,
    BackupRequest,
    ParameterCheck,
    ParameterCheckResult,
    SnapshotRequest,
    SwitchoverRequest,
)
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base.base import WireModel
from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.api.base.names import AGENT_CN, API_PORT, HEALTH_PORT, OPERATOR_CN, PROXY_USER
from aurora_operator.net.http_server import Handler, Request, Response, Routes, encoded, say, serve

M = TypeVar("M", bound=WireModel)


class Service(Protocol):
    """What the API can ask of the agent. Each method may raise Refused."""

    def status(self) -> AgentStatus:
        """The copy as it is now."""

    async def put_settings(self, settings: Settings) -> None:
        """Take newer settings."""

    async def check_parameters(self, parameters: dict[str, str]) -> dict[str, str]:
        """Errors by parameter; changes nothing."""

    async def restart(self) -> None:
        """Restart PostgreSQL of a reader."""

    async def stop(self) -> None:
        """Stop the writer of a cluster that is to pause or stop."""

    def switchover(self, target: str | None) -> None:
        """Hand over."""

    async def accept_data_loss(self, request: AcceptDataLoss) -> None:
        """Go on with the survivors alone."""

    def wal_folder(self) -> Path:
        """Where this copy's WAL is."""

    def backup(self, request: BackupRequest) -> None:
        """Begin a backup."""

    def snapshot(self, request: SnapshotRequest) -> None:
        """Begin a backup into a repository of its own."""

    def alive(self) -> bool:
        """Whether the agent's loop makes progress."""

    def ready(self) -> bool:
        """Whether clients are served."""


def _body(request: Request, model: type[M]) -> M:
    try:
        return model.model_validate_json(request.body)
    except ValidationError as error:
        raise Refused(f"the body is not a {model.__name__}: {error}") from error


def _guard(handler: Handler, admitted: Collection[str] = (OPERATOR_CN,)) -> Handler:
    async def guarded(request: Request) -> Response:
        if request.peer not in admitted:
            # The cluster's authority certifies others, too: who may stream from PostgreSQL may not switch over.
            return say(403, f"not for this certificate, but for {', '.join(admitted)}")
        try:
            return await handler(request)
        except Refused as error:
            return say(409, str(error))

    return guarded


def api(service: Service) -> Routes:
    """The routes of `api.agent`'s table."""

    async def status(_: Request) -> Response:
        return Response(body=service.status().model_dump_json(by_alias=True).encode())

    async def settings(request: Request) -> Response:
        await service.put_settings(_body(request, Settings))
        return Response(204)

    async def check(request: Request) -> Response:
        errors = await service.check_parameters(_body(request, ParameterCheck).parameters)
        return encoded(ParameterCheckResult(errors=errors).model_dump(by_alias=True))

    async def restart(_: Request) -> Response:
        await service.restart()
        return Response(202)

    async def stop(_: Request) -> Response:
        await service.stop()
        return Response(202)

    async def backup(request: Request) -> Response:
        service.backup(_body(request, BackupRequest))
        return Response(202)

    async def snapshot(request: Request) -> Response:
        service.snapshot(_body(request, SnapshotRequest))
        return Response(202)

    async def switchover(request: Request) -> Response:
        service.switchover(_body(request, SwitchoverRequest).target)
        return Response(202)

    async def accept_data_loss(request: Request) -> Response:
        await service.accept_data_loss(_body(request, AcceptDataLoss))
        return Response(202)

    async def wal(_: Request) -> Response:
        found = await asyncio.to_thread(wal_files.listing, service.wal_folder())
        return encoded({"files": {file.name: file.size for file in found}})

    async def wal_file(request: Request) -> Response:
        name = request.rest
        file = await asyncio.to_thread(wal_files.open_file, service.wal_folder(), name)
        if file is None:
            return say(404, "there is no such WAL file")
        size = request.query.get("size", "")
        wanted = int(size) if size.isascii() and size.isdigit() and len(size) < 10 else SEGMENT_BYTES
        return Response(body=wal_files.stream(file, wanted), content_type="application/octet-stream")

    return {
        "/v1/backup": {"POST": _guard(backup)},
        "/v1/snapshot": {"POST": _guard(snapshot)},
        "/v1/wal": {"GET": _guard(wal, (AGENT_CN,))},
        "/v1/wal/*": {"GET": _guard(wal_file, (AGENT_CN,))},
        "/v1/status": {"GET": _guard(status, (OPERATOR_CN, AGENT_CN))},
        "/v1/settings": {"PUT": _guard(settings)},
        "/v1/parameters/check": {"POST": _guard(check)},
        "/v1/restart": {"POST": _guard(restart)},
        "/v1/stop": {"POST": _guard(stop)},
        "/v1/switchover": {"POST": _guard(switchover)},
        "/v1/accept-data-loss": {"POST": _guard(accept_data_loss)},
    }


def health(service: Service, metrics: CollectorRegistry) -> Routes:
    """Liveness, readiness and metrics; nothing here changes anything or is secret."""

    async def livez(_: Request) -> Response:
        return _plain("ok") if service.alive() else _plain("stuck", 503)

    async def readyz(_: Request) -> Response:
        return _plain("ok") if service.ready() else _plain("not serving", 503)

    async def scrape(_: Request) -> Response:
        return Response(body=generate_latest(metrics), content_type=CONTENT_TYPE_LATEST)

    return {"/livez": {"GET": livez}, "/readyz": {"GET": readyz}, "/metrics": {"GET": scrape}}


def _plain(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), "text/plain; charset=utf-8")


def for_proxies(routes: Routes) -> Routes:
    """These, for nobody else."""
    return {
        path: {method: _guard(handler, (PROXY_USER,)) for method, handler in methods.items()}
        for path, methods in routes.items()
    }


async def serve_all(
    service: Service, proxies: Routes, metrics: CollectorRegistry, tls: ssl.SSLContext, host: str = ""
) -> None:
    """Both servers, on every address or on one. `proxies`: what proxies may ask for."""
    async with asyncio.TaskGroup() as group:
        group.create_task(serve({**api(service), **for_proxies(proxies)}, API_PORT, tls, host))
        group.create_task(serve(health(service, metrics), HEALTH_PORT, None, host))
