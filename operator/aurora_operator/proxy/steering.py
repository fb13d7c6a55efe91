"""Puts in force what `proxy.routing` makes of what the agents say: at the gates, and in the two PgBouncers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from aurora_operator.api.agent.proxy import ProxySettings, Standing
from aurora_operator.api.base import names
from aurora_operator.net.http_client import ClientError
from aurora_operator.proxy.agents import Agent, Find, Identity
from aurora_operator.proxy.gate import Gate
from aurora_operator.proxy.pgbouncer import GATE_HOST, ConsoleError, Door, PgBouncer
from aurora_operator.proxy.places import Places
from aurora_operator.proxy.probe import NotOpen, Open, probe
from aurora_operator.proxy.routing import Address, Route, route, share

log = logging.getLogger(__name__)

LOST_SECONDS: Final = 3.0
"""A reader whose agent is silent for so much longer is frozen or gone: its sessions end."""
LOOK_SECONDS: Final = 1.0
"""How often the copies' addresses are looked up."""
REFRESH_SECONDS: Final = 10.0
PROBE_SECONDS: Final = 0.05
RESUME_SECONDS: Final = 1.0
SAY_SECONDS: Final = 10.0
WAKE_SECONDS: Final = 1.0
SSL_REQUEST: Final = struct.pack("!II", 8, 80877103)


@dataclass
class _Known:
    """An instance that has let us log in since it began to be what it is."""

    standing: tuple[str, int]
    """Its role and epoch then."""
    open: Open


@dataclass
class Counts:
    """What has happened; for metrics."""

    writers: int = 0
    """Times that sessions were led to another writer."""
    dropped: int = 0
    """Sessions that were ended with a deposed writer, or with a reader that was lost."""
    pauses: int = 0


@dataclass
class Steering:
    """Of one pod. `wake_host` has a client of a cluster that sleeps held, and the cluster woken."""

    settings: ProxySettings
    places: Places
    identity: Identity
    find: Find
    me: str
    wake_host: str | None = None
    route: Route = field(default_factory=Route)
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._standings: dict[Address, Standing] = {}
        self._agents: dict[Address, tuple[Agent, asyncio.Task[None], str]] = {}
        self._known: dict[Address, _Known] = {}
        self._probing: set[Address] = set()
        self._left: set[Address] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._led_to: tuple[Address, int] | None = None
        self._pausing: dict[PgBouncer, asyncio.Task[Any]] = {}
        """Those that are paused, or are about to be."""
        self._reconnected: frozenset[Address] = frozenset()
        self._sizing = asyncio.Lock()
        gate, proxy = self.places.gate, self.settings.proxy
        self.writer_gate = Gate(names.POSTGRES_PORT, self._changed)
        self.reader_gate = Gate(names.POSTGRES_PORT, self._changed)
        self.bouncers = (
            PgBouncer(proxy, Door("rw", self.places.port, gate), self.places),
            PgBouncer(proxy, Door("ro", self.places.ro_port, gate + 1), self.places),
        )

    @property
    def writer(self) -> Address | None:
        """The writer that sessions are led to."""
        writer = self.route.writer
        return writer if writer is not None and self._usable(writer) and not self.route.leaving else None

    async def run(self, ready: asyncio.Event) -> None:
        """Until cancelled, or until a part fails, which is raised: ConsoleError, OSError."""
        gates = ((self.writer_gate, self.places.gate), (self.reader_gate, self.places.gate + 1))
        servers = [await gate.serve(GATE_HOST, port) for gate, port in gates]
        try:
            for bouncer in self.bouncers:
                await bouncer.start()
            ready.set()
            async with asyncio.TaskGroup() as group:
                for part in (self._look(), self._refresh(), self._wake()):
                    group.create_task(part)
                for bouncer in self.bouncers:
                    group.create_task(_outlive(bouncer))
        finally:
            for server in servers:
                server.close()
            tasks = [*self._tasks, *(task for _, task, _ in self._agents.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for bouncer in self.bouncers:
                await bouncer.stop()
            self.writer_gate.close()
            self.reader_gate.close()

    async def drain(self) -> None:
        """Take no clients any more, and wait until the last has gone by itself."""
        for bouncer in self.bouncers:
            bouncer.closing = True
            with contextlib.suppress(ConsoleError):
                await bouncer.tell("SHUTDOWN WAIT_FOR_CLIENTS")
        await asyncio.gather(*(bouncer.ended() for bouncer in self.bouncers))

    # --- what is heard ---

    async def _look(self) -> None:
        while True:
            try:
                found = await self.find()
            except OSError as error:
                log.debug("looking for the copies: %s", error)  # Those that are known stay.
            else:
                for address in self._agents.keys() - found.keys():
                    if address not in self._standings:
                        self._agents.pop(address)[1].cancel()
                for address in found.keys() - self._agents.keys():
                    agent = Agent(
                        address,
                        found[address],
                        self.identity.context,
                        self.me,
                        lambda standing, address=address: self._heard(address, standing),  # type: ignore[misc]
                    )
                    task = asyncio.create_task(agent.listen(), name=f"agent at {address}")
                    self._agents[address] = agent, task, found[address]
            await asyncio.sleep(LOOK_SECONDS)

    def _heard(self, address: Address, standing: Standing | None) -> None:
        if standing is None or standing.role == "none":
            self._known.pop(address, None)  # Whatever it becomes, it has to let us in again first.
        if standing is None:
            if self._standings.pop(address, None) is not None:
                asyncio.get_running_loop().call_later(LOST_SECONDS, self._lost, address)
                self._changed()
            return
        if self._standings.get(address) != standing:
            self._standings[address] = standing
            self._changed()

    def _lost(self, address: Address) -> None:
        if address not in self._standings:
            self.counts.dropped += self.reader_gate.drop(lambda other, _: other != address)

    # --- what follows ---

    def _changed(self) -> None:
        """Something is not as it was. Whatever is decided is put in force at once, or begun."""
        before, standings = self.route, self._standings
        self.route = now = route(standings, before, self.settings.proxy.max_replica_lag)
        if now.epoch != before.epoch or now.writer != before.writer:
            log.info("epoch %d: the writer is %s", now.epoch, self._name(now.writer))
        if now.epoch != before.epoch:
            self.counts.dropped += self.writer_gate.drop(lambda _, epoch: epoch >= now.epoch)
        self.counts.dropped += self.reader_gate.drop(
            lambda address, _: address not in standings or address in now.serving
        )
        self._left &= {address for address, standing in standings.items() if standing.leaving}
        for address, standing in standings.items():
            if standing.role != "none" and not self._usable(address) and address not in self._probing:
                self._probing.add(address)
                self._begin(self._probe(address))
        self._lead()
        self._pause()
        self._leave()

    def _usable(self, address: Address) -> bool:
        standing, known = self._standings.get(address), self._known.get(address)
        if standing is None or known is None or known.standing != (standing.role, standing.epoch):
            return False
        return known.open.writes == (standing.role == "writer")

    def _lead(self) -> None:
        now, writer = self.route, self.writer
        readers = frozenset(address for address in now.readers if self._usable(address))
        used = {writer, *readers} - {None}
        least = min((self._known[a].open.max_connections for a in used if a is not None), default=0)
        both = 2 if writer in readers else 1
        most = share(least, self.settings.proxy.max_connections_percent, now.proxies * both) if least else 0
        self.writer_gate.lead(frozenset() if writer is None else frozenset({writer}), now.epoch, most)
        self.reader_gate.lead(readers, now.epoch, most)
        if most:
            for bouncer, sessions in zip(self.bouncers, (most, most * max(len(readers), 1)), strict=True):
                if bouncer.sessions != sessions:
                    self._begin(self._resize(bouncer, sessions))
        if writer is not None and (writer, now.epoch) != self._led_to:
            self._led_to = writer, now.epoch
            self.counts.writers += 1
        if readers and readers != self._reconnected:
            self._reconnected = readers
            if self.reader_gate.joined:
                self._begin(self._tell(self.bouncers[1], "RECONNECT"))

    @property
    def _pauses(self) -> bool:
        """Whether there is anything to wait for: who has a session as long as he likes never lets go of it."""
        return self.settings.proxy.pool_mode == "transaction"

    def _pause(self) -> None:
        """While the writer hands over, nobody begins a transaction there; clients of readers go on."""
        if self.route.leaving and self._pauses:
            used = zip(self.bouncers, (True, not self.route.readers), strict=True)
            for bouncer in [bouncer for bouncer, affected in used if affected and bouncer not in self._pausing]:
                self.counts.pauses += bouncer is self.bouncers[0]
                self._pausing[bouncer] = self._begin(self._tell(bouncer, "PAUSE"))
        elif self._pausing and self.writer is not None:
            pausing, self._pausing = self._pausing, {}
            for bouncer, task in pausing.items():
                self._begin(self._resume(bouncer, task))

    async def _resume(self, bouncer: PgBouncer, pausing: asyncio.Task[Any]) -> None:
        # Whatever it still waits for was with a server that has gone.
        await asyncio.wait((pausing,), timeout=RESUME_SECONDS)
        await self._tell(bouncer, "RESUME")

    def _leave(self) -> None:
        """Tell whoever is about to stop that nobody is there any more."""
        for address, standing in self._standings.items():
            if not standing.leaving or address in self._left:
                continue
            pausing = standing.role == "writer" and not all(task.done() for task in self._pausing.values())
            there = any(gate.sessions(address) for gate in (self.writer_gate, self.reader_gate))
            if not self._pauses or not (pausing or there):
                self._left.add(address)
                self._begin(self._say_left(address))

    # --- tasks ---

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tell(self, bouncer: PgBouncer, command: str) -> None:
        try:
            await bouncer.tell(command)
        except ConsoleError as error:
            log.warning("%s", error)
        finally:
            asyncio.get_running_loop().call_soon(self._leave)

    async def _resize(self, bouncer: PgBouncer, sessions: int) -> None:
        async with self._sizing:
            with contextlib.suppress(ConsoleError):
                await bouncer.allow(sessions)

    async def _say_left(self, address: Address) -> None:
        try:
            await self._agents[address][0].left()
        except ClientError as error:
            log.info("%s was not told that nobody is there any more: %s", self._name(address), error)

    async def _probe(self, address: Address) -> None:
        """Until it lets us log in as what its agent says that it is."""
        loop = asyncio.get_running_loop()
        say_at = loop.time() + SAY_SECONDS
        try:
            while (standing := self._standings.get(address)) is not None and standing.role != "none":
                try:
                    found = await probe(address, self._agents[address][2], self.places)
                except NotOpen as error:
                    if loop.time() >= say_at:
                        log.warning("%s lets nobody in: %s", self._name(address), error)
                        say_at = loop.time() + SAY_SECONDS
                else:
                    if found.writes == (standing.role == "writer"):
                        self._known[address] = _Known((standing.role, standing.epoch), found)
                        if self._usable(address):
                            break
                await asyncio.sleep(PROBE_SECONDS)
        finally:
            self._probing.discard(address)
        self._changed()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                renewed = await asyncio.to_thread(self.identity.refresh)
            except (OSError, ValueError) as error:
                log.warning("certificates cannot be read: %s", error)
                continue
            if renewed:
                log.info("certificates renewed")
                for bouncer in self.bouncers:
                    await self._tell(bouncer, "RELOAD")

    async def _wake(self) -> None:
        """While somebody waits and no copy is there: ask for a session as any client does, which wakes the cluster."""
        while True:
            await asyncio.sleep(WAKE_SECONDS)
            if self.wake_host is None or self._standings:
                continue
            if not (self.writer_gate.waiting or self.reader_gate.waiting):
                continue
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self.settings.proxy.connection_borrow_timeout):
                    reader, writer = await asyncio.open_connection(self.wake_host, names.POSTGRES_PORT)
                    try:
                        writer.write(SSL_REQUEST)
                        await reader.read(1)  # The gateway holds it, and passes on what PostgreSQL answers.
                    finally:
                        writer.close()

    def _name(self, address: Address | None) -> str:
        standing = self._standings.get(address) if address is not None else None
        return standing.name if standing is not None else address or "not known"


async def _outlive(bouncer: PgBouncer) -> None:
    """Raises ConsoleError at the end of a PgBouncer that nobody has ended."""
    code = await bouncer.ended()
    if not bouncer.closing:
        raise ConsoleError(f"PgBouncer ({bouncer.door.name}) ended with {code}")
