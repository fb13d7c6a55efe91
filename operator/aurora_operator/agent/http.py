"""The agent's two HTTP servers: the operator's API over mutual TLS, and plain health for the kubelet and Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from aurora_operator.api.agent import (
    AcceptDataLoss,
    AgentStatus,
    ParameterCheck,
    ParameterCheckResult,
    SwitchoverRequest,
)
from aurora_operator.api.base import WireModel
from aurora_operator.api.names import API_PORT, HEALTH_PORT
from aurora_operator.api.settings import Settings

log = logging.getLogger(__name__)

M = TypeVar("M", bound=WireModel)


class Refused(Exception):
    """The request cannot be met now; the message says why and what would help."""


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

    def switchover(self, target: str | None) -> None:
        """Hand over."""

    async def accept_data_loss(self, request: AcceptDataLoss) -> None:
        """Go on with the survivors alone."""

    def alive(self) -> bool:
        """Whether the agent's loop makes progress."""

    def ready(self) -> bool:
        """Whether clients are served."""


async def _body(request: Request, model: type[M]) -> M:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise Refused(f"the body is not a {model.__name__}: {error}") from error


def _guard(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
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

    async def switchover(request: Request) -> Response:
        service.switchover((await _body(request, SwitchoverRequest)).target)
        return Response(status_code=202)

    async def accept_data_loss(request: Request) -> Response:
        await service.accept_data_loss(await _body(request, AcceptDataLoss))
        return Response(status_code=202)

    return Starlette(
        routes=[
            Route("/v1/status", _guard(status)),
            Route("/v1/settings", _guard(settings), methods=["PUT"]),
            Route("/v1/parameters/check", _guard(check), methods=["POST"]),
            Route("/v1/restart", _guard(restart), methods=["POST"]),
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


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: signals are the agent's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(app: Starlette, port: int, context: ssl.SSLContext | None) -> None:
    """Serve until cancelled; with a context, TLS. Rotated certificates reach it through that same context."""
    config = uvicorn.Config(
        app,
        host="",
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
    )
    await _Server(config).serve()


async def serve_all(service: Service, metrics: CollectorRegistry, tls: ssl.SSLContext) -> None:
    """Both servers."""
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(api(service), API_PORT, tls))
        group.create_task(serve(health(service, metrics), HEALTH_PORT, None))
