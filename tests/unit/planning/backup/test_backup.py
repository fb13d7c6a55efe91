from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import KeptBackup
from aurora_operator.planning.backup.backup import due, in_window

NIGHT = datetime(2026, 11, 25, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def spec(**schedule: int) -> AuroraClusterSpec:
    return AuroraClusterSpec.model_validate(
        {"backup": {"destination": {"volume": {"claimName": "x"}}, "schedule": schedule}}
    )


def entry(kind: str, ago: timedelta, now: datetime = NIGHT) -> KeptBackup:
    at = (now - ago).isoformat()
    return KeptBackup(label=at, type=kind, started_at=at, finished_at=at, size_bytes=1, stored_bytes=1)


@pytest.mark.parametrize(
    ("window", "time", "inside"),
    [
        ("02:00-03:00", "02:00", True),
        ("02:00-03:00", "02:59", True),
        ("02:00-03:00", "03:00", False),
        ("23:30-00:30", "23:45", True),
        ("23:30-00:30", "00:15", True),
        ("23:30-00:30", "12:00", False),
    ],
)
def test_window(window: str, time: str, inside: bool) -> None:
    assert in_window(window, datetime.fromisoformat(f"2026-11-25T{time}:00+00:00")) is inside


def test_the_first_backup_waits_for_no_window() -> None:
    assert due(spec(), (), NIGHT.replace(hour=12)) == "full"


@pytest.mark.parametrize(
    ("schedule", "backups", "hour", "kind"),
    [
        ({}, [("full", 1 * DAY)], 2, "incr"),
        ({}, [("full", 1 * DAY)], 12, None),
        ({}, [("full", 3 * DAY), ("incr", timedelta(minutes=10))], 2, None),
        ({}, [("full", 7 * DAY), ("incr", 1 * DAY)], 2, "full"),
        ({}, [("full", 7 * DAY - timedelta(minutes=20)), ("incr", 1 * DAY)], 2, "full"),
        ({}, [("full", 6 * DAY), ("incr", 1 * DAY)], 2, "incr"),
        ({"differentialEveryDays": 2}, [("full", 2 * DAY), ("incr", 1 * DAY)], 2, "diff"),
        ({"differentialEveryDays": 2}, [("full", 3 * DAY), ("diff", 1 * DAY)], 2, "incr"),
        ({"incrementalEveryHours": 6}, [("full", timedelta(hours=6))], 12, "incr"),
        ({"incrementalEveryHours": 6}, [("full", timedelta(hours=5))], 12, None),
    ],
)
def test_what_is_due(schedule: dict[str, int], backups: list[tuple[str, timedelta]], hour: int, kind: str) -> None:
    now = NIGHT.replace(hour=hour)
    assert due(spec(**schedule), tuple(entry(k, ago, now) for k, ago in backups), now) == kind


@given(st.integers(0, 59), st.integers(1, 7), st.integers(10, 40))
def test_a_schedule_runs_every_day_in_its_window(minute: int, every: int, days: int) -> None:
    """However late in the window it is looked: one backup a day, a full one as often as was asked for."""
    kept: list[KeptBackup] = []
    kinds = []
    start = NIGHT.replace(minute=0)
    for day in range(days):
        now = start + day * DAY + timedelta(minutes=(minute * (day + 1)) % 60)
        for _ in range(2):
            kind = due(spec(fullEveryDays=every), tuple(kept), now)
            if kind is not None:
                kept.append(entry(kind, timedelta(), now))
                kinds.append(kind)
    assert len(kinds) == days
    assert all(kinds[day] == ("full" if day % every == 0 else "incr") for day in range(days))
