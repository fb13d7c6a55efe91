"""A paused cluster is woken for a backup that is due, takes it and pauses again, and is not kept awake if it fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planning.backup.test_backup import NIGHT, spec
from tests.unit.planning.backup.test_backup_flow import BACKUP, REPORT
from tests.unit.planning.power.test_power import ZERO, Sleeper

from aurora_operator.api.agent.messages import AgentStatus, BackupEntry, BackupReport, BackupRun, SnapshotRun
from aurora_operator.api.base import names
from aurora_operator.api.status import BackupStatus, KeptBackup
from aurora_operator.planning.model.plan_model import AgentCall, TakeBackup
from aurora_operator.planning.power.waking import WAKE_AGAIN, wakes, woken

DAY = timedelta(days=1)


def status(*kept: tuple[str, timedelta], woken_at: datetime | None = None, now: datetime = NIGHT) -> BackupStatus:
    return BackupStatus(
        stanza="demo",
        path="/aurora/default",
        woken_at=None if woken_at is None else woken_at.isoformat(),
        backups=tuple(
            KeptBackup(
                label=kind,
                type=kind,
                started_at=(now - ago).isoformat(),
                finished_at=(now - ago).isoformat(),
                size_bytes=1,
                stored_bytes=1,
            )
            for kind, ago in kept
        ),
    )


@pytest.mark.parametrize(
    ("schedule", "kept", "hour", "kind"),
    [
        ({}, [("full", 1 * DAY)], 2, "incr"),
        ({}, [("full", 1 * DAY)], 12, None),
        ({}, [("full", 7 * DAY)], 2, "full"),
        ({}, [], 12, "full"),
        ({"incrementalEveryHours": 6}, [("full", timedelta(hours=7))], 12, None),
        ({"incrementalEveryHours": 6}, [("full", timedelta(hours=7))], 2, "incr"),
    ],
)
def test_what_wakes(schedule: dict[str, int], kept: list[tuple[str, timedelta]], hour: int, kind: str | None) -> None:
    now = NIGHT.replace(hour=hour)
    assert wakes(spec(**schedule), status(*kept, now=now), now) == kind


@pytest.mark.parametrize("hour", [2, 12])
def test_a_damaged_backup_is_none(hour: int) -> None:
    now = NIGHT.replace(hour=hour)
    there = status(("full", 1 * DAY), now=now)
    damaged = there.backups[0].model_copy(update={"damaged": True})
    assert wakes(spec(), there.model_copy(update={"backups": (damaged,)}), now) == "full"


@given(st.timedeltas(min_value=timedelta(), max_value=DAY))
def test_it_is_woken_once_an_hour_at_most(ago: timedelta) -> None:
    """Within a minute it is the same waking, which may not have been carried out."""
    before = status(woken_at=NIGHT - ago)
    again = wakes(spec(), before, NIGHT) is not None
    assert again == (ago < timedelta(minutes=1) or ago >= WAKE_AGAIN)
    after = woken(before, NIGHT)
    assert after is not None and after.woken_at is not None
    assert datetime.fromisoformat(after.woken_at) == (NIGHT - ago if ago < timedelta(minutes=1) else NIGHT)


class Backed(Sleeper):
    """With a repository: backups are taken at once, unless they fail or last."""

    def __init__(self) -> None:
        super().__init__(
            instanceClass="db.serverless",
            serverlessV2ScalingConfiguration=ZERO,
            backup=BACKUP,
            preferredBackupWindow="03:00-06:00",
        )
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.kept: tuple[BackupEntry, ...] = ()
        self.runs: dict[str, BackupRun] = {}
        self.snapshots: dict[str, SnapshotRun] = {}
        self.outcome = "done"
        self.taken: list[str] = []
        self.report: BackupReport | None = REPORT

    def status_of(self, name: str) -> AgentStatus:
        found = super().status_of(name)
        known = self.report if found.role == "writer" else None
        report = None if known is None else known.model_copy(update={"backups": self.kept})
        runs = {"backup_run": self.runs.get(name), "snapshot_run": self.snapshots.get(name)}
        return found.model_copy(update={"backup": report, **runs})

    def call(self, call: AgentCall) -> None:
        if not isinstance(call, TakeBackup):
            super().call(call)
            return
        at = self.now.isoformat()
        self.taken.append(call.kind)
        run = BackupRun(kind=call.kind, token=call.token, started_at=at)
        if self.outcome == "lasts":
            self.runs = {call.instance: run}
            return
        error = "no room" if self.outcome == "fails" else None
        self.runs = {call.instance: run.model_copy(update={"finished_at": at, "error": error})}
        if error is None:
            made = BackupEntry(label=at, kind=call.kind, started_at=at, finished_at=at, size_bytes=1, stored_bytes=1)
            self.kept = (*self.kept, made)

    def live_agents(self) -> None:
        before = self.leader
        super().live_agents()
        if self.leader is not None and before is None:
            self.runs = {}  # the pods are new


def asleep() -> Backed:
    world = Backed()
    world.settle()
    assert world.taken == ["full"]
    world.idle = 301.0
    world.until(lambda: world.phase == "Paused")
    world.idle = 0.0
    return world


def test_one_that_cannot_see_its_repository_stays_awake_for_a_minute_and_is_woken_after_an_hour() -> None:
    """Its first backup is due all the time."""
    world = Backed()
    world.report = None
    world.settle()
    assert world.taken == [] and world.resource["status"]["backup"]["stanza"]
    world.idle, begun = 301.0, world.now
    world.until(lambda: world.phase == "Paused")
    assert timedelta(minutes=1) <= world.now - begun < timedelta(minutes=3)
    world.idle, world.report = 0.0, REPORT
    for _ in range(5):
        world.step()
    assert world.phase == "Paused"
    world.now = begun + WAKE_AGAIN + timedelta(minutes=1)
    world.until(lambda: world.taken == ["full"])


def at_night(world: Backed) -> None:
    world.now = datetime(2026, 3, 3, 3, 10, tzinfo=UTC)
    assert world.phase == "Paused"


def test_a_due_backup_wakes_it_is_taken_and_it_pauses_again() -> None:
    world = asleep()
    for _ in range(5):
        world.step()
    assert world.phase == "Paused"
    at_night(world)
    made = world.step()
    assert world.phase == "Resuming"
    assert any(e.reason == "Resuming" and "A backup (incr) is due." in e.message for e in made.events)
    world.until(lambda: world.phase == "Ready" and world.taken == ["full", "incr"])
    world.idle = 301.0
    world.until(lambda: world.phase == "Paused")
    for _ in range(5):
        world.step()
    assert world.phase == "Paused" and world.stops == 2


def test_it_does_not_pause_while_a_backup_runs_or_is_about_to() -> None:
    world = asleep()
    at_night(world)
    world.outcome = "lasts"
    world.until(lambda: world.phase == "Ready")
    world.idle = 10_000.0
    world.until(lambda: len(world.taken) == 2)
    for _ in range(5):
        world.step()
    assert world.phase == "Ready" and world.stops == 1
    (name,) = world.runs
    world.runs = {name: world.runs[name].model_copy(update={"finished_at": world.now.isoformat(), "error": "ended"})}
    world.until(lambda: world.phase == "Paused")


def test_it_does_not_pause_while_a_snapshot_is_taken() -> None:
    world = asleep()
    at_night(world)
    world.until(lambda: world.phase == "Ready")
    run = SnapshotRun(token="t", path="/p", started_at=world.now.isoformat())
    world.snapshots = {"demo-1": run}
    world.idle = 10_000.0
    for _ in range(5):
        world.step()
    assert world.phase == "Ready" and world.stops == 1
    world.snapshots = {"demo-1": run.model_copy(update={"finished_at": world.now.isoformat()})}
    world.until(lambda: world.phase == "Paused")


@pytest.mark.parametrize("how", ["fails", "unreachable"])
def test_a_backup_that_cannot_be_taken_does_not_wake_it_again_and_again(how: str) -> None:
    world = asleep()
    at_night(world)
    if how == "fails":
        world.outcome = "fails"
    else:
        world.report = REPORT.model_copy(update={"archiving": False, "cause": "unreachable", "error": "no route"})
    world.until(lambda: world.phase == "Ready")
    begun = world.now
    world.step()
    world.idle = 301.0
    world.until(lambda: world.phase == "Paused")
    world.idle = 0.0
    while world.now < begun + timedelta(minutes=30):
        world.now += timedelta(minutes=1)
        world.step()
        assert world.phase == "Paused"
    world.now = begun + WAKE_AGAIN
    world.step()
    assert world.phase == "Resuming"


def test_a_backup_that_is_asked_for_wakes_it_and_keeps_it_awake_until_it_is_taken() -> None:
    world = asleep()
    world.resource["metadata"].setdefault("annotations", {})[names.ANNOTATION_BACKUP] = "full"
    world.report = REPORT.model_copy(update={"archiving": False})
    world.until(lambda: world.phase == "Ready")
    world.idle = 10_000.0
    for _ in range(5):
        world.step()
    assert world.phase == "Ready" and world.taken == ["full"]
    world.report = REPORT
    world.until(lambda: world.phase == "Paused")
    assert world.taken == ["full", "full"]
    assert names.ANNOTATION_BACKUP not in world.resource["metadata"].get("annotations", {})
