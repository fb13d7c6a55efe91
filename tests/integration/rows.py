"""A writer with a table of numbers, readers of it, and what is in the table."""

from __future__ import annotations

from tests.integration.copies import Cluster, Copy

from aurora_operator.postgres.config.conf import Runtime, slot_name
from aurora_operator.postgres.sql import queries, roles


async def first_of(cluster: Cluster, password: str = "word") -> Copy:
    """The first copy, a writer with its roles and the table."""
    first = cluster.first()
    await first.start()
    await roles.ensure_roles(first.session, master="app", password=password, database="app")
    await first.session.rows("CREATE TABLE public.t (id bigint PRIMARY KEY)")
    return first


async def reader_of(cluster: Cluster, source: Copy) -> Copy:
    """Another copy, which streams from the source."""
    reader = cluster.blank()
    await queries.create_slot(source.session, slot_name(reader.name))
    await reader.clone_from(source, verify=False)
    reader.configure(Runtime(source=source.source, slot=slot_name(reader.name)))
    await reader.start()
    return reader


async def insert(copy: Copy, number: int) -> int:
    """Insert a row; returns the LSN up to which it is flushed."""
    await copy.session.rows("INSERT INTO public.t VALUES (%s)", [number])
    return await queries.flush(copy.session)


async def ids(copy: Copy) -> list[int]:
    """The rows that are there."""
    return [i for (i,) in await copy.session.rows("SELECT id FROM public.t ORDER BY id")]
