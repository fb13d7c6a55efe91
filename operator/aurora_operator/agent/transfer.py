"""`python -m aurora_operator.agent.transfer export|import`: the process of a transfer's Job.

It knows the cluster from the mounted connection Secret, the destination of exports as the Jobs of snapshots do, and
prints how far it is, a line at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aurora_operator.agent.backup.repository import repository_in_job
from aurora_operator.api.base import names
from aurora_operator.api.base.password import parse_password
from aurora_operator.postgres import disk
from aurora_operator.postgres.errors import DataError, PostgresError
from aurora_operator.postgres.export import exports
from aurora_operator.postgres.export.export_format import About
from aurora_operator.postgres.export.server import MAINTENANCE, Server, engine_version
from aurora_operator.postgres.export.servers import Servers
from aurora_operator.postgres.export.transfer import export_database, import_database, require_empty
from aurora_operator.postgres.export.trial import require_readable, unlogged_tables
from aurora_operator.postgres.pgbackrest.commands import PgBackRest
from aurora_operator.postgres.tools import Tools

MESSAGE = Path("/dev/termination-log")
MESSAGE_BYTES = 4000
QUIET_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
TRIAL_BYTES = 1 << 20


@dataclass
class Transfer:
    """One database, to or from a folder or an export in the destination."""

    tools: Tools
    server: Server
    database: str
    jobs: int
    say: Callable[[str], None]
    other_locale: bool = False
    others: tuple[Server, ...] = ()
    """Servers with the same data, the writer last, for an export, if `server` does not answer or goes."""
    patience: float = 0
    """Seconds to wait until one answers."""

    remarks: list[str] = field(default_factory=list)
    """What is to be known of one that is complete."""

    def __post_init__(self) -> None:
        self._started = self._said = time.monotonic()

    async def export_to(self, repository: PgBackRest, name: str, cluster: str, scratch: Path) -> None:
        """Dump it to `scratch`, and store that as an export. Raises PostgresError, OSError."""
        servers = await self._servers()
        version = await servers.persist(self._readable)
        await asyncio.to_thread(repository.configure)
        async with exports.claimed(repository, name):
            about = About(cluster, self.database, version)
            begun, dump = datetime.now(UTC), scratch / "dump"
            await self._dump(servers, dump)
            await exports.publish(repository, name, dump, about, begun, on_progress=self._bytes("uploaded"))

    async def import_from(self, repository: PgBackRest, name: str, scratch: Path) -> None:
        """Fetch an export to `scratch`, and fill the database with it. Raises PostgresError, OSError."""
        await asyncio.to_thread(repository.configure)
        manifest = await exports.find(repository, name)
        about = manifest.about
        self.say(f"of database {about.database} of {about.cluster}, PostgreSQL {about.engine_version}, {manifest.time}")
        await self._writer().persist(lambda server: require_empty(server, self.database))
        free = disk.usage(scratch).free
        if free < manifest.size:
            raise DataError(f"the export has {manifest.size} bytes, and the scratch volume room for {free}")
        dump = scratch / "dump"
        await exports.fetch(repository, manifest, dump, on_progress=self._bytes("downloaded"))
        await self.import_folder(dump)

    async def export_folder(self, target: Path) -> None:
        """Dump it to a folder. Raises PostgresError, OSError."""
        await self._dump(await self._servers(), target)

    async def import_folder(self, source: Path) -> None:
        """Fill it from a folder, once: only the wait for the server comes before. Raises PostgresError, OSError."""
        server, _ = await self._writer().answering()
        await import_database(
            self.tools,
            server,
            self.database,
            source,
            jobs=self.jobs,
            on_progress=self._tables,
            warn=self._warn,
            other_locale=self.other_locale,
        )

    async def _servers(self) -> Servers:
        all_of_them = Servers((self.server, *self.others), self.database, self.say, patience=self.patience)
        unlogged = await all_of_them.persist(lambda server: unlogged_tables(server, self.database))
        if not unlogged or not self.others:
            return all_of_them
        self.say(f"{unlogged} tables are unlogged, which readers do not have: the export is made at the writer")
        return Servers(self.others[-1:], self.database, self.say, patience=self.patience)

    def _writer(self) -> Servers:
        return Servers([self.server], MAINTENANCE, self.say, patience=self.patience)

    async def _readable(self, server: Server) -> str:
        await require_readable(server, self.database)
        return await engine_version(server, self.database)

    async def _dump(self, servers: Servers, target: Path) -> None:
        await servers.persist(
            lambda server: export_database(
                self.tools,
                server,
                self.database,
                target,
                jobs=self.jobs,
                on_progress=self._tables,
                warn=self._warn,
            )
        )

    def _warn(self, text: str) -> None:
        self.remarks.append(text)
        self.say(text)

    def _tables(self, done: int, total: int, table: str) -> None:
        self._far(done, total, f"{done} of {total} tables", f"; the last one: {table}" if table else "")

    def _bytes(self, verb: str) -> Callable[[int, int], None]:
        return lambda done, total: self._far(done, total, f"{verb} {done >> 20} of {-(-total >> 20)} MiB", "")

    def _far(self, done: int, total: int, far: str, more: str) -> None:
        if done == total or time.monotonic() - self._said >= QUIET_SECONDS:
            self._said = time.monotonic()
            self.say(f"{far} in {self._said - self._started:.0f} s{more}")


def main(arguments: list[str] | None = None) -> int:
    """Do it; 1 and a sentence when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m aurora_operator.agent.transfer")
    parser.add_argument("verb", choices=("export", "import"))
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--name", help="an export in the destination, by way of PATH; else PATH is the export")
    parser.add_argument(
        "--host", required=True, action="append", help="repeated for an export: the best first, the writer last"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--other-locale", action="store_true", help="import into a database that sorts otherwise")
    options = parser.parse_args(arguments)
    try:
        leave("\n".join(asyncio.run(_run(options))))
    except (PostgresError, OSError) as error:
        hint = full_hint(error, options.path, scratch=options.name is not None)
        told = f"{options.verb} of {options.database} failed: {error}{hint}"
        print(told, file=sys.stderr, flush=True)
        leave(told)
        return 1
    except asyncio.CancelledError:
        print(f"{options.verb} of {options.database} was called off", file=sys.stderr, flush=True)
        return 143
    return 0


def full_hint(error: Exception, path: Path, *, scratch: bool) -> str:
    """What to add to an error if the volume at `path` takes no more; `scratch` says that it is the Job's own.

    The volume is asked: what programs have said holds names that users give.
    """
    found = error if isinstance(error, OSError) else None
    if found is None or found.errno not in disk.FULL:
        found = disk.trial(path if path.is_dir() else path.parent, TRIAL_BYTES)
    if found is None or found.errno not in disk.FULL:
        return ""
    return "; its volume is full" + (": give it a larger one by --scratch" if scratch else "")


def leave(text: str, message: Path = MESSAGE) -> None:
    """Put it where Kubernetes keeps it with the pod, apart from the log's other lines."""
    with contextlib.suppress(OSError):
        if message.exists():
            message.write_text(text.encode(errors="replace")[:MESSAGE_BYTES].decode(errors="ignore"))


async def _run(options: argparse.Namespace) -> list[str]:
    """What is to be known besides, when it is complete."""
    task = asyncio.current_task()
    if task is not None:
        # What has been stored is to be removed. The first process of a container ignores what it has no handler for.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    folder, started = Path(names.APP_MOUNT), time.monotonic()
    user, password = (folder / "username").read_text(), parse_password((folder / "password").read_bytes())
    server, *others = (Server(host, user, password, folder / "ca.crt") for host in options.host)
    transfer = Transfer(
        Tools(),
        server,
        options.database,
        options.jobs,
        _say,
        options.other_locale,
        others=tuple(others),
        patience=PATIENCE_SECONDS,
    )
    where = options.name or options.path
    _say(f"{options.verb} of database {options.database} by {options.host[0]}, {where}")
    match options.verb, options.name:
        case "export", None:
            await transfer.export_folder(options.path)
        case "export", name:
            await transfer.export_to(_repository(transfer.tools), name, options.cluster, options.path)
        case _, None:
            await transfer.import_folder(options.path)
        case _, name:
            await transfer.import_from(_repository(transfer.tools), name, options.path)
    _say(f"complete after {time.monotonic() - started:.1f} s")
    return transfer.remarks


def _repository(tools: Tools) -> PgBackRest:
    return repository_in_job(tools, names.ENV_TARGET, names.BACKUP_MOUNT)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
