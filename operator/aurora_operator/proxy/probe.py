"""Whether an instance lets us log in: what its agent says is in force a moment later in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg

from aurora_operator.api.base import names
from aurora_operator.proxy.errors import ProxyError
from aurora_operator.proxy.places import Places
from aurora_operator.proxy.routing import Address

SECONDS: Final = 2
_ASK: Final = (
    "SELECT pg_is_in_recovery(), current_setting('max_connections')::int,"
    f" has_function_privilege('{names.PROXY_USER}.verifier(name)', 'EXECUTE')"
)


class NotOpen(ProxyError):
    """It does not; the message says why."""


@dataclass(frozen=True, slots=True)
class Open:
    """It does."""

    writes: bool
    max_connections: int


async def probe(address: Address, name: str, places: Places) -> Open:
    """Log in as PgBouncer will. Raises NotOpen."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            host=name,
            hostaddr=address,
            port=names.POSTGRES_PORT,
            user=names.PROXY_USER,
            dbname="postgres",
            sslmode="verify-full",
            sslrootcert=str(places.tls / "ca.crt"),
            sslcert=str(places.tls / "proxy.crt"),
            sslkey=str(places.tls / "proxy.key"),
            connect_timeout=SECONDS,
            application_name="aurora-proxy",
            autocommit=True,
        )
        async with connection:
            row = await (await connection.execute(_ASK)).fetchone()
    except psycopg.Error as error:
        raise NotOpen(str(error).strip()) from error
    if row is None or not row[2]:
        raise NotOpen("passwords cannot be looked up there")
    return Open(writes=not row[0], max_connections=row[1])
