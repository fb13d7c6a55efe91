"""What an administrator may set, revoke or close: our own sessions work on, and the copies get back what they need."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from tests.integration.copies import Cluster, Copy

from aurora_operator.agent.replication.leader_history import leader_history, wal_segments
from aurora_operator.postgres.config.conf import Runtime, slot_name
from aurora_operator.postgres.errors import Unavailable
from aurora_operator.postgres.replication.rewind import checkpoint_source
from aurora_operator.postgres.server.control import read_control
from aurora_operator.postgres.sql import access, queries, roles
from aurora_operator.postgres.sql.session import Session

HOSTILE = {
    "role": "app",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "transaction_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "search_path": "evil",
    "row_security": "off",
    "session_replication_role": "replica",
    "session_preload_libraries": "no_such_library",
    "local_preload_libraries": "no_such_library",
    "client_encoding": "SQL_ASCII",
    "datestyle": "SQL, DMY",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Tokyo",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "synchronous_commit": "remote_apply",
    "temp_file_limit": "0",
    "default_table_access_method": "heap",
}
FOR_EVERYBODY = ("ALTER ROLE ALL SET {} = '{}'", "ALTER DATABASE postgres SET {} = '{}'")


async def _pair(cluster: Cluster, user: dict[str, str] | None = None) -> tuple[Copy, Copy]:
    """A writer with a promoted history, and a reader that streams from it."""
    first = cluster.first()
    await first.start()
    await roles.ensure_roles(first.session, master="app", password="password", database="app")
    await first.session.close()
    await first.server.stop("fast", 5)
    first.configure(Runtime(sync=(0, ())), user=user)
    await first.start()
    await first.standby.apply(Runtime(sync=(0, ())))
    await first.standby.promote(34)
    second = cluster.blank()
    await queries.create_slot(first.session, slot_name(second.name))
    await second.clone_from(first, verify=False)
    second.configure(Runtime(source=first.source, slot=slot_name(second.name)), user=user)
    await second.start()
    await second.streams(34, await queries.flush(first.session))
    return first, second


async def _elsewhere(copy: Copy, statement: str) -> None:
    """As somebody in another database, while none of ours is connected: the next ones begin anew."""
    await copy.session.close()
    dbname = "postgres" if "FUNCTION" in statement else "app"  # functions are each database's own
    async with Session(copy.layout.run, dbname=dbname, timeout=5) as session:
        await session.rows(statement.encode())  # type: ignore[arg-type]


async def _fails_over(first: Copy, second: Copy) -> None:
    """Everything that an election needs, with new sessions."""
    for copy in (first, second):
        await copy.session.close()
    await second.streams(34, await queries.flush(first.session))
    assert (await leader_history(second.layout, first.source, 34)).timeline == 34
    assert await wal_segments(second.layout, first.source)
    await checkpoint_source(first.source, second.layout, copy=second.name, epoch=34)
    await second.standby.stop_receiving()
    await first.session.close()
    await first.server.stop("immediate", 5)
    await second.standby.apply(Runtime(sync=(0, ())))
    promoted = await second.standby.promote(66)
    assert promoted.timeline == 66
    await roles.ensure_roles(second.session, master="app", password="password", database="app")
    await second.session.rows("CREATE TABLE public.written AS SELECT 1 AS id")


@pytest.mark.parametrize("statement", FOR_EVERYBODY)
async def test_what_is_set_for_everybody_does_not_reach_us(cluster: Cluster, statement: str) -> None:
    first, second = await _pair(cluster)
    for name, value in HOSTILE.items():
        await first.session.rows(statement.format(name, value).encode())  # type: ignore[arg-type]
    await access.ensure_access(first.session)
    await first.session.close()
    shown = {name: (await first.session.row(f"SHOW {name}".encode()))[0] for name in HOSTILE}  # type: ignore[arg-type]
    same = {"default_table_access_method"}
    assert {name for name, value in HOSTILE.items() if shown[name] == value} == same
    assert shown["role"] == "none" and shown["default_transaction_isolation"] == "read committed"
    await _fails_over(first, second)


async def test_parameters_of_everybody_do_not_reach_us(cluster: Cluster) -> None:
    mine = {name: HOSTILE[name] for name in HOSTILE if name.startswith(("default_tr", "statement", "lock", "idle"))}
    mine |= {"transaction_timeout": "100ms", "search_path": "evil", "timezone": "Asia/Tokyo", "datestyle": "SQL, DMY"}
    mine.pop("default_transaction_read_only")
    await _fails_over(*await _pair(cluster, mine))


async def test_a_trigger_on_log_in_keeps_nobody_of_ours_out(cluster: Cluster) -> None:
    first, second = await _pair(cluster)
    await first.session.rows(
        "CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    await first.session.rows("CREATE EVENT TRIGGER nobody ON login EXECUTE FUNCTION public.no()")
    await first.session.rows("ALTER EVENT TRIGGER nobody ENABLE ALWAYS")
    await _fails_over(first, second)


CLOSED = (
    "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC, aurora_replication",
    "ALTER DATABASE postgres ALLOW_CONNECTIONS false",
    "ALTER DATABASE postgres CONNECTION LIMIT 0",
    "ALTER ROLE aurora_replication NOLOGIN",
    "ALTER ROLE aurora_replication CONNECTION LIMIT 0",
    "ALTER ROLE aurora_replication VALID UNTIL '2020-01-01'",
    "REVOKE EXECUTE ON FUNCTION pg_read_binary_file(text) FROM aurora_replication",
    "REVOKE pg_checkpoint FROM aurora_replication",
    "ALTER ROLE aurora_replication IN DATABASE postgres RESET ALL",
)


@pytest.mark.parametrize("statement", CLOSED)
async def test_what_is_closed_to_the_copies_is_opened_by_the_writer(cluster: Cluster, statement: str) -> None:
    first, second = await _pair(cluster)
    assert await access.missing_access(first.session) == ()
    await _elsewhere(first, statement)
    found = await access.ensure_access(first.session)
    assert len(found) == 1, found
    assert await access.missing_access(first.session) == () == await access.ensure_access(first.session)
    await _fails_over(first, second)


async def test_a_closed_database_keeps_no_copy_from_leading(cluster: Cluster) -> None:
    """Nobody mended it before the writer died: the next one comes without, and opens it."""
    first, second = await _pair(cluster)
    await _elsewhere(first, "ALTER DATABASE postgres ALLOW_CONNECTIONS false")
    lsn = await queries.flush(first.session)
    await second.session.close()
    await second.streams(34, lsn)
    assert (await second.session.row("SELECT current_database()"))[0] == "template1"
    with pytest.raises(Unavailable, match="not currently accepting"):
        await leader_history(second.layout, first.source, 34)
    await second.standby.stop_receiving()
    await first.session.close()
    await first.server.stop("immediate", 5)
    await second.standby.apply(Runtime(sync=(0, ())))
    assert (await second.standby.promote(66)).timeline == 66
    assert len(await access.ensure_access(second.session)) == 1
    assert (await second.session.row("SELECT current_database()"))[0] == "postgres"


async def test_a_dropped_database_is_made_again(cluster: Cluster) -> None:
    first, second = await _pair(cluster)
    await second.session.close()
    await _elsewhere(first, "DROP DATABASE postgres WITH (FORCE)")
    assert (await first.session.row("SELECT current_database()"))[0] == "template1"
    await access.ensure_access(first.session)
    await _fails_over(first, second)


async def test_clients_on_a_serializable_standby_get_postgresqls_own_error(cluster: Cluster) -> None:
    _, second = await _pair(cluster, {"default_transaction_isolation": "serializable"})
    where = f"host={second.layout.run} user=postgres dbname=postgres"
    async with await psycopg.AsyncConnection.connect(where, autocommit=True) as client:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="serializable mode in a hot standby"):
            await client.execute("SELECT count(*) FROM pg_class")
    assert await second.session.row("SELECT true") == (True,)


async def test_a_copy_that_has_less_than_the_next_writer_goes_on_after_a_restart(cluster: Cluster) -> None:
    """A writer that takes a raised limit with it, before its readers had it: replay pauses there, for ever."""
    first, second = await _pair(cluster)
    assert await second.standby.lacking(await queries.status(second.session), second.tools) == {}
    await first.session.close()
    await first.server.stop("fast", 5)
    first.configure(Runtime(sync=(0, ())), user={"max_connections": "150"})
    await first.start()
    await first.standby.apply(Runtime(sync=(0, ())))
    await first.standby.promote(66)
    await queries.create_slot(first.session, slot_name(second.name))
    async with asyncio.timeout(10):
        while not (lacking := await second.standby.lacking(await queries.status(second.session), second.tools)):
            await asyncio.sleep(0.05)
    assert lacking == {"max_connections": 150}
    await second.session.close()
    await second.server.stop("fast", 5)
    control = await read_control(second.tools, second.layout.pgdata)
    second.configure(Runtime(source=first.source), user={k: str(v) for k, v in control.standby_minimums.items()})
    await second.start()
    await second.streams(66, await queries.flush(first.session))
    # Whoever asks for a pause himself is left alone.
    await second.session.rows("SELECT pg_wal_replay_pause()")
    async with asyncio.timeout(10):
        while not (now := await queries.status(second.session)).paused:
            await queries.flush(first.session)
            await asyncio.sleep(0.05)
    assert await second.standby.lacking(now, second.tools) == {}
