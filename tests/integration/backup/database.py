"""A database that is backed up to a place on this host: what an agent does, without the agent."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from tests.integration.copies import SIZES, Cluster, Copy, give
from tests.integration.objects import ObjectStore
from tests.integration.stores.store import BUCKET, Store

from aurora_operator.api.spec.placement import SecretReference
from aurora_operator.api.spec.repository import Encryption, Repository
from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.backup.archiver import Archiver, ArchiveState
from aurora_operator.postgres.config import configure, parameters
from aurora_operator.postgres.config.conf import Runtime, slot_name
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.pgbackrest.repository import Access, Peer
from aurora_operator.postgres.pgbackrest.server import BackupServer
from aurora_operator.postgres.restore.restoring import Restore, Restored, restoring
from aurora_operator.postgres.sql import queries, roles
from aurora_operator.postgres.wal import pg_wal

PLACE = "snapshots/monday-1f2e3d4c"
ENCRYPTION = Encryption(secret=SecretReference(name="passphrase"))


Place = TypeVar("Place", bound=Store)


@dataclass
class DatabaseAt(Generic[Place]):
    cluster: Cluster
    store: Place
    program: str
    stanza: str = "demo-12345678"
    servers: list[BackupServer] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=lambda: {"job-retry-interval": "0"})
    """Options of pgBackRest: what is damaged is damaged at once."""

    def lose_patience(self) -> None:
        """For repositories made from now on: a place that does not answer is given up within two seconds."""
        self.more["io-timeout"] = "2"

    def repository(self, layout: Layout, *, secret_key: str | None = None, bucket: str = BUCKET) -> PgBackRest:
        mount = layout.run.parent / f"secrets-{layout.run.name}"
        self.store.mount(mount, secret_key=secret_key)
        give(self.cluster.tools, mount)
        repository = Repository(
            destination=self.store.destination(bucket=bucket), stanza=self.stanza, encryption=ENCRYPTION
        )
        access = Access(repository, mount, layout, retention_days=7, program=self.program, more=dict(self.more))
        return PgBackRest(self.cluster.tools, access)

    async def leader(self, epoch: int = 34) -> Copy:
        """The first copy, promoted onto an epoch with a gap before it, as the first leader of a cluster is."""
        copy = self.cluster.first()
        await copy.start()
        await roles.ensure_roles(copy.session, master="app", password="password", database="app")
        await self.restart(copy)
        await self.promote(copy, epoch)
        await copy.session.rows(
            "CREATE TABLE public.t (id bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())"
        )
        return copy

    async def restart(self, copy: Copy, user: dict[str, str] | None = None) -> None:
        """As an agent does: as a standby that follows nobody, with no archive command. `user` are its parameters."""
        await copy.session.close()
        await copy.server.stop("fast", 5)
        await pg_wal.clean_future_histories(self.cluster.tools, copy.layout.pgdata)
        copy.configure(Runtime(sync=(0, ())), archive=True, user=user)
        await copy.start()

    async def promote(self, copy: Copy, epoch: int) -> None:
        await copy.standby.apply(Runtime(sync=(0, ())))
        await copy.standby.promote(epoch)

    async def reader(self, source: Copy, user: dict[str, str] | None = None) -> Copy:
        reader = self.cluster.blank()
        await queries.create_slot(source.session, slot_name(reader.name))
        await reader.clone_from(source, verify=False)
        reader.configure(Runtime(source=source.source, slot=slot_name(reader.name)), archive=True, user=user)
        await reader.start()
        return reader

    def archiver(self, copy: Copy, epoch: int, **how: str) -> Archiver:
        return Archiver(copy.server, copy.session, copy.layout, self.repository(copy.layout, **how), epoch)

    async def archiving(self, copy: Copy, epoch: int = 34) -> Archiver:
        archiver = self.archiver(copy, epoch)
        archiver.keep()
        await archiver.begin()
        await queries.checkpoint(copy.session)  # pgBackRest looks for the timeline in pg_control
        return archiver

    async def serve(self, leader: Copy, archiver: Archiver) -> Peer:
        """pgBackRest's server beside the leader, for a reader."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        access = archiver.pgbackrest.access
        more = {**access.more, "tls-server-address": "127.0.0.1", "tls-server-port": str(port)}
        serving = BackupServer(PgBackRest(self.cluster.tools, replace(access, more=more)))
        await serving.start()
        self.servers.append(serving)
        return Peer("localhost", port, leader.layout, access.config)

    async def restore(
        self, target: RestoreTarget | None = None, label: str | None = None, **how: str
    ) -> tuple[Copy, Restored]:
        """Restore into a blank copy, and start that as a cluster of its own."""
        copy = self.cluster.blank()
        restored = await self.restorer(copy, **how).run(target or RestoreTarget(), label=label)
        copy.configure(Runtime(sync=(0, ())), standby=False)
        await copy.start()
        return copy, restored

    def restorer(self, copy: Copy, **how: str) -> Restore:
        def choices(minimums: Mapping[str, int]) -> tuple[parameters.Choice, ...]:
            sizes = replace(SIZES, major=copy.major)
            return parameters.merge(parameters.compute(sizes), {"log_min_messages": "log"}, minimums)

        configure.install_certificates(copy.layout)
        people = {"postgres", "root", self.cluster.tools.user or getpass.getuser()}
        return Restore(
            tools=self.cluster.tools,
            layout=copy.layout,
            pgbackrest=self.repository(restoring(copy.layout), **how),
            choices=choices,
            sink=copy.log.append,
            os_users=tuple(sorted(people)),
        )


Database = DatabaseAt[ObjectStore]
"""The usual place: an S3 server."""


def beside(database: DatabaseAt[Place], copy: Copy, place: str = PLACE) -> PgBackRest:
    """The repository of a snapshot, below the cluster's own."""
    main = database.repository(copy.layout)
    repository = main.access.repository
    path = f"{repository.destination.path}/{place}"
    inner = repository.model_copy(update={"destination": repository.destination.model_copy(update={"path": path})})
    return replace(main, access=replace(main.access, repository=inner, called="snapshot"))


async def insert(copy: Copy, *numbers: int) -> int:
    for number in numbers:
        await copy.session.rows("INSERT INTO public.t (id) VALUES (%s)", [number])
    return await queries.flush(copy.session)


async def ids(copy: Copy) -> list[int]:
    return [i for (i,) in await copy.session.rows("SELECT id FROM public.t ORDER BY id")]


async def fill_segment(copy: Copy) -> None:
    """Have the present segment end, with something in it."""
    await copy.session.rows("SELECT pg_logical_emit_message(true, 'test', 'x')")
    await copy.session.rows("SELECT pg_switch_wal()")


async def archived(archiver: Archiver, timeout: float = 20) -> ArchiveState:  # noqa: ASYNC109
    """Wait until no segment waits for the archive."""
    async with asyncio.timeout(timeout):
        while True:
            state = await archiver.state()
            if state.waiting == 0:
                return state
            await asyncio.sleep(0.05)


def now() -> datetime:
    return datetime.now(UTC)


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
