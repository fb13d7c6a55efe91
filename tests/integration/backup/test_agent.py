"""The agent's part: archiving while the copy leads, backups when asked, and a report that is true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.integration.backup.database import Database, beside, fill_segment, ids, insert, now
from tests.integration.copies import Copy

from aurora_operator.agent.backup.backups import Backups
from aurora_operator.agent.member.instance import Instance
from aurora_operator.api.agent.messages import BackupReport, BackupRequest, BackupRun, SnapshotRequest
from aurora_operator.api.agent.settings import BackupSettings
from aurora_operator.postgres.pgbackrest.commands import PgBackRest


class OnLoopback(Backups):
    """With the tests' program and Secrets."""

    database: Database

    def _pgbackrest(self, wanted: BackupSettings) -> PgBackRest:
        return self.database.repository(self._copy.layout)


@dataclass
class Agent:
    """A leading copy, as far as backups look at it."""

    postgres: Copy
    epoch: int
    settings: BackupSettings | None
    state: Any = field(init=False)
    backups: Backups = field(init=False)

    def __post_init__(self) -> None:
        copy = self.postgres
        self.state = SimpleNamespace(
            layout=copy.layout, server=copy.server, session=copy.session, tools=copy.tools, id=copy.name,
            role="writer", phase="Leading", task=None, backup_report=None, backup_run=None, snapshot_run=None,
            settings=SimpleNamespace(backup=self.settings),
            driver=SimpleNamespace(state=SimpleNamespace(leadership=SimpleNamespace(epoch=self.epoch))),
            leader_id=lambda: copy.name, leader_epoch=lambda: self.epoch, progress=lambda *_: None,
        )  # fmt: skip
        self.backups = OnLoopback(cast(Instance, self.state))

    async def report(self, that: Callable[[BackupReport], bool], timeout: float = 60) -> BackupReport:  # noqa: ASYNC109
        """Wait for a report."""
        async with asyncio.timeout(timeout):
            while True:
                report = cast(BackupReport | None, self.state.backup_report)
                if report is not None and that(report):
                    return report
                await asyncio.sleep(0.1)

    async def take(self, request: BackupRequest) -> BackupRun:
        """Take a backup, and wait for its end."""
        self.backups.take(request)
        async with asyncio.timeout(60):
            while self.state.backup_run.finished_at is None:
                assert self.backups.refusal() is not None
                await asyncio.sleep(0.1)
        return cast(BackupRun, self.state.backup_run)


@pytest.fixture
async def agent(database: Database, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    monkeypatch.setattr("aurora_operator.api.base.names.BACKUP_PORT", unused_tcp_port)
    OnLoopback.database = database
    database.lose_patience()
    leader = await database.leader()
    repository = database.repository(leader.layout).access.repository
    agent = Agent(leader, 34, BackupSettings(repository=repository, retention_days=7, recovery_point_seconds=0.5))
    task = asyncio.create_task(agent.backups.run())
    yield agent
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert agent.backups.refusal() is None


async def test_a_leader_archives_and_takes_backups_and_says_how_it_stands(database: Database, agent: Agent) -> None:
    first = await agent.report(lambda r: r.archiving and r.known)
    assert (first.cause, first.backups, first.latest_restorable_at) == (None, (), None)

    run = await agent.take(BackupRequest(kind="full", token="t1"))
    assert (run.error, run.token) == (None, "t1")
    report = await agent.report(lambda r: len(r.backups) == 1)
    assert report.earliest_restorable_at == report.backups[0].finished_at
    lsn = await insert(agent.postgres, 1, 2)
    written = now()
    report = await agent.report(
        lambda r: datetime.fromisoformat(r.latest_restorable_at or "2000-01-01T00:00Z") > written
    )
    assert lsn and report.waiting_segments == 0

    database.store.stop()
    await insert(agent.postgres, 3)
    await fill_segment(agent.postgres)
    report = await agent.report(lambda r: r.cause is not None)
    assert report.cause == "unreachable" and report.failing_since is not None and report.waiting_segments
    frozen = report.latest_restorable_at
    assert (await agent.report(lambda r: True)).latest_restorable_at == frozen
    database.store.start()
    # PostgreSQL tries again each minute, and when there is more.
    await fill_segment(agent.postgres)
    report = await agent.report(lambda r: r.cause is None and r.waiting_segments == 0)
    await insert(agent.postgres, 4)
    written = now()
    await agent.report(lambda r: datetime.fromisoformat(r.latest_restorable_at or "") > written)

    copy, _ = await database.restore()
    assert await ids(copy) == [1, 2, 3, 4]
    agent.state.role = "none"
    async with asyncio.timeout(10):
        while agent.state.backup_report is not None:
            await asyncio.sleep(0.1)


async def test_a_snapshot_goes_below_the_cluster_s_own_path_and_nowhere_else(database: Database, agent: Agent) -> None:
    await agent.report(lambda r: r.archiving and r.known)
    await insert(agent.postgres, 1)
    repository = beside(database, agent.postgres).access.repository
    elsewhere = repository.destination.model_copy(update={"path": "/aurora/other"})
    for wrong in ({"destination": elsewhere}, {"stanza": "other"}, {"encryption": None}):
        request = SnapshotRequest(token="uid", repository=repository.model_copy(update=wrong))
        assert "a snapshot goes" in (agent.backups.snapshot_refusal(request) or "")

    request = SnapshotRequest(token="uid", repository=repository)
    assert agent.backups.snapshot_refusal(request) is None
    agent.backups.take_snapshot(request)
    async with asyncio.timeout(60):
        while agent.state.snapshot_run is None or agent.state.snapshot_run.finished_at is None:
            assert agent.backups.refusal() is not None
            await asyncio.sleep(0.1)
    run = agent.state.snapshot_run
    assert (run.error, run.token, run.path) == (None, "uid", repository.destination.path)
    assert run.label and run.lsn and run.timeline == 34 and run.stored_bytes > 0 and run.taken_at
    # The cluster's own account knows nothing of it.
    agent.backups.look_again()
    assert not (await agent.report(lambda r: True)).backups

    database.store.stop()
    agent.backups.take_snapshot(request)
    async with asyncio.timeout(90):
        while agent.state.snapshot_run.finished_at is None or agent.state.snapshot_run is run:
            await asyncio.sleep(0.1)
    assert "the destination" in (agent.state.snapshot_run.error or "")
    database.store.start()
