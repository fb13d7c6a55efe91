"""HTTPS to the Kubernetes API and to other agents: h11's protocol over asyncio's streams.

The usual client libraries take 8 MiB of memory; a pod that only keeps WAL has none to spare.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import h11

from aurora_operator.net.errors import NetError

_CHUNK = 1 << 18
MAX_BODY = 16 << 20
"""Bytes of an answer that is kept in memory."""
OK = range(200, 300)


class ClientError(NetError):
    """No answer: not connected, not in time, too large, or not HTTP. The message says which."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `body` is empty where it went to a sink."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request was met."""
        return self.status in OK

    @property
    def text(self) -> str:
        """The body, for a message."""
        return self.body.decode(errors="replace")


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.http = h11.Connection(h11.CLIENT)

    def reusable(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing() and self.http.our_state is h11.IDLE

    async def event(self) -> h11.Event:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(_CHUNK))
        assert not isinstance(event, type)  # noqa: S101 - PAUSED comes only after the end of the message
        return event


class Client:
    """Requests to one server. Connections are kept for the next request; safe for several tasks."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        *,
        timeout: float,
        server_name: str | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        """`timeout`, in seconds, bounds a whole request, or with a sink, each wait. `server_name` must be certified.

        `max_body`: bytes of an answer that is kept in memory.
        """
        self._host, self._port, self._tls = host, port, tls
        self._timeout = timeout
        self._max_body = max_body
        self._server_name = server_name or host
        self._idle: list[_Connection] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        sink: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """Ask once. A 2xx answer's body goes to `sink` piece by piece, if there is one. Raises ClientError.

        What `sink` raises comes out as it is.
        """
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout) as limit:
                connection = await self._connect()
                await self._send(connection, method, path, headers or {}, body)
                answer = await self._receive(connection, sink, limit)
        except TimeoutError:
            raise ClientError(f"no answer within {self._timeout:g} s") from None
        except (h11.ProtocolError, ssl.SSLError) as error:
            raise ClientError(f"{type(error).__name__}: {error}") from error
        except ConnectionError as error:
            raise ClientError(f"the connection broke: {error}") from error
        finally:
            if connection is not None and not self._keep(connection):
                connection.writer.close()
        return answer

    async def close(self) -> None:
        """End the connections that are kept."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.5):
                    await connection.writer.wait_closed()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _connect(self) -> _Connection:
        while self._idle:
            kept = self._idle.pop()
            if kept.reusable():
                return kept
            kept.writer.close()
        try:
            return _Connection(
                *await asyncio.open_connection(
                    self._host, self._port, ssl=self._tls, server_hostname=self._server_name, limit=_CHUNK
                )
            )
        except (OSError, ssl.SSLError) as error:
            raise ClientError(f"cannot connect: {error}") from error

    def _keep(self, connection: _Connection) -> bool:
        with contextlib.suppress(h11.LocalProtocolError):
            connection.http.start_next_cycle()
            self._idle.append(connection)
            return True
        return False

    async def _send(
        self, connection: _Connection, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        lines = [("Host", self._server_name), ("Content-Length", str(len(body))), *headers.items()]
        http, writer = connection.http, connection.writer
        writer.write(http.send(h11.Request(method=method, target=path, headers=lines)) or b"")
        if body:
            writer.write(http.send(h11.Data(data=body)) or b"")
        writer.write(http.send(h11.EndOfMessage()) or b"")
        await writer.drain()

    async def _receive(
        self, connection: _Connection, sink: Callable[[bytes], object] | None, limit: asyncio.Timeout
    ) -> Answer:
        status, parts, size = 0, [], 0
        while True:
            event = await connection.event()
            match event:
                case h11.Response():
                    status = event.status_code
                case h11.Data() if sink is not None and status in OK:
                    sink(bytes(event.data))
                    limit.reschedule(asyncio.get_running_loop().time() + self._timeout)
                case h11.Data():
                    size += len(event.data)
                    if size > self._max_body:
                        raise ConnectionError(errno.EMSGSIZE, "the answer is too large")
                    parts.append(bytes(event.data))
                case h11.EndOfMessage():
                    return Answer(status, b"".join(parts))
                case h11.ConnectionClosed():
                    raise ConnectionError(errno.ECONNRESET, "closed before the answer was complete")
                case _:
                    pass
