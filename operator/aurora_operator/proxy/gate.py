"""A port between PgBouncer and PostgreSQL: server sessions wait here while there is nobody to have them with.

PgBouncer ends its clients' sessions when a log-in fails. Here none fails while no writer is open: the connection is
held, with what was sent, and then led to the one that is. Bytes pass untouched: TLS is between PgBouncer and
PostgreSQL.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from aurora_operator.proxy.routing import Address

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.05
BACKLOG: Final = 4096
MOST_HELD_BYTES: Final = 10_000
"""Of what is sent before there is an answer: PostgreSQL takes no longer startup packet."""


class _End(asyncio.Protocol):
    """One end of a session. What it receives, the other end sends."""

    def __init__(self, session: _Session) -> None:
        self.session = session
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's
        self.transport = transport

    def pause_writing(self) -> None:
        self.session.pause_reading(self, pause=True)

    def resume_writing(self) -> None:
        self.session.pause_reading(self, pause=False)


class _Client(_End):
    """PgBouncer's."""

    def data_received(self, data: bytes) -> None:
        self.session.asked(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.end()


class _Server(_End):
    """An instance's."""

    answered = False

    def data_received(self, data: bytes) -> None:
        self.answered = True
        self.session.answered(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.server_lost(self)


class _Session:
    """From PgBouncer's connection on. It is joined once an instance has answered: until then, it can go elsewhere."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.client = _Client(self)
        self.server: _Server | None = None
        self.address: Address | None = None
        self.epoch = 0
        self.joined = False
        self.lost = asyncio.Event()
        """The instance has gone before it has answered."""
        self.task: asyncio.Task[None] | None = None
        self._held = bytearray()

    def asked(self, data: bytes) -> None:
        if not self.joined:
            self._held += data
            if len(self._held) > MOST_HELD_BYTES:
                self.end()
                return
        if self.server is not None and self.server.transport is not None:
            self.server.transport.write(data)

    def answered(self, server: _Server, data: bytes) -> None:
        if server is not self.server or self.client.transport is None:
            return
        if not self.joined:
            self.joined = True
            self._held.clear()
        self.client.transport.write(data)

    def join(self, server: _Server) -> None:
        """Send what was held to an instance that has taken the connection."""
        self.server = server
        self.lost.clear()
        if self._held and server.transport is not None:
            server.transport.write(bytes(self._held))

    def server_lost(self, server: _Server) -> None:
        if server is not self.server:
            return
        if not self.joined:
            self.server = self.address = None
            self.lost.set()
        elif self.client.transport is not None:
            self.client.transport.close()  # What the client has not taken yet, it still gets.

    def pause_reading(self, end: _End, *, pause: bool) -> None:
        other: _End | None = self.server if end is self.client else self.client
        if other is not None and other.transport is not None:
            (other.transport.pause_reading if pause else other.transport.resume_reading)()

    def end(self) -> None:
        """At once, at both ends."""
        server, self.server = self.server, None
        for end in (self.client, server):
            if end is not None and end.transport is not None:
                end.transport.abort()
        self.gate.ended(self)


class Gate:
    """One port. It leads to the addresses that it was given last: to the one with the fewest sessions."""

    def __init__(self, port: int, changed: Callable[[], None]) -> None:
        """`port` is the instances'. `changed` is called when a session has come or has ended."""
        self._port = port
        self._changed = changed
        self._sessions: set[_Session] = set()
        self._addresses: frozenset[Address] = frozenset()
        self._epoch = 0
        self._most = 0
        self._turn = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Sessions that wait for an instance."""
        return sum(not session.joined for session in self._sessions)

    @property
    def joined(self) -> int:
        """Sessions that have one."""
        return sum(session.joined for session in self._sessions)

    def sessions(self, address: Address) -> int:
        """How many there are with an instance, those included that log in now."""
        return sum(session.address == address for session in self._sessions)

    def with_others(self, addresses: frozenset[Address]) -> bool:
        """Whether there are sessions with any but these."""
        return any(session.joined and session.address not in addresses for session in self._sessions)

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Begin to take connections. Raises OSError."""
        return await asyncio.get_running_loop().create_server(self._accept, host, port, backlog=BACKLOG)

    def lead(self, addresses: frozenset[Address], epoch: int, most: int) -> None:
        """Where sessions go from now on, and how many at each. Without addresses, they wait."""
        if (addresses, epoch, most) != (self._addresses, self._epoch, self._most):
            self._addresses, self._epoch, self._most = addresses, epoch, most
            self._wake()

    def drop(self, keep: Callable[[Address, int], bool]) -> int:
        """End at once the sessions for whose address, and epoch at which they began, `keep` says no; returns how many.

        One that has not been answered yet goes elsewhere instead.
        """
        found = [s for s in self._sessions if s.address is not None and not keep(s.address, s.epoch)]
        for session in found:
            if session.joined:
                session.end()
            elif session.server is not None and session.server.transport is not None:
                session.server.transport.abort()
        return sum(session.joined for session in found)

    def close(self) -> None:
        """End all sessions."""
        for session in list(self._sessions):
            session.end()

    def ended(self, session: _Session) -> None:
        """Called by a session, once or more often."""
        if session in self._sessions:
            self._sessions.discard(session)
            if session.task is not None:
                session.task.cancel()
            self._wake()
            self._changed()

    def _wake(self) -> None:
        async def wake() -> None:
            async with self._turn:
                self._turn.notify_all()

        task = asyncio.get_running_loop().create_task(wake())
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    def _accept(self) -> _Client:
        session = _Session(self)
        self._sessions.add(session)
        session.task = asyncio.get_running_loop().create_task(self._bring(session))
        self._changed()
        return session.client

    def _choose(self) -> Address | None:
        loads = Counter(session.address for session in self._sessions)
        least = min(self._addresses, key=lambda address: (loads[address], address), default=None)
        return None if least is None or loads[least] >= self._most else least

    async def _bring(self, session: _Session) -> None:
        """To an instance, again and again until one has answered."""
        loop = asyncio.get_running_loop()
        while True:
            async with self._turn:
                while (address := self._choose()) is None:
                    await self._turn.wait()
                session.address, session.epoch = address, self._epoch
            server = _Server(session)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await loop.create_connection(lambda server=server: server, address, self._port)  # type: ignore[misc]
            except (OSError, TimeoutError) as error:
                log.info("%s does not take a session: %s", address, error)
                session.address = None
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if address not in self._addresses or session.epoch != self._epoch:
                session.address = None
                if server.transport is not None:
                    server.transport.abort()
                continue
            session.join(server)
            await session.lost.wait()
            await asyncio.sleep(RETRY_SECONDS)
