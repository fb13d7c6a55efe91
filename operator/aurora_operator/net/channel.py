"""The server's end of a connection: bytes in and out, with TLS or without.

asyncio's own TLS holds buffers and leaves circles of objects behind, which only the garbage collector finds; under a
flood of half-open connections these make tens of MiB. Here what a connection held goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

CHUNK: Final = 1 << 16
LINGER_SECONDS: Final = 2.0
"""For the other end to close, too: until then what it still sends is thrown away, so that it hears our last words."""
LINGER_BYTES: Final = 4 << 20


class Channel:
    """One connection, read and written by one task. All calls raise OSError; ssl.SSLError is one."""

    def __init__(self, connected: socket.socket, address: str = "") -> None:
        """The socket must not block, and belongs to the channel."""
        self.address = address
        """Of the other end."""
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._line = bytearray()

    @property
    def peer(self) -> str | None:
        """The common name of the certificate that the other end has shown."""
        return common_name(self._tls)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        try:
            await self._step(self._tls.do_handshake)
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                await self._flush()  # what is wrong, for the other end
            raise

    async def read(self) -> bytes:
        """What has come, at least a byte; nothing at the end."""
        if self._tls is None:
            return await self._receive()
        tls = self._tls
        try:
            return await self._step(lambda: tls.read(CHUNK))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def readline(self, most: int, seconds: float) -> bytes:
        """The next line, with its end; nothing at the end. A line that has begun must be whole in so many seconds.

        Raises TimeoutError; ValueError for one of more than `most` bytes.
        """
        while not self._line:
            if not (data := await self.read()):
                return b""
            self._line += data
        searched = 0
        async with asyncio.timeout(seconds):
            while (end := self._line.find(b"\n", searched)) < 0:
                searched = len(self._line)
                if searched > most:
                    raise ValueError(f"a line of more than {most} bytes")
                if not (data := await self.read()):
                    return b""
                self._line += data
        if end >= most:
            raise ValueError(f"a line of more than {most} bytes")
        line = bytes(self._line[: end + 1])
        del self._line[: end + 1]
        return line

    async def write(self, data: bytes, seconds: float) -> None:
        """Send it all; each piece of 64 KiB must be taken in so many seconds. Raises TimeoutError."""
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            async with asyncio.timeout(seconds):
                if self._tls is None:
                    await self._loop.sock_sendall(self._socket, piece)
                else:
                    self._tls.write(piece)
                    await self._flush()

    async def finish(self) -> None:
        """Say goodbye, and let the other end take what was sent last."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(LINGER_SECONDS):
                if self._tls is not None:
                    with contextlib.suppress(ssl.SSLError):
                        self._tls.unwrap()
                    await self._flush()
                self._socket.shutdown(socket.SHUT_WR)
                left = LINGER_BYTES
                while left > 0 and (data := await self._receive()):
                    left -= len(data)

    def close(self) -> None:
        """End it at once, and hold nothing any more."""
        self._socket.close()
        self._tls = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._line.clear()

    async def _step(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._receive()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                continue
            await self._flush()
            return result

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._loop.sock_sendall(self._socket, data)

    async def _receive(self) -> bytes:
        data = await self._loop.sock_recv(self._socket, CHUNK)
        # One that always has something to say leaves the others their turn.
        await asyncio.sleep(0)
        return data


def common_name(peer: ssl.SSLObject | None) -> str | None:
    """Of the certificate that the other end of a connection has shown."""
    subject = (peer.getpeercert() or {}).get("subject", ()) if peer is not None else ()
    found = dict(pair for part in subject if isinstance(part, tuple) for pair in part if isinstance(pair, tuple))
    name = found.get("commonName")
    return str(name) if name else None
