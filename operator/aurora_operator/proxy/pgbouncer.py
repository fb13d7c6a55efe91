"""PgBouncer: its configuration (pure), its process, and its console."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from aurora_operator.api.base import names
from aurora_operator.api.spec.proxy import Proxy
from aurora_operator.proxy.errors import ProxyError
from aurora_operator.proxy.places import Places

log = logging.getLogger(__name__)

START_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05
CONSOLE: Final = "pgbouncer"
LOOK_UP: Final = f"SELECT * FROM {names.PROXY_USER}.verifier($1)"  # noqa: S608  our own name
GATE_HOST: Final = "127.0.0.1"
IDLE_SECONDS: Final = 60
"""A server session that nobody has used for so long ends: else a serverless cluster would never pause."""
MORE_SECONDS: Final = 30
"""A log-in at an instance may take so much longer than clients wait for it: it is they who give up."""


class ConsoleError(ProxyError):
    """PgBouncer does not do what its console was told; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Door:
    """One of the two PgBouncers."""

    name: str
    port: int
    gate: int
    """The port of its gate, on this pod's own address."""


def render(proxy: Proxy, door: Door, places: Places, sessions: int) -> str:
    """pgbouncer.ini, with so many server sessions in all."""
    wait = proxy.connection_borrow_timeout
    lines = {
        "listen_addr": places.listen,
        "listen_port": door.port,
        "listen_backlog": 4096,
        "unix_socket_dir": places.run / door.name,
        "unix_socket_mode": "0700",
        "auth_type": "scram-sha-256",
        "auth_user": names.PROXY_USER,
        "auth_dbname": "postgres",
        "auth_query": LOOK_UP,
        "client_tls_sslmode": "require",
        # Nobody's certificate is asked for; without this file it would look for the system's, which the image lacks.
        "client_tls_ca_file": places.tls / "ca.crt",
        "client_tls_cert_file": places.tls / "server.crt",
        "client_tls_key_file": places.tls / "server.key",
        # The authority is the cluster's own, and certifies no other servers. The name that PgBouncer could compare is
        # the gate's; what the gate leads to has proven its own before (`proxy.probe`).
        "server_tls_sslmode": "verify-ca",
        "server_tls_ca_file": places.tls / "ca.crt",
        "server_tls_cert_file": places.tls / "proxy.crt",
        "server_tls_key_file": places.tls / "proxy.key",
        "pool_mode": proxy.pool_mode,
        "max_client_conn": proxy.max_client_connections,
        "default_pool_size": sessions,
        "max_db_connections": sessions,
        "max_prepared_statements": proxy.max_prepared_statements,
        "query_wait_timeout": wait,
        "client_login_timeout": wait,
        "server_connect_timeout": wait + MORE_SECONDS,
        "server_login_retry": "0.1",
        "server_idle_timeout": IDLE_SECONDS,
        "server_fast_close": 0,
        # Drivers ask for these without need; PostgreSQL's defaults of today serve them.
        "ignore_startup_parameters": "extra_float_digits",
        "tcp_keepalive": 1,
        "tcp_keepidle": 30,
        "tcp_keepintvl": 10,
        "tcp_keepcnt": 3,
        "log_connections": 0,
        "log_disconnections": 0,
        "log_stats": 0,
    }
    body = "".join(f"{name} = {value}\n" for name, value in lines.items())
    return f"[databases]\n* = host={GATE_HOST} port={door.gate}\n\n[pgbouncer]\n{body}"


class PgBouncer:
    """One process."""

    def __init__(self, proxy: Proxy, door: Door, places: Places) -> None:
        self._proxy = proxy
        self._places = places
        self._process: asyncio.subprocess.Process | None = None
        self.door = door
        self.sessions = 1
        """How many it may have with instances."""
        self.closing = False
        """It is to end once its clients have gone."""

    @property
    def _file(self) -> Path:
        return self._places.run / f"{self.door.name}.ini"

    async def start(self) -> None:
        """Until it takes clients. Raises ConsoleError, OSError."""
        (self._places.run / self.door.name).mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(self._write)
        self._process = await asyncio.create_subprocess_exec(
            *(self._places.program, str(self._file)), stdin=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    with contextlib.suppress(ConsoleError):
                        await self.tell("SHOW VERSION")
                        return
                    if self._process.returncode is not None:
                        raise ConsoleError(f"PgBouncer ended with {self._process.returncode}")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise ConsoleError(f"PgBouncer did not start within {START_SECONDS:g} s") from None

    async def ended(self) -> int:
        """Wait for its end."""
        assert self._process is not None  # noqa: S101 - started
        return await self._process.wait()

    async def stop(self) -> None:
        """At once."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGQUIT)
            try:
                async with asyncio.timeout(1):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def allow(self, sessions: int) -> None:
        """So many server sessions from now on. Raises ConsoleError."""
        if sessions != self.sessions:
            self.sessions = sessions
            await asyncio.to_thread(self._write)
            await self.tell("RELOAD")

    async def tell(self, command: str) -> list[dict[str, Any]]:
        """A command of the console; PAUSE waits. Raises ConsoleError.

        As `pgbouncer`, which PgBouncer lets in over its socket for its own system user alone.
        """
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=str(self._places.run / self.door.name),
                port=self.door.port,
                user=CONSOLE,
                dbname=CONSOLE,
                autocommit=True,
                connect_timeout=2,
                row_factory=psycopg.rows.dict_row,
            )
            async with connection:
                cursor = await connection.execute(command.encode())
                return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise ConsoleError(f"{command}: {str(error).strip()}") from error

    def _write(self) -> None:
        text = render(self._proxy, self.door, self._places, self.sessions)
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.replace(self._file)
