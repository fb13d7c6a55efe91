"""HTTP/1.1 for the agent: h11's protocol over the connections of a bounded port, with a deadline for each step.

The usual frameworks take several MiB of memory and a good part of a pod's start; the agent has a dozen paths.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import h11

from aurora_operator.net.listener import Bounds, Connection, Listener, Stage

log = logging.getLogger(__name__)

BOUNDS: Final = Bounds(connections=128, per_address=32)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a port's requests may take."""

    bounds: Bounds = BOUNDS
    head_bytes: int = 16 << 10
    body_bytes: int = 1 << 20
    head_seconds: float = 5.0
    """From the connection, or from a later request's first byte, to the end of the request's head."""
    body_seconds: float = 10.0
    write_seconds: float = 30.0
    """For the other end to take a piece of the response."""
    idle_seconds: float = 75.0
    """Between two requests of a connection: longer than clients keep theirs."""
    grace_seconds: float = 0.5
    """For requests under way when the server ends."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, whole. Nothing in it is percent-decoded: no path of ours needs that."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str | None = None
    """The common name of the client's certificate; None without TLS, or where it has none."""
    rest: str = ""
    """What stands for the `*` of the route."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. A body that comes in pieces is sent in chunks, and closed however it ends."""

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    allow: str = ""
    """With status 405: the methods that there are."""


Handler = Callable[[Request], Awaitable[Response]]
Routes = Mapping[str, Mapping[str, Handler]]
"""Handlers by path and method. A path that ends in `/*` is for each name under it; HEAD is answered as GET is."""


def say(status: int, error: str) -> Response:
    """An answer that says what is wrong."""
    return encoded({"error": error}, status)


def encoded(value: object, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(status, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


async def dispatch(routes: Routes, request: Request) -> Response:
    """What the routes answer. A handler's own failure is logged, and answered with 500."""
    methods, rest = routes.get(request.path), ""
    if methods is None:
        folder, _, rest = request.path.rpartition("/")
        methods = routes.get(f"{folder}/*") if rest else None
    if methods is None:
        return say(HTTPStatus.NOT_FOUND, "there is nothing here")
    handler = methods.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        allow = ", ".join(methods)
        refused = say(HTTPStatus.METHOD_NOT_ALLOWED, f"this takes {allow}")
        return Response(refused.status, refused.body, allow=allow)
    try:
        return await handler(Request(request.method, request.path, request.query, request.body, request.peer, rest))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return say(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed; the log says why")


async def serve(
    routes: Routes,
    port: int,
    tls: ssl.SSLContext | None,
    host: str = "",
    *,
    limits: Limits | None = None,
    ready: Callable[[Listener], object] = lambda _: None,
) -> None:
    """Serve until cancelled; with a context, TLS. Rotated certificates reach it through that same context.

    `ready` is called once the port is open. Raises OSError when it cannot be opened.
    """
    limits = limits or Limits()
    listener = Listener(limits.bounds, partial(_converse, routes, limits), tls)
    try:
        await listener.run(host, port, partial(ready, listener))
    finally:
        await listener.close(limits.grace_seconds)


class _Refused(Exception):
    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


async def _converse(routes: Routes, limits: Limits, connection: Connection) -> None:
    """All requests of a connection. It ends where anything is late, too large, or no HTTP."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
    peer = connection.channel.peer
    first = True
    while True:
        try:
            request = await _request(http, connection, limits, peer, first=first)
            if request is None:
                return
        except TimeoutError:
            return
        except h11.RemoteProtocolError as error:
            await _refuse(http, connection, limits, say(error.error_status_hint, str(error)))
            return
        except _Refused as refused:
            await _refuse(http, connection, limits, refused.response)
            return
        first = False
        connection.stage = Stage.BUSY
        response = await dispatch(routes, request)
        if not await _respond(http, connection, limits, response, body_wanted=request.method != "HEAD"):
            return
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return  # It was asked to close, or speaks HTTP/1.0.
        http.start_next_cycle()
        connection.stage = Stage.IDLE


async def _request(
    http: h11.Connection, connection: Connection, limits: Limits, peer: str | None, *, first: bool
) -> Request | None:
    """The next one; None when no more comes. Raises TimeoutError, RemoteProtocolError, _Refused, OSError."""
    if not first and not http.trailing_data[0]:
        async with asyncio.timeout(limits.idle_seconds):
            if not await _receive(http, connection):
                return None
    async with asyncio.timeout(limits.head_seconds):
        head = await _event(http, connection)
    if not isinstance(head, h11.Request):
        return None
    body = b""
    async with asyncio.timeout(limits.body_seconds):
        if http.they_are_waiting_for_100_continue:
            go_on = http.send(h11.InformationalResponse(status_code=100, headers=[]))
            await connection.channel.write(go_on or b"", limits.write_seconds)
        while isinstance(event := await _event(http, connection), h11.Data):
            body += event.data
            if len(body) > limits.body_bytes:
                raise _Refused(say(413, f"the body has more than {limits.body_bytes} bytes"))
    if not isinstance(event, h11.EndOfMessage):
        return None
    path, _, query = head.target.decode("ascii").partition("?")
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return Request(head.method.decode("ascii"), path, {name: value for name, _, value in pairs}, body, peer)


async def _receive(http: h11.Connection, connection: Connection) -> bytes:
    data = await connection.channel.read()
    http.receive_data(data)
    return data


async def _event(http: h11.Connection, connection: Connection) -> Any:
    while (event := http.next_event()) is h11.NEED_DATA:
        await _receive(http, connection)
    return event


async def _refuse(http: h11.Connection, connection: Connection, limits: Limits, response: Response) -> None:
    """Answer what cannot be taken, as far as the protocol lets one."""
    if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
        await _respond(http, connection, limits, response, close=True)


async def _respond(
    http: h11.Connection,
    connection: Connection,
    limits: Limits,
    response: Response,
    *,
    body_wanted: bool = True,
    close: bool = False,
) -> bool:
    """Send it; False where the other end does not take it. Raises OSError."""
    body = response.body

    async def send(*events: h11.Event) -> None:
        await connection.channel.write(b"".join(http.send(event) or b"" for event in events), limits.write_seconds)

    head = h11.Response(status_code=response.status, headers=_headers(response, close=close))
    try:
        if not body_wanted or response.status == HTTPStatus.NO_CONTENT:
            await send(head, h11.EndOfMessage())
        elif isinstance(body, bytes):
            await send(head, h11.Data(data=body), h11.EndOfMessage())
        else:
            await send(head)
            async for piece in body:
                await send(h11.Data(data=piece))
            await send(h11.EndOfMessage())
    except TimeoutError:
        log.info("%s does not take its answer: its connection is given up", connection.address)
        connection.channel.close()
        return False
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()
    return True


def _headers(response: Response, *, close: bool) -> list[tuple[str, str]]:
    headers = [("Connection", "close")] if close else []
    if response.allow:
        headers.append(("Allow", response.allow))
    if response.status == HTTPStatus.NO_CONTENT:
        return headers
    body = response.body
    size = ("Content-Length", str(len(body))) if isinstance(body, bytes) else ("Transfer-Encoding", "chunked")
    return [*headers, ("Content-Type", response.content_type), size]
