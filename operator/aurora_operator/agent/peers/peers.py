"""The peer connections: one outgoing TLS stream to each other member, one JSON message a line, at most once.

A connection that the other end closes is news in itself: a killed process's kernel closes it at once. When the peer
then refuses on both its ports, or cannot be reached any more, its pod is dead and nobody needs to wait for a lease.
PostgreSQL may outlive the agent by a moment, so the ports are looked at until they agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from aurora_operator.agent.peers.wire import MAX_LINE, Envelope, WireError, decode, encode
from aurora_operator.api.base.names import AGENT_CN, PEER_PORT, POSTGRES_PORT
from aurora_operator.consensus.messages import Message
from aurora_operator.consensus.types import CopyId, name_of
from aurora_operator.net.listener import Bounds, Connection, Listener
from aurora_operator.net.resolver import Resolver
from aurora_operator.postgres.wal.timeline import History, parse_history

log = logging.getLogger(__name__)

CONNECT_SECONDS = 1.0
PROBE_SECONDS = 0.3
JUDGE_SECONDS = 3.0
JUDGE_POLL_SECONDS = 0.05
RETRY_SECONDS = 0.2
RETRY_MAX_SECONDS = 2.0
BOUNDS = Bounds(connections=64, per_address=8, handshake_seconds=3.0)
"""There are 31 copies at most, of which each has one connection here, and for a moment a former one."""
LINE_SECONDS = 5.0
"""A message that has begun is whole by then."""
YOUNG_SECONDS = 10.0
"""How long a peer that was never reached is tried at the shortest interval: copies that wake together wait for each
other."""


@dataclass(slots=True)
class _Link:
    name: str
    host: str
    address: str | None = None
    """Where it was last heard from or reached: used before the DNS, which may be slow or down."""
    copy: CopyId | None = None
    history: tuple[int, str] | None = None
    """What it has told of the timeline that it leads on."""
    recent: tuple[int, str] | None = None
    """Likewise, of a long history: the end of it."""
    task: asyncio.Task[None] | None = None
    writer: asyncio.StreamWriter | None = None
    """While connected."""
    came: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody has connected to us: perhaps this one, which can be reached then."""


class Peers:
    """All other members, as far as the network goes."""

    def __init__(
        self,
        me: Callable[[], CopyId],
        my_address: str,
        server_tls: ssl.SSLContext,
        client_tls: ssl.SSLContext,
        on_message: Callable[[CopyId, Message], None],
        on_dead: Callable[[CopyId], None],
    ) -> None:
        self._me = me
        self._my_address = my_address
        self._client_tls = client_tls
        self._on_message = on_message
        self._on_dead = on_dead
        self._resolver = Resolver()
        self._links: dict[str, _Link] = {}
        self.history: tuple[int, str] | None = None
        """Of a new leader: its timeline and that one's history, told with each message."""
        self.recent: tuple[int, str] | None = None
        """In its place, where it is long: its end."""
        self._listener = Listener(BOUNDS, self._receive, server_tls)
        self._incoming = self._listener.tasks

    async def serve(self, host: str = "") -> None:
        """Listen, on every address or on one, until cancelled."""
        await self._listener.run(host, PEER_PORT)

    def set_members(self, hosts: dict[str, str]) -> None:
        """Connect to these members (host by name), and to no others."""
        for name in self._links.keys() - hosts.keys():
            link = self._links.pop(name)
            if link.task:
                link.task.cancel()
        for name, host in hosts.items():
            known = self._links.get(name)
            if known is not None and known.host == host:
                continue
            if known is not None and known.task:
                known.task.cancel()
            link = self._links[name] = _Link(name, host)
            link.task = asyncio.create_task(self._run(link), name=f"peer-{name}")

    def send(self, to: CopyId, message: Message) -> None:
        """Send to the copy's member; the message is lost when that is not connected."""
        link = self._links.get(name_of(to))
        if link is not None:
            _write(link, self._line(message))

    def broadcast(self, message: Message) -> None:
        """Send to all members."""
        line = self._line(message)
        for link in self._links.values():
            _write(link, line)

    def _line(self, message: Message) -> bytes:
        return encode(Envelope(self._me(), self._my_address, message, self.history, self.recent))

    def address(self, copy: CopyId) -> tuple[str, str | None] | None:
        """Host name and last known IP address of a copy's pod; None for a stranger."""
        link = self._links.get(name_of(copy))
        return None if link is None else (link.host, link.address)

    def history_of(self, copy: CopyId, timeline: int) -> History | None:
        """The history of this timeline, if the copy has told it as the one that it leads on."""
        link = self._links.get(name_of(copy))
        return _parsed(copy, timeline, link.history if link is not None and link.copy == copy else None)

    def recent_of(self, copy: CopyId, timeline: int) -> History | None:
        """Likewise, of a long history its last switch alone: no copy but one of the timeline before may compare it."""
        link = self._links.get(name_of(copy))
        return _parsed(copy, timeline, link.recent if link is not None and link.copy == copy else None)

    def connected(self) -> Iterable[str]:
        """Names of the members that we are connected to."""
        return [name for name, link in self._links.items() if link.writer is not None]

    async def close(self) -> None:
        """End all."""
        tasks = [link.task for link in self._links.values() if link.task] + list(self._incoming)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, link: _Link) -> None:
        delay = RETRY_SECONDS
        young_until = time.monotonic() + YOUNG_SECONDS
        doubted_until = 0.0
        while True:
            doubted = time.monotonic() < doubted_until
            link.came.clear()
            try:
                reader, writer = await self._connect(link, by_name=not doubted)
            except (OSError, TimeoutError) as error:
                log.debug("cannot reach peer %s: %s", link.name, error)
                if doubted:
                    # Its port was open when its connection had ended. So is, for a moment, that of a process that
                    # is being killed; one that lives completes the handshake.
                    doubted_until = await self._judge(link, doubted_until, first=False)
                    await asyncio.sleep(JUDGE_POLL_SECONDS)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await link.came.wait()
                if time.monotonic() >= young_until:
                    delay = min(delay * 2, RETRY_MAX_SECONDS)
                continue
            delay = RETRY_SECONDS
            log.info("connected to peer %s", link.name)
            link.writer = writer
            try:
                # It never says anything on this stream: this ends when the other end closes it.
                await reader.read(1)
            except (OSError, TimeoutError) as error:
                log.info("connection to peer %s broke: %s", link.name, error)
            finally:
                link.writer = None
                writer.close()
            doubted_until = await self._judge(link, time.monotonic() + JUDGE_SECONDS)

    async def _connect(self, link: _Link, *, by_name: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Where it was last; else, `by_name`, where the DNS says that it is."""
        known = link.address
        if known is not None:
            with contextlib.suppress(OSError, TimeoutError):
                return await self._open(link, known)
        if by_name:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await self._resolver.addresses(link.host)
            for address in found:
                if address != known:
                    with contextlib.suppress(OSError, TimeoutError):
                        return await self._open(link, address)
        raise OSError(errno.EHOSTUNREACH, "no address answers")

    async def _open(self, link: _Link, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(CONNECT_SECONDS):
            streams = await asyncio.open_connection(address, PEER_PORT, ssl=self._client_tls, server_hostname=link.host)
        link.address = address
        return streams

    async def _judge(self, link: _Link, deadline: float, *, first: bool = True) -> float:
        """The peer closed its end. Dead, if neither of its ports takes a connection any more.

        Looks until both refuse, or the agent's port is open: only a handshake tells whether anybody is behind that, and
        without one the peer is to be judged again until the deadline, which is returned; 0 where all is said. Silence
        counts at the first look only: later it may be the network's.
        """
        if link.address is None or link.copy is None:
            return 0.0
        address, copy = link.address, link.copy
        while time.monotonic() < deadline:
            agent, postgres = await asyncio.gather(_port(address, PEER_PORT), _port(address, POSTGRES_PORT))
            if agent == "open":
                return deadline
            gone = {"refused", "silent"} if first else {"refused"}
            if agent in gone and postgres in gone:
                log.warning("peer %s is dead: it closed its connection, and neither of its ports answers", link.name)
                self._on_dead(copy)
                return 0.0
            first = False
            await asyncio.sleep(JUDGE_POLL_SECONDS)
        return 0.0

    async def _receive(self, connection: Connection) -> None:
        channel = connection.channel
        try:
            if channel.peer != AGENT_CN:
                log.warning("refused a peer connection without an agent's certificate")
                return
            for link in self._links.values():
                link.came.set()
            while line := await channel.readline(MAX_LINE, LINE_SECONDS):
                envelope = decode(line)
                sender = self._links.get(name_of(envelope.sender))
                if sender is None:
                    continue
                sender.copy, sender.address = envelope.sender, envelope.address
                sender.history = envelope.history or sender.history
                sender.recent = envelope.recent or sender.recent
                self._on_message(envelope.sender, envelope.message)
        except (OSError, ValueError, WireError) as error:
            log.info("dropped an incoming peer connection: %s", error)


def _parsed(copy: CopyId, timeline: int, told: tuple[int, str] | None) -> History | None:
    if told is None or told[0] != timeline:
        return None
    try:
        history = parse_history(*told)
    except ValueError as error:
        log.warning("%s tells a damaged history: %s", copy, error)
        return None
    return None if history.placeholder or not history.contiguous() else history


def _write(link: _Link, line: bytes) -> None:
    writer = link.writer
    if writer is None or writer.is_closing():
        return
    if writer.transport.get_write_buffer_size() > MAX_LINE:
        log.info("peer %s does not read: its connection is given up", link.name)
        writer.transport.abort()
        return
    writer.write(line)


async def _port(address: str, port: int) -> Literal["open", "refused", "silent"]:
    """What a port does with a new connection. Whatever error comes back at once counts as a refusal."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return "silent"
    except OSError:
        return "refused"
    writer.close()
    return "open"
