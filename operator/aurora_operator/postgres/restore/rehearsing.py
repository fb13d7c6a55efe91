"""The rehearsal of a restore: the newest backup and all WAL since, into a place of its own, looked at from all sides.

Nothing goes out from here: PostgreSQL listens on no port, archives nothing, and has no subscriptions at work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import psycopg

from aurora_operator.api.agent.rehearsal import RehearsalReport, Step
from aurora_operator.api.base import names
from aurora_operator.api.base.lsn import format_lsn
from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.config import conf, configure, pins
from aurora_operator.postgres.config.parameters import Choice
from aurora_operator.postgres.errors import PostgresError, QueryError, RepositoryError, ToolError
from aurora_operator.postgres.files import write_durably
from aurora_operator.postgres.pgbackrest.commands import LONG_SECONDS
from aurora_operator.postgres.restore.restoring import Restore
from aurora_operator.postgres.server.control import read_control
from aurora_operator.postgres.server.postmaster import Server
from aurora_operator.postgres.sql.session import Session

log = logging.getLogger(__name__)

ROLE: Final = "aurora_rehearsal"
"""Whom the query runs as: it may read everything and change nothing. Not a superuser who has put on another role: a
function that some user of the database has made could take that off again."""
START_SECONDS: Final = 600.0
_LINES: Final = 12
_OURS: Final = {
    "ssl": ("off", "there is no certificate here, and nobody connects from elsewhere"),
    "archive_mode": ("off", "the source's repository is only read"),
    "max_logical_replication_workers": ("0", "the source's subscriptions stay the source's"),
    "event_triggers": ("off", "what a user has made must not get in the way of the superuser"),
}


def rehearsal_choices(choices: Iterable[Choice], major: int = 17) -> tuple[Choice, ...]:
    """Parameters of an instance, so changed that its PostgreSQL keeps to itself."""
    wanted = dict(_OURS)
    if major < 17:
        del wanted["event_triggers"]
    kept = [choice for choice in choices if choice.name not in wanted]
    return (*kept, *(Choice(name, value, reason) for name, (value, reason) in wanted.items()))


@dataclass
class Rehearsal:
    """One rehearsal, of `restore` to the latest that there is. Its `choices` are `rehearsal_choices` of others."""

    restore: Restore
    database: str
    query: str | None = None
    jobs: int = 1
    on_step: Callable[[Step], None] = lambda step: None
    report: RehearsalReport = field(default_factory=RehearsalReport)

    async def run(self) -> RehearsalReport:
        """Do it all; what is wrong is in the report. Raises OSError, when the place itself fails."""
        try:
            await self._restore()
            await self._checksums()
            await self._live()
        except PostgresError as error:
            return self._note(error=str(error), cause=error.cause if isinstance(error, RepositoryError) else None)
        return self._begin("done")

    def _begin(self, step: Step) -> RehearsalReport:
        self.on_step(step)
        return self._note(step=step)

    def _note(self, **what: object) -> RehearsalReport:
        self.report = self.report.model_copy(update=what)
        return self.report

    async def _restore(self) -> None:
        self._begin("restore")
        started = time.monotonic()
        done = await self.restore.run(RestoreTarget())
        self._note(
            backup=done.label,
            timeline=done.timeline,
            lsn=format_lsn(done.lsn),
            last_commit=done.last_commit.isoformat() if done.last_commit is not None else None,
            restore_seconds=round(time.monotonic() - started, 1),
        )

    async def _checksums(self) -> None:
        """Of every page, in the stopped data directory."""
        tools, pgdata = self.restore.tools, self.restore.layout.pgdata
        self._begin("checksums")
        control = await read_control(tools, pgdata)
        self._note(checksums=control.checksums)
        if control.checksums:
            try:
                await tools.run("pg_checksums", "--check", "--pgdata", pgdata, timeout=LONG_SECONDS)
            except ToolError as error:
                raise _said(error, error.output) from error

    async def _live(self) -> None:
        server = await self._start()
        try:
            await server.wait_ready(START_SECONDS)
            await self._amcheck()
            if self.query is not None:
                await self._ask(self.query)
        finally:
            await server.stop("immediate", 5)

    async def _start(self) -> Server:
        restore, layout = self.restore, self.restore.layout
        self._begin("amcheck")
        control = await read_control(restore.tools, layout.pgdata)
        choices = restore.choices(control.standby_minimums)
        configure.write_base(layout, choices, cluster_name="rehearsal", os_users=restore.os_users, listen="")
        configure.write_runtime(layout, conf.Runtime(sync=(0, ())), copy="rehearsal")
        configure.write_archive(layout, None)
        configure.write_space(layout, read_only=False)
        admitted = f"local all {ROLE} trust\n{conf.render_hba('closed')}"
        write_durably(layout.pgdata / "pg_hba.conf", admitted, sync=False)
        server = Server(restore.tools, layout, sink=restore.sink, inherit_fds=restore.inherit_fds)
        await server.start()
        return server

    async def _amcheck(self) -> None:
        """All tables and B-tree indexes of all databases against each other."""
        where = ["--host", str(self.restore.layout.run), "--port", str(names.POSTGRES_PORT), "--username", "postgres"]
        what = ["--all", "--install-missing", "--heapallindexed", "--jobs", str(self.jobs)]
        env = pins.environment(superuser=True)
        try:
            await self.restore.tools.run("pg_amcheck", *where, *what, timeout=LONG_SECONDS, env=env)
        except ToolError as error:
            raise _said(error, error.answer or error.output) from error

    async def _ask(self, query: str) -> None:
        """The user's own query, whose only row must begin with true. Raises QueryError."""
        self._begin("query")
        async with Session(self.restore.layout.run, timeout=30) as session:
            await session.rows(f"CREATE ROLE {ROLE} LOGIN BYPASSRLS IN ROLE pg_read_all_data")
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=str(self.restore.layout.run),
                port=names.POSTGRES_PORT,
                user=ROLE,
                dbname=self.database,
                options="-c default_transaction_read_only=on -c statement_timeout=0",
                application_name="rehearsal",
            )
            async with connection:
                # Prepared, so that it is one statement.
                cursor = await connection.execute(query.encode(), prepare=True)
                rows = await cursor.fetchmany(2) if cursor.description is not None else []
        except psycopg.Error as error:
            raise QueryError((str(error).strip().splitlines() or [type(error).__name__])[0], error.sqlstate) from error
        if len(rows) != 1 or not rows[0] or rows[0][0] is not True:
            raise QueryError(f"it must return one row that begins with true, and returned {_describe(rows)}")


def _describe(rows: list[tuple[object, ...]]) -> str:
    """The answer of a query, without what may be in the data."""
    if not rows or not rows[0]:
        return "none"
    if len(rows) > 1:
        return "several"
    value = rows[0][0]
    return "false" if value is False else "NULL" if value is None else f"a value of type {type(value).__name__}"


def _said(error: ToolError, text: str) -> PostgresError:
    """What a tool found, as an error: the first lines of it."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    more = f" (and {len(lines) - _LINES} lines more)" if len(lines) > _LINES else ""
    return PostgresError(f"{error.tool}: {' | '.join(lines[:_LINES])}{more}" if lines else str(error))
