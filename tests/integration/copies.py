"""Copies of a cluster on this host, each with an address, a volume and a server of its own."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.integration.certificates import HOST, Issuer

from aurora_operator.api.base.names import POSTGRES_PORT
from aurora_operator.postgres.config import configure, parameters
from aurora_operator.postgres.config.conf import Access, Runtime, Source
from aurora_operator.postgres.files import make_directory
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.replication.base_backup import base_backup
from aurora_operator.postgres.replication.standby import Standby
from aurora_operator.postgres.server.lock import VolumeLock
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.sql import queries
from aurora_operator.postgres.sql.session import Session
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal import pg_wal

SIZES = parameters.Sizes(
    cpu_millis=1000, memory=512 * parameters.MIB, volume=2 * parameters.GIB, smallest_memory=512 * parameters.MIB
)

Measured = Callable[[str, float], None]


def server_user() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("as root, the tests need a user postgres or nobody to run PostgreSQL as")


@dataclass
class Copy:
    tools: Tools
    layout: Layout
    name: str
    address: str
    major: int
    log: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = VolumeLock(self.layout.lock)
        self.lock.acquire()
        self.server = Server(self.tools, self.layout, sink=self.log.append, inherit_fds=self.lock.fds)
        self.session = Session(self.layout.run, timeout=5)
        self.standby = Standby(self.server, self.session, self.layout, self.name)

    @property
    def source(self) -> Source:
        return Source(host=HOST, address=self.address)

    @property
    def said(self) -> str:
        return b"".join(self.log).decode()

    def configure(
        self,
        runtime: Runtime,
        *,
        access: Access = "open",
        standby: bool = True,
        user: dict[str, str] | None = None,
        archive: bool = False,
    ) -> None:
        configure.install_certificates(self.layout)
        self.choose(user, archive=archive)
        configure.write_runtime(self.layout, runtime, copy=self.name)
        configure.write_archive(self.layout, None)
        configure.write_hba(self.layout, access)
        configure.set_standby(self.layout, standby)

    def choose(self, user: dict[str, str] | None = None, *, archive: bool = False, preload: str | None = None) -> None:
        """Write postgresql.conf."""
        sizes = replace(SIZES, major=self.major, archive=archive)
        choices = parameters.merge(parameters.compute(sizes), {"log_min_messages": "log", **(user or {})})
        people = {"postgres", "root", self.tools.user or getpass.getuser()}
        configure.write_base(
            self.layout,
            parameters.preload(choices, preload),
            cluster_name=self.name,
            os_users=sorted(people),
            listen=self.address,
        )

    async def start(self) -> None:
        await self.server.start()
        await self.server.wait_ready(20)

    async def restart_clean(self) -> None:
        """What an agent does to have recovery forget what it aims at."""
        await self.session.close()
        await self.server.stop("fast", 5)
        await pg_wal.clean_future_histories(self.tools, self.layout.pgdata)
        await self.start()

    async def clone_from(self, other: Copy, *, verify: bool = True) -> None:
        await base_backup(self.tools, self.layout, other.source, copy=self.name, verify=verify)

    async def streams(self, timeline: int, lsn: int, timeout: float = 10) -> float:  # noqa: ASYNC109
        """Wait until this copy has flushed `lsn` on `timeline`; returns how long it took."""
        start = time.monotonic()
        while time.monotonic() - start < timeout:
            now = await queries.status(self.session)
            if now.receiver and now.receiver.timeline == timeline and (now.receiver.flushed or 0) >= lsn:
                return time.monotonic() - start
            await _nap()
        raise AssertionError(f"{self.name} does not stream {timeline} to {lsn}: {now}\n{self.said[-3000:]}")

    async def close(self) -> None:
        await self.session.close()
        await self.server.stop("immediate", 3)
        self.lock.release()


async def _nap() -> None:
    await asyncio.sleep(0.01)


@dataclass
class Cluster:
    """Makes copies below one directory; the first is a copy of a template that initdb made once."""

    tools: Tools
    root: Path
    authority: Issuer
    template: Path
    network: str
    major: int
    copies: list[Copy] = field(default_factory=list)
    _closing: list[Callable[[], Awaitable[object]]] = field(default_factory=list)

    def on_close(self, end: Callable[[], Awaitable[object]]) -> None:
        """Have this called when the test is over."""
        self._closing.append(end)

    def blank(self) -> Copy:
        number = len(self.copies) + 1
        volume, run, tls = (self.root / f"{kind}{number}" for kind in ("v", "r", "t"))
        for path in (volume, run, tls):
            make_directory(path)
        self.authority.fill(tls)
        give(self.tools, tls)
        layout = Layout(data=volume, run=run, tls=tls)
        copy = Copy(self.tools, layout, f"demo-{number}/0000000{number}", f"{self.network}.{number}", self.major)
        self.copies.append(copy)
        return copy

    def first(self) -> Copy:
        copy = self.blank()
        subprocess.run(["cp", "-a", self.template, copy.layout.pgdata], check=True)
        copy.configure(Runtime(sync=(0, ())), standby=False)
        return copy

    @contextlib.asynccontextmanager
    async def closing(self) -> AsyncIterator[Cluster]:
        try:
            yield self
        finally:
            for end in reversed(self._closing):
                await end()
            for copy in self.copies:
                await copy.close()


def give(tools: Tools, path: Path) -> None:
    if tools.user is not None:
        for item in (path, *path.rglob("*")):
            shutil.chown(item, tools.user, tools.user)


@contextlib.contextmanager
def silent_host(address: str) -> Iterator[None]:
    """What is sent to PostgreSQL's port there is never answered, as that of a node that is gone."""
    with contextlib.ExitStack() as waiting:
        listening = waiting.enter_context(socket.socket())
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, POSTGRES_PORT))
        listening.listen(0)
        for _ in range(3):
            # One more than it lets wait: the kernel drops what comes then.
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((address, POSTGRES_PORT))
        yield
