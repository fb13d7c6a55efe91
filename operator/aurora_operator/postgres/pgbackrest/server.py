"""pgBackRest's server, a child of the writer's agent: a reader that takes a backup starts and ends it through this."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field

from aurora_operator.postgres.config import pins
from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.pgbackrest.commands import PgBackRest


@dataclass
class BackupServer:
    """Answers only whom the cluster's authority has certified as an agent."""

    pgbackrest: PgBackRest
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it with the configuration as it is now. Raises RepositoryError, OSError."""
        if self.alive:
            return
        self.pgbackrest.configure()
        program, *args = self.pgbackrest.words("server")
        args = [arg for arg in args if not arg.startswith(("--stanza=", "--cmd="))]
        try:
            self._process = await asyncio.create_subprocess_exec(
                self.pgbackrest.tools.path(program),
                *args,
                stdin=asyncio.subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                **self.pgbackrest.tools.process_options(pins.environment(superuser=True)),
            )
        except OSError as error:
            raise RepositoryError("other", f"pgBackRest's server cannot be started: {error}") from error

    async def stop(self) -> None:
        """End it, and what it does for others."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
