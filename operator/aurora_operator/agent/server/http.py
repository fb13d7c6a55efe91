"""The agent's two HTTP servers: the API over mutual TLS, and plain health for the kubelet and Prometheus.

The API is for the operator; an instance's agent asks it for a status, too. WAL is for agents alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.peers.tls import common_name
from aurora_operator.agent.server import wal_files
from aurora_operator.agent.server.asgi import Config, H11Protocol, Server
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
from aurora_operator.api.base.names import AGENT_CN, API_PORT, HEALTH_PORT, OPERATOR_CN
from aurora_operator.postgres.lsn import SEGMENT_BYTES

log = logging.getLogger(__name__)

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


async def _body(request: Request, model: type[M]) -> M:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise Refused(f"the body is not a {model.__name__}: {error}") from error


Handler = Callable[[Request], Awaitable[Response]]


def _guard(handler: Handler, admitted: Collection[str] = (OPERATOR_CN,)) -> Handler:
    async def guarded(request: Request) -> Response:
        if getattr(request.state, "peer", None) not in admitted:
            # The cluster's authority certifies others, too: who may stream from PostgreSQL may not switch over.
            return JSONResponse({"error": f"not for this certificate, but for {', '.join(admitted)}"}, status_code=403)
        try:
            return await handler(request)
        except Refused as error:
            return JSONResponse({"error": str(error)}, status_code=409)

    return guarded


def api(service: Service) -> Starlette:
    """The application of `api.agent`'s table."""

    async def status(_: Request) -> Response:
        return Response(service.status().model_dump_json(by_alias=True), media_type="application/json")

    async def settings(request: Request) -> Response:
        await service.put_settings(await _body(request, Settings))
        return Response(status_code=204)

    async def check(request: Request) -> Response:
        errors = await service.check_parameters((await _body(request, ParameterCheck)).parameters)
        return JSONResponse(ParameterCheckResult(errors=errors).model_dump(by_alias=True))

    async def restart(_: Request) -> Response:
        await service.restart()
        return Response(status_code=202)

    async def stop(_: Request) -> Response:
        await service.stop()
        return Response(status_code=202)

    async def backup(request: Request) -> Response:
        service.backup(await _body(request, BackupRequest))
        return Response(status_code=202)

    async def snapshot(request: Request) -> Response:
        service.snapshot(await _body(request, SnapshotRequest))
        return Response(status_code=202)

    async def switchover(request: Request) -> Response:
        service.switchover((await _body(request, SwitchoverRequest)).target)
        return Response(status_code=202)

    async def accept_data_loss(request: Request) -> Response:
        await service.accept_data_loss(await _body(request, AcceptDataLoss))
        return Response(status_code=202)

    async def wal(_: Request) -> Response:
        found = await asyncio.to_thread(wal_files.listing, service.wal_folder())
        return JSONResponse({"files": {file.name: file.size for file in found}})

    async def wal_file(request: Request) -> Response:
        name = request.path_params["file"]
        file = await asyncio.to_thread(wal_files.open_file, service.wal_folder(), name)
        if file is None:
            return JSONResponse({"error": "there is no such WAL file"}, status_code=404)
        size = request.query_params.get("size", "")
        wanted = int(size) if size.isascii() and size.isdigit() else SEGMENT_BYTES
        return StreamingResponse(wal_files.stream(file, wanted), media_type="application/octet-stream")

    return Starlette(
        routes=[
            Route("/v1/backup", _guard(backup), methods=["POST"]),
            Route("/v1/snapshot", _guard(snapshot), methods=["POST"]),
            Route("/v1/wal", _guard(wal, (AGENT_CN,))),
            Route("/v1/wal/{file}", _guard(wal_file, (AGENT_CN,))),
            Route("/v1/status", _guard(status, (OPERATOR_CN, AGENT_CN))),
            Route("/v1/settings", _guard(settings), methods=["PUT"]),
            Route("/v1/parameters/check", _guard(check), methods=["POST"]),
            Route("/v1/restart", _guard(restart), methods=["POST"]),
            Route("/v1/stop", _guard(stop), methods=["POST"]),
            Route("/v1/switchover", _guard(switchover), methods=["POST"]),
            Route("/v1/accept-data-loss", _guard(accept_data_loss), methods=["POST"]),
        ]
    )


def health(service: Service, metrics: CollectorRegistry) -> Starlette:
    """Liveness, readiness and metrics; nothing here changes anything or is secret."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok") if service.alive() else PlainTextResponse("stuck", status_code=503)

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("ok") if service.ready() else PlainTextResponse("not serving", status_code=503)

    async def scrape(_: Request) -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", scrape)])


class _Protocol(H11Protocol):
    """HTTP over a connection whose other end's common name each request knows as `request.state.peer`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": common_name(transport.get_extra_info("ssl_object"))}


class _Server(Server):
    """Uvicorn without its signal handlers: signals are the agent's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Uvicorn's wakes up ten times a second, to look for its signals and to set a Date."""
        await asyncio.Event().wait()


async def serve(app: Starlette, port: int, context: ssl.SSLContext | None, host: str = "") -> None:
    """Serve until cancelled; with a context, TLS. Rotated certificates reach it through that same context."""
    config = Config(
        app,
        host=host,
        port=port,
        http=_Protocol,
        log_config=None,
        access_log=False,
        date_header=False,
        server_header=False,
        lifespan="off",
        ws="none",
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
    server = _Server(config)
    try:
        await server.serve()
    finally:
        # It leaves them open when it is cancelled.
        for listener in getattr(server, "servers", ()):
            listener.close()


async def serve_all(service: Service, metrics: CollectorRegistry, tls: ssl.SSLContext, host: str = "") -> None:
    """Both servers, on every address or on one."""
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(api(service), API_PORT, tls, host))
        group.create_task(serve(health(service, metrics), HEALTH_PORT, None, host))
