"""How damage shows: counted by the server where a page's checksum is wrong, or named as it refuses to start."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import cast

import psycopg
import pytest
from tests.integration.copies import Cluster, Copy

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.storage import checksum_monitor
from aurora_operator.agent.storage.checksum_monitor import ChecksumMonitor
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.state import Role
from aurora_operator.postgres.errors import PostgresError, ServerError
from aurora_operator.postgres.server.examination import Finding, examine
from aurora_operator.postgres.sql import queries


async def _damaged(cluster: Cluster) -> Copy:
    """A server that has met a page whose checksum is wrong."""
    first = cluster.first()
    await first.start()
    await first.session.rows("CREATE TABLE public.t AS SELECT generate_series(1, 2000) AS id")
    (path,) = await first.session.row("SELECT pg_relation_filepath('public.t')")
    await first.session.close()
    await first.server.stop("fast", 10)
    with (first.layout.pgdata / Path(path)).open("r+b") as file:
        file.seek(8192 + 4000)
        file.write(b"damaged")
    await first.start()
    assert await queries.checksum_failures(first.session) == 0
    with pytest.raises(PostgresError, match="invalid page"):
        await first.session.rows("SELECT sum(id) FROM public.t")
    await first.session.close()
    return first


class _Stand:
    """As much of an agent as the watch looks at."""

    def __init__(self, copy: Copy, role: Role) -> None:
        self.server, self.session = copy.server, copy.session
        self.ailment: str | None = None
        self.said: list[tuple[str, str]] = []
        self.driver = self
        self.state = self
        self.role = role
        self.leadership = None

    def say(self, phase: str, message: str = "") -> None:
        self.said.append((phase, message))

    def post(self, event: object) -> None:
        raise NotImplementedError

    def follows_open_leader(self) -> bool:
        return True


class _Enough(Exception):
    """The watch has done what it can."""


async def _watch(stand: _Stand, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Run the watch until it acts; returns what it did."""
    monkeypatch.setattr(checksum_monitor, "PERIOD_SECONDS", 0.01)
    done: list[object] = []

    def act(what: object) -> None:
        done.append(what)
        raise _Enough

    monkeypatch.setattr(stand, "post", act)
    with contextlib.suppress(_Enough):
        await ChecksumMonitor(cast(Instance, stand), lambda: act("clone")).run()
    return done


async def test_a_damaged_reader_is_cloned(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = _Stand(await _damaged(cluster), Role.STANDBY)
    assert await _watch(stand, monkeypatch) == ["clone"]
    assert stand.ailment == "corruption"
    assert stand.said[0][0] == "Failed" and "cloned again" in stand.said[0][1]


async def test_a_damaged_writer_hands_over_first(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    stand = _Stand(await _damaged(cluster), Role.LEADING)
    refusals = iter(["no voting reader streams", None])
    monkeypatch.setattr(checksum_monitor, "switchover_refusal", lambda _state, _target: next(refusals))
    assert await _watch(stand, monkeypatch) == [ev.SwitchoverRequested(None)]
    assert stand.ailment == "corruption"
    assert "no voting reader streams" in stand.said[0][1] and len(stand.said) == 2


async def test_a_server_that_cannot_start_says_why(cluster: Cluster) -> None:
    first = cluster.first()
    await first.start()
    await first.session.close()
    await first.server.stop("immediate", 5)
    for segment in first.layout.wal.glob("0*"):
        segment.unlink()
    with pytest.raises(ServerError) as caught:
        await first.start()
    assert "checkpoint record" in str(caught.value)
    found = await examine(first.tools, first.layout, [])
    assert found is not None and found.ailment == "corruption"


async def test_a_damaged_page_is_read_where_the_log_says(cluster: Cluster) -> None:
    first = await _damaged(cluster)
    (path,) = await first.session.row("SELECT pg_relation_filepath('public.t')")
    (intact,) = await first.session.row("SELECT pg_relation_filepath('pg_catalog.pg_class')")
    await first.session.close()
    await first.server.stop("immediate", 5)
    found = await examine(first.tools, first.layout, [f"invalid page in block 1 of relation {path}"])
    assert found == Finding("corruption", f"page 1 of {path} has a wrong checksum")
    pages = [f"invalid page in block {number} of relation {intact}" for number in range(8)]
    assert await examine(first.tools, first.layout, pages) is None


@pytest.mark.parametrize(
    "user",
    [
        "invalid page in block 1",
        "Input/output error",
        "No space left on device",
        "x\n2026-12-01 10:00:00.000 UTC [7] startup XX001 PANIC:  invalid page in block 0 of relation global/1262",
    ],
)
async def test_a_strangers_name_is_no_evidence(cluster: Cluster, user: str) -> None:
    """Whoever fails to log in, and then PostgreSQL is killed: it comes back by itself, with all that it had."""
    first = cluster.first()
    await first.start()
    await first.session.rows("CREATE TABLE public.t AS SELECT 1 AS id")
    await first.session.close()
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(
                host=first.address, user=user, dbname=user, password="x", connect_timeout=5
            )
    assert user[:60].splitlines()[-1] in first.said
    assert first.server.pid is not None
    os.kill(first.server.pid, signal.SIGKILL)
    await first.server.wait()
    assert await examine(first.tools, first.layout, first.server.last_words) is None
    await first.start()
    assert await first.session.row("SELECT id FROM public.t") == (1,)
    assert "password authentication" not in first.server.complaint()
