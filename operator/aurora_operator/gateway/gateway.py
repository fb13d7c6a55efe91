"""Holds clients of a cluster that sleeps, has it woken, and then passes their bytes on, untouched, in both directions.

It reads no further than a first packet: TLS and authentication are between the client and PostgreSQL. What a client
has sent is kept until the writer is open, and sent there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from aurora_operator.gateway.login import AT_A_TIME, Login
from aurora_operator.gateway.pace import Pace
from aurora_operator.gateway.packets import ALPN, MOST, First, classify, error
from aurora_operator.net.kubernetes import KubeError

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_SECONDS: Final = 10.0
"""A client that has not said what it wants by then wants nothing."""
HOLD_SECONDS: Final = 300.0
"""A client is not held for longer than this."""
CONNECT_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.1
CHUNK: Final = 1 << 16
BACKLOG: Final = 4096
MOST_UNKNOWN: Final = 2000
"""Connections that have not sent a first packet yet. The oldest of more than these is ended: a scanner's flood does not
keep clients out, who send theirs at once."""
MOST_HELD: Final = 20_000

Address = tuple[str, int]
Clients = Literal["none", "waiting", "joined"]
"""Nobody; somebody waits to be let in; all have been."""


@dataclass(frozen=True)
class Refusal:
    """What clients hear that get no session."""

    message: str
    hint: str
    tls: Callable[[], ssl.SSLContext]


class Gateway:
    """One cluster's. `find` tells where its writer is, or None while there is none that is open.

    `late` is for those who were held in vain; `refusal` for all, of a cluster that was stopped by hand.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[Address | None]],
        tell: Callable[[Clients], Awaitable[None]],
        *,
        late: Refusal,
        refusal: Refusal | None = None,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        """`tell` is called with what has changed about the clients as a whole; it may fail, and is called again."""
        self._find = find
        self._tell = tell
        self._late = late
        self._refusal = refusal
        self._hold_seconds = hold_seconds
        self._waiting = 0
        self._joined = 0
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._writer: Address | None = None
        self._changed = asyncio.Event()
        self._open = asyncio.Event()
        self._closing = False
        self._pace = Pace()
        self._logins = asyncio.Semaphore(AT_A_TIME)

    @property
    def clients(self) -> Clients:
        """How things are."""
        return "waiting" if self._waiting else "joined" if self._joined else "none"

    async def serve(self, host: str, port: int, ready: asyncio.Event | None = None) -> None:
        """Until cancelled."""
        server = await asyncio.start_server(self._client, host or None, port, backlog=BACKLOG, limit=CHUNK)
        async with server, asyncio.TaskGroup() as group:
            group.create_task(self._report())
            group.create_task(self._watch())
            if ready is not None:
                ready.set()
            await server.serve_forever()

    def close(self) -> None:
        """Take nobody more: whoever comes now is told to come again."""
        self._closing = True

    async def drained(self) -> None:
        """Until nobody is held or joined any more."""
        while self._waiting or self._joined:
            await asyncio.sleep(RETRY_SECONDS)

    async def _report(self) -> None:
        told: Clients | None = None
        while True:
            now = self.clients
            if now != told:
                try:
                    await self._tell(now)
                    told = now
                except (KubeError, OSError) as failure:
                    log.warning("cannot tell that clients are %s: %s", now, failure)
                    await asyncio.sleep(RETRY_SECONDS)
                continue
            self._changed.clear()
            await self._changed.wait()

    async def _watch(self) -> None:
        """While somebody waits: look where the writer is."""
        while True:
            if not self._waiting:
                self._open.clear()
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                self._writer = await self._find()
            except (KubeError, OSError) as failure:
                log.warning("cannot look for the writer: %s", failure)
                self._writer = None
            if self._writer is not None:
                if not self._open.is_set():
                    self._pace.opened(asyncio.get_running_loop().time())
                self._open.set()
            else:
                self._open.clear()
            await asyncio.sleep(RETRY_SECONDS)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._closing or self._waiting >= MOST_HELD:
                return
            await self._serve_client(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except Exception:
            log.exception("a client was let down")
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stranger = asyncio.current_task()
        assert stranger is not None  # noqa: S101 - each client has one
        if len(self._strangers) >= MOST_UNKNOWN:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()
        self._strangers[stranger] = None
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                first, held = await _first_packet(reader)
        except TimeoutError:
            return
        finally:
            self._strangers.pop(stranger, None)
        if not first.wakes:
            return
        if self._refusal is not None:
            await _refuse(self._refusal, first, held, reader, writer)
            return
        self._waiting += 1
        self._changed.set()
        try:
            async with asyncio.timeout(self._hold_seconds):
                joined = await self._connect(reader, first, held)
        except TimeoutError:
            await _refuse(self._late, first, held, reader, writer)
            return
        finally:
            self._waiting -= 1
            self._changed.set()
        if joined is None:
            return
        upstream, login = joined
        self._joined += 1
        try:
            await _splice((reader, writer), upstream, login)
        finally:
            self._joined -= 1
            self._changed.set()

    async def _connect(
        self, client: asyncio.StreamReader, first: First, held: bytes
    ) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], Login] | None:
        """A connection to the writer on which what was held has been sent; None if the client has gone."""
        while True:
            reading, opened = asyncio.ensure_future(client.read(MOST)), asyncio.ensure_future(self._open.wait())
            try:
                await asyncio.wait((reading, opened), return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    # It should wait for an answer; what it says nevertheless is passed on, in bounds.
                    more = reading.result()
                    held += more
                    if not more or len(held) > MOST:
                        return None
                    continue
            finally:
                opened.cancel()
                reading.cancel()
            await self._turn()
            upstream = None
            try:
                upstream = await self._upstream()
            finally:
                if upstream is None:
                    self._logins.release()
            if upstream is not None:
                upstream[1].write(held)
                return upstream, Login(first, self._logins.release)
            await asyncio.sleep(RETRY_SECONDS)

    async def _upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the writer; None while that is not there."""
        address = self._writer
        if address is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(*address, limit=CHUNK)
        return None

    async def _turn(self) -> None:
        """Wait for one's turn to log in, which has to be given back."""
        now = asyncio.get_running_loop().time()
        turn = self._pace.turn(now)
        if turn > now:
            await asyncio.sleep(turn - now)
        await self._logins.acquire()


async def _first_packet(reader: asyncio.StreamReader) -> tuple[First, bytes]:
    held = b""
    while True:
        kind = classify(held)
        if kind is not First.INCOMPLETE:
            return kind, held
        more = await reader.read(CHUNK)
        if not more:
            return First.FOREIGN, held
        held += more


async def _splice(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    login: Login,
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            told = group.create_task(_copy(client[0], upstream[1], login.client_spoke))
            told.add_done_callback(lambda _: login.end())
            group.create_task(_copy(upstream[0], client[1], login.server_spoke))
    except* OSError:
        pass
    finally:
        upstream[1].close()
        with contextlib.suppress(OSError):
            await upstream[1].wait_closed()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, spoke: Callable[[], None]) -> None:
    while data := await source.read(CHUNK):
        spoke()
        sink.write(data)
        await sink.drain()
    with contextlib.suppress(OSError):
        sink.write_eof()


async def _refuse(
    refusal: Refusal, first: First, held: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Say why there is no session, in the way that the client has asked for: libpq believes errors only inside TLS."""
    said = error("57P03", refusal.message, refusal.hint)
    async with asyncio.timeout(FIRST_SECONDS):
        if first is First.DIRECT:
            await _refuse_in_tls(refusal.tls(), said, held, reader, writer)
            return
        while first is not First.STARTUP:
            if first is First.SSL:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(refusal.tls())
            elif first is First.GSS:
                writer.write(b"N")
                await writer.drain()
            else:
                return
            first, _ = await _first_packet(reader)
        writer.write(said)
        await writer.drain()


async def _refuse_in_tls(
    context: ssl.SSLContext, said: bytes, held: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """The same inside TLS whose hello has been read already: `start_tls` cannot be given bytes."""
    context.set_alpn_protocols([ALPN.decode()])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(held)

    async def done(step: Callable[[], T]) -> T | None:
        """What the step gives once it has all that it needs; None if the client has gone."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                await writer.drain()
                more = await reader.read(CHUNK)
                if not more:
                    return None
                incoming.write(more)
            finally:
                writer.write(outgoing.read())

    def shake_hands() -> bool:
        tls.do_handshake()
        return True

    if not await done(shake_hands):
        return
    packet = b""
    while classify(packet) is First.INCOMPLETE:
        more = await done(lambda: tls.read(MOST))
        if not more:
            return
        packet += more
    if classify(packet) is First.STARTUP:
        tls.write(said)
        writer.write(outgoing.read())
        await writer.drain()
