"""An application's database: its user, and what it does there."""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection
from tests.integration.certificates import HOST
from tests.integration.copies import Cluster, Copy

from aurora_operator.postgres.export.server import Server
from aurora_operator.postgres.sql import roles

USER: Final = "app"
PASSWORD: Final = "secret"
DATABASE: Final = "app"


async def begin(cluster: Cluster) -> Copy:
    """The first copy, started, with the application's database."""
    first = cluster.first()
    await first.start()
    await roles.ensure_roles(first.session, master=USER, password=PASSWORD, database=DATABASE)
    return first


def server_of(copy: Copy) -> Server:
    """The copy's server, as the application knows it."""
    return Server(HOST, USER, PASSWORD, copy.layout.tls / "ca.crt", address=copy.address)


async def run(copy: Copy, statement: str, database: str = DATABASE) -> list[tuple[Any, ...]]:
    """As the application would, so that all belongs to it; the rows, if there are any."""
    connection = await AsyncConnection.connect(
        host=HOST, hostaddr=copy.address, user=USER, password=PASSWORD, dbname=database, autocommit=True
    )
    async with connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []
