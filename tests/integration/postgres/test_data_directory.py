"""Making, cloning and rewinding data directories, with real tools."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.integration.certificates import HOST
from tests.integration.copies import Cluster, Copy, Measured, server_user

from aurora_operator.api.base.lsn import segment_name
from aurora_operator.postgres import disk
from aurora_operator.postgres.config.conf import Runtime, Source, conninfo
from aurora_operator.postgres.errors import CannotRewind, DataError, ToolError, Unavailable
from aurora_operator.postgres.files import make_directory
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.replication import base_backup
from aurora_operator.postgres.replication.quarantine import prune_kept
from aurora_operator.postgres.replication.rewind import broken_off, rewind
from aurora_operator.postgres.server.control import read_control
from aurora_operator.postgres.server.initdb import initdb
from aurora_operator.postgres.sql import queries, roles
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.timeline import how_to_follow


async def _leader(cluster: Cluster) -> Copy:
    first = cluster.first()
    await first.start()
    await roles.ensure_roles(first.session, master="app", password="secret", database="app")
    await first.session.rows("CREATE TABLE public.t AS SELECT generate_series(1, 20000) AS id")
    return first


async def _follower(cluster: Cluster, leader: Copy) -> Copy:
    """A clone that has all of it."""
    copy = cluster.blank()
    await copy.clone_from(leader, verify=False)
    copy.configure(Runtime(source=leader.source))
    await copy.start()
    await copy.streams(1, await queries.flush(leader.session))
    return copy


async def test_initdb_appears_whole_or_not_at_all(tools: Tools, root: Path) -> None:
    layout = Layout(data=root)
    make_directory(layout.new)
    (layout.new / "left over").write_text("from an attempt that broke off")
    await initdb(tools, layout)
    assert layout.initialised() and not layout.new.exists()
    control = await read_control(tools, layout.pgdata)
    assert control.checksums and control.clean and control.checkpoint_timeline == 1
    assert control.standby_minimums["max_connections"] > 0
    assert len(control.system_identifier) > 15
    with pytest.raises(DataError, match="never initialised twice"):
        await initdb(tools, layout)
    assert disk.usage(root).used > 0


async def test_clone_shows_progress_and_keeps_the_former(cluster: Cluster, measured: Measured) -> None:
    first, second = await _leader(cluster), cluster.blank()
    for content in ("old", "older"):
        make_directory(second.layout.pgdata)
        (second.layout.pgdata / content).write_text(content)
        seen: list[tuple[int, int]] = []
        start = time.monotonic()
        kept = await base_backup.base_backup(
            second.tools,
            second.layout,
            first.source,
            copy=second.name,
            on_progress=lambda done, total, seen=seen: seen.append((done, total)),  # type: ignore[misc]
        )
        measured("clone_30_mb", time.monotonic() - start)
        assert kept is not None and (kept / content).read_text() == content
        assert seen and 0 < seen[-1][0] <= seen[-1][1] * 1.01
        if content == "old":
            second.layout.pgdata.rename(second.layout.data / "away")
    second.configure(Runtime(source=first.source))
    await second.start()
    await second.streams(1, await queries.flush(first.session))
    assert (await queries.system_identifier(second.session)) == (await queries.system_identifier(first.session))
    base_backup.drop_replaced(second.layout)
    assert not list(second.layout.kept.iterdir())

    # A copy is cloned from a reader as well; the leader's histories and the rest come with it.
    third = cluster.blank()
    await third.clone_from(second)
    third.configure(Runtime(source=first.source))
    await third.start()
    await third.streams(1, await queries.flush(first.session))


async def test_a_clone_that_fails_leaves_what_was_there(cluster: Cluster) -> None:
    first, second = await _leader(cluster), cluster.blank()
    make_directory(second.layout.pgdata)
    (second.layout.pgdata / "precious").write_text("data")
    stranger = Source(host="somebody-else.test", address=first.address)
    with pytest.raises(ToolError, match="does not match host name"):
        await base_backup.base_backup(second.tools, second.layout, stranger, copy=second.name)
    assert (second.layout.pgdata / "precious").read_text() == "data"
    kept = base_backup.keep_aside(second.layout, second.layout.pgdata, "pgdata")
    assert base_backup.recover_interrupted(second.layout) and not kept.exists()
    assert (second.layout.pgdata / "precious").exists()
    assert not base_backup.recover_interrupted(second.layout)


async def test_rewind_after_divergence_keeps_the_wal(cluster: Cluster, measured: Measured) -> None:
    first = await _leader(cluster)
    second = await _follower(cluster, first)
    await second.standby.stop_receiving()
    await first.session.rows("INSERT INTO public.t VALUES (-1)")  # acknowledged to nobody
    assert first.server.pid is not None
    os.kill(first.server.pid, signal.SIGKILL)
    await first.server.wait()
    await first.session.close()
    await second.standby.promote(34)
    await second.standby.set_sync(0, ())
    await second.session.rows("INSERT INTO public.t VALUES (-2)")
    leader = pg_wal.read_history(second.layout.pgdata, 34)
    assert leader is not None

    with pytest.raises(CannotRewind, match="not shut down in order"):
        await rewind(first.tools, first.layout, second.source, leader, copy=first.name)
    first.configure(Runtime())
    await first.start()
    idle = await first.standby.wait_idle(5)
    assert how_to_follow(leader, idle.timeline, idle.lsn, pg_wal.read_histories(first.layout.pgdata)) == "rewind"
    await first.session.close()
    assert await first.server.stop("fast", 5)

    seen: list[tuple[int, int]] = []
    start = time.monotonic()
    kept = await rewind(
        first.tools,
        first.layout,
        second.source,
        leader,
        copy=first.name,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    measured("rewind", time.monotonic() - start)
    assert kept is not None and kept.name.startswith("34-")
    names = sorted(path.name for path in kept.iterdir())
    switch = leader.end_of(1)
    assert switch is not None and names[0] == segment_name(1, switch)
    assert len(names) < 4  # not what PostgreSQL had set aside for later use
    assert seen
    first.configure(Runtime(source=second.source))
    await first.start()
    await first.streams(34, await queries.flush(second.session))
    rows = await first.session.rows("SELECT id FROM public.t WHERE id < 0")
    assert rows == [(-2,)]
    assert prune_kept(first.layout, newest=1) == [] and prune_kept(first.layout, newest=0) == [kept]


async def test_a_rewind_that_broke_off_is_not_started(cluster: Cluster) -> None:
    first = await _leader(cluster)
    await first.session.close()
    await first.server.stop("fast", 5)
    first.layout.rewinding.write_text("34\n")
    with pytest.raises(CannotRewind, match="cloned again"):
        await first.server.start()
    assert broken_off(first.layout) == 34


async def test_a_broken_rewind_is_completed_from_a_standby_that_follows_nobody(cluster: Cluster) -> None:
    """The leader that it was to has died and come back: nobody can be elected without the copy that is torn."""
    first = await _leader(cluster)
    second = await _follower(cluster, first)
    await first.session.close()
    await first.server.stop("immediate", 5)
    await second.standby.stop_receiving()
    await second.standby.promote(34)
    await second.standby.set_sync(0, ())
    await second.session.rows("INSERT INTO public.t VALUES (-2)")
    await second.session.close()
    await second.server.stop("immediate", 5)
    second.configure(Runtime())
    await second.start()
    first.layout.rewinding.write_text("34\n")

    await first.clone_from(second)
    assert broken_off(first.layout) is None
    first.configure(Runtime(source=second.source))
    await first.start()
    assert await first.session.rows("SELECT id FROM public.t WHERE id < 0") == [(-2,)]
    assert (await first.standby.stop_receiving())[0] == 34
    await first.standby.promote(65)


async def test_access_open_and_closed(cluster: Cluster) -> None:
    first = await _leader(cluster)

    async def login(user: str, **more: str) -> str:
        tls = {"sslmode": "verify-full", "sslrootcert": str(first.layout.tls / "ca.crt")}
        where = {"host": HOST, "hostaddr": first.address, "dbname": "app", **tls, **more}
        try:
            async with await psycopg.AsyncConnection.connect(make_conninfo(user=user, **where)) as connection:
                row = await (await connection.execute("SELECT session_user")).fetchone()
                return str(row and row[0])
        except psycopg.OperationalError as error:
            return str(error)

    agent = conninfo(first.source, first.layout, "demo-9/00000009", dbname="postgres")
    assert await login("app", password="secret") == "app"
    assert "no pg_hba.conf entry" in await login("app", password="secret", sslmode="disable", sslrootcert="")
    assert "password authentication failed" in await login("app", password="wrong")
    assert "rejects" in await login("postgres", password="secret")
    assert "certificate" in await login("aurora_replication", password="x", dbname="postgres", sslcert="", sslkey="")
    async with await psycopg.AsyncConnection.connect(agent) as connection:
        await connection.execute("CHECKPOINT")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("CREATE TABLE public.x ()")
    assert "password" not in first.said.replace("password authentication failed", "")

    held = await psycopg.AsyncConnection.connect(
        host=HOST, hostaddr=first.address, user="app", password="secret", dbname="app", sslmode="require"
    )
    first.configure(Runtime(sync=(0, ())), access="closed", standby=False)
    first.server.reload()
    await queries.reload_seen(first.session, "cluster_name", first.name)
    assert await queries.clients(first.session) == 1
    assert await queries.terminate_clients(first.session) == 0
    with pytest.raises(psycopg.OperationalError):
        await held.execute("SELECT 1")
    await held.close()
    assert "no pg_hba.conf entry" in await login("app", password="secret")
    async with await psycopg.AsyncConnection.connect(agent) as connection:
        await connection.execute("SELECT 1")


async def test_roles_are_made_once_and_repaired(cluster: Cluster) -> None:
    first = await _leader(cluster)
    query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'"
    before = await first.session.row(query)
    await roles.ensure_roles(first.session, master="app", password="secret", database="app")
    assert await first.session.row(query) == before
    await roles.ensure_roles(first.session, master="app", password="päss\N{ROMAN NUMERAL NINE}", database="app")
    assert await first.session.row(query) != before
    assert not await roles.ensure_database(first.session, "app", "app")


async def test_a_session_survives_a_server_that_does_not(cluster: Cluster) -> None:
    first = await _leader(cluster)
    with pytest.raises(Unavailable, match="did not answer"):
        await first.session.rows("SELECT pg_sleep(10)", timeout=0.1)
    assert await first.session.row("SELECT 1") == (1,)
    (pid,) = await first.session.row("SELECT pg_backend_pid()")
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(Unavailable):
        for _ in range(100):
            await first.session.row("SELECT pg_sleep(0.01)")
    assert await first.session.row("SELECT 2") == (2,)
    first.session._timeout = 0.3
    assert first.server.pid is not None
    os.kill(first.server.pid, signal.SIGSTOP)
    await first.session.close()
    start = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer"):
        await first.session.row("SELECT 1")
    assert time.monotonic() - start < 1
    assert not await first.server.stop("fast", 0.2)
    assert not first.server.alive and first.server.state() == "down"
    await first.start()  # and that removes the shared memory that its killed predecessor left behind
    assert await first.session.row("SELECT 3") == (3,)


@pytest.mark.parametrize("of", ["writer", "reader"])
async def test_a_copied_volume_begins_a_cluster_with_every_commit(
    cluster: Cluster, measured: Measured, of: str
) -> None:
    """As a CSI snapshot would take it: all files of a running server at one moment, and nothing of its memory."""
    first, second = await _leader(cluster), cluster.blank()
    await second.clone_from(first, verify=False)
    second.configure(Runtime(source=first.source))
    await second.start()
    await queries.create_slot(first.session, "of_the_source")
    await first.session.rows("CREATE TABLE public.written AS SELECT 1 AS id")
    await second.streams(1, await queries.flush(first.session))
    source = first if of == "writer" else second
    third = cluster.blank()
    _copy_at_one_moment(source, third)
    start = time.monotonic()
    base_backup.forget_slots(third.layout)
    third.configure(Runtime(), access="closed")
    await third.start()
    await third.standby.wait_idle(10)
    await third.standby.promote(35)
    await third.standby.set_sync(0, ())
    measured(f"copied_volume_of_{of}_to_promoted", time.monotonic() - start)
    assert await third.session.rows("SELECT count(*) FROM public.t") == [(20000,)]
    assert await third.session.rows("SELECT id FROM public.written") == [(1,)]
    assert await queries.slots(third.session) == []
    await roles.ensure_roles(third.session, master="app", password="its own", database="app")
    await first.session.rows("INSERT INTO public.written VALUES (2)")  # the source goes on
    await second.streams(1, await queries.flush(first.session))


def _copy_at_one_moment(source: Copy, target: Copy) -> None:
    """Every process of the server is stopped meanwhile, so that all files are of one moment."""
    postmaster = source.server.pid
    assert postmaster is not None
    stopped = [postmaster]
    os.kill(postmaster, signal.SIGSTOP)
    try:
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and _child_of(process, postmaster):
                os.kill(int(process.name), signal.SIGSTOP)
                stopped.append(int(process.name))
        subprocess.run(["cp", "-a", source.layout.pgdata, target.layout.pgdata], check=True)
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)


def _child_of(process: Path, parent: int) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[1] == str(parent)
    except OSError:
        return False


async def test_a_copy_comes_over_with_credentials_that_are_not_the_own(cluster: Cluster, root: Path) -> None:
    first, second = await _leader(cluster), cluster.blank()
    theirs = root / "origin"
    shutil.copytree(second.layout.tls, theirs, copy_function=shutil.copy2)
    for path in (theirs, *theirs.iterdir()):
        if second.tools.user is not None:
            shutil.chown(path, second.tools.user, second.tools.user)
    for path in second.layout.tls.iterdir():
        path.unlink()
    source = Source(first.source.host, first.source.address, credentials=theirs)
    await base_backup.base_backup(second.tools, second.layout, source, copy="clone demo")
    assert second.layout.initialised()


async def test_a_standby_tells_which_subscriptions_would_run(cluster: Cluster) -> None:
    first, second = await _leader(cluster), cluster.blank()
    for name in ("quiet", "busy"):
        words = f"CREATE SUBSCRIPTION {name} CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)"
        await first.session.rows(words)
    await first.session.rows("ALTER SUBSCRIPTION busy ENABLE")
    await second.clone_from(first)
    second.configure(Runtime())
    await second.start()
    assert await queries.enabled_subscriptions(second.session) == ["busy"]


async def test_process_ids_of_another_container_are_not_believed(cluster: Cluster) -> None:
    """What a killed container leaves behind names processes that are others' in the next: PostgreSQL refuses then."""
    first = cluster.first()
    await first.start()
    await first.session.close()
    stranger = await asyncio.create_subprocess_exec("sleep", "600", user=server_user())
    try:
        for lock in (first.layout.pgdata / "postmaster.pid", *first.layout.run.glob(".s.PGSQL.*.lock")):
            kept = [str(stranger.pid), *lock.read_text().splitlines()[1:]]
            lock.with_name(f"{lock.name}.kept").write_text("\n".join(kept) + "\n")
        await first.server.stop("fast", 10)
        kept_files = [*first.layout.pgdata.glob("*.kept"), *first.layout.run.glob(".s.PGSQL.*.kept")]
        assert len(kept_files) == 2
        for file in kept_files:
            file.rename(file.with_name(file.name.removesuffix(".kept")))
        await first.start()
        assert await first.session.row("SELECT 1") == (1,)
    finally:
        stranger.kill()
        await stranger.wait()
