"""A port with bounds: so many connections, so many of one address, so long for a handshake.

Whoever reaches a port can open connections and say nothing. Each holds memory, and the pod has little. So a port that
is full ends the oldest connection that has not proven itself yet, and a new one always gets its chance; what is at
work is never ended for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final

from aurora_operator.net.channel import Channel

log = logging.getLogger(__name__)

BACKLOG: Final = 128
SAY_SECONDS: Final = 60.0
"""That there are too many connections is logged once in this time."""
EXHAUSTED_SECONDS: Final = 0.5
"""How long nothing is accepted after the process or the host ran out of descriptors or memory."""
KEEPALIVE_SECONDS: Final = 30
"""After this time of silence the kernel asks whether the other end is still there; three questions, 10 s apart."""
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Stage(IntEnum):
    """How far a connection is. A lower one is ended before a higher one where there are too many."""

    STRANGER = 0
    """It has not completed its handshake, or has not asked for anything yet."""
    IDLE = 1
    """It is known, and nothing is under way."""
    BUSY = 2
    """It is at work."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a port takes."""

    connections: int
    per_address: int
    handshake_seconds: float = 5.0
    """For TLS's."""


class Connection:
    """One that was accepted. `stage` is its handler's to set."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.stage = Stage.STRANGER
        self.task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Of the other end."""
        return self.channel.address


class Listener:
    """One port. `handle` is called for each connection, which ends with it."""

    def __init__(
        self,
        bounds: Bounds,
        handle: Callable[[Connection], Awaitable[None]],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """What `handle` raises is logged, but for OSError, which is a connection's usual end."""
        self._bounds = bounds
        self._handle = handle
        self._tls = tls
        self._open: dict[Connection, None] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        """One a connection."""
        self.ended = 0
        """How many connections were ended because there were too many."""
        self._say_from = 0.0

    @property
    def connections(self) -> int:
        """How many there are, handshakes included."""
        return len(self._open)

    async def run(self, host: str, port: int, ready: Callable[[], object] = lambda: None) -> None:
        """Accept on every address, or on one, until cancelled; connections go on then, until `close`. Raises OSError.

        `ready` is called once the port is open.
        """
        loop = asyncio.get_running_loop()
        with listening(host, port) as listener:
            ready()
            while True:
                try:
                    accepted, address = await loop.sock_accept(listener)
                except OSError as error:
                    if error.errno not in _EXHAUSTED:
                        continue  # The other end has gone already.
                    log.warning("cannot accept connections on port %d: %s", port, error)
                    await asyncio.sleep(EXHAUSTED_SECONDS)
                    continue
                self._admit(accepted, _plain(address[0]))
                if self.ended and loop.time() >= self._say_from:
                    self._say_from = loop.time() + SAY_SECONDS
                    log.warning("port %d had too many connections: %d were ended so far", port, self.ended)
                # Those that wait to be accepted do not keep the others from their handshakes.
                await asyncio.sleep(0)

    async def close(self, grace_seconds: float = 0.0) -> None:
        """End all connections; those that are at work are given so long to come to an end."""
        for connection in [c for c in self._open if c.stage is not Stage.BUSY]:
            self._end(connection)
        if self.tasks and grace_seconds > 0:
            await asyncio.wait(self.tasks, timeout=grace_seconds)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _admit(self, accepted: socket.socket, address: str) -> None:
        if not self._room(address):
            self.ended += 1
            accepted.close()
            return
        accepted.setblocking(False)
        with contextlib.suppress(OSError):
            _keep_alive(accepted)
        connection = Connection(Channel(accepted, address))
        connection.task = task = asyncio.create_task(self._serve(connection))
        self._open[connection] = None
        self.tasks.add(task)
        task.add_done_callback(partial(self._ended, connection))

    def _ended(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._open.pop(connection, None)
        self.tasks.discard(task)
        connection.task = None  # It holds, by way of how it was cancelled, the connection: no circle is left behind.
        connection.channel.close()  # A task that is cancelled before its first step runs no `finally`.

    def _room(self, address: str) -> bool:
        """Whether there is room for one of this address, once the one that can go best has gone."""
        same = [c for c in self._open if c.address == address]
        if len(same) >= self._bounds.per_address:
            return self._end_one(same)
        return len(self._open) < self._bounds.connections or self._end_one(self._open)

    def _end_one(self, among: Iterable[Connection]) -> bool:
        found = min(among, key=lambda c: c.stage)  # The oldest of these: they stand in the order in which they came.
        if found.stage is Stage.BUSY:
            return False
        self.ended += 1
        self._end(found)
        return True

    def _end(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        if connection.task is not None:
            connection.task.cancel()

    async def _serve(self, connection: Connection) -> None:
        channel = connection.channel
        try:
            if self._tls is not None:
                async with asyncio.timeout(self._bounds.handshake_seconds):
                    await channel.start_tls(self._tls)
                connection.stage = Stage.IDLE
            await self._handle(connection)
            connection.stage = Stage.STRANGER
            await channel.finish()
        except OSError as error:
            log.debug("a connection of %s ended: %s", connection.address, error)
        except Exception:
            log.exception("a connection of %s was let down", connection.address)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on an address, or on all of both families, and does not block. Raises OSError."""
    if host:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(found[4][:2], family=found[0], backlog=BACKLOG)
    elif socket.has_dualstack_ipv6():
        listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    else:
        listener = socket.create_server(("", port), backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def _plain(address: str) -> str:
    """An IPv4 address as such, where a socket of both families wraps it. Pure."""
    return address.removeprefix("::ffff:")


def _keep_alive(accepted: socket.socket) -> None:
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (("TCP_KEEPIDLE", KEEPALIVE_SECONDS), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            accepted.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
