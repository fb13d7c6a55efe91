"""When the next rehearsal is, by what the schema takes for a schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planning.backup.test_backup_flow import BACKUP
from tests.unit.planning.world import World

from aurora_operator.api.spec.backup import RestoreRehearsal
from aurora_operator.planning.backup.rehearsal import next_time, schedule_problem


def test_a_schedule_that_never_comes_is_refused() -> None:
    assert schedule_problem("0 4 30 2 *") is not None and schedule_problem("0 20-4 * * *") is not None
    world = World()
    world.settle()
    world.edit(backup={**BACKUP, "restoreRehearsal": {"schedule": "0 4 30 2 *"}})
    world.step()
    world.step()
    condition = world.condition("SpecAccepted")
    assert condition["status"] == "False" and "restoreRehearsal.schedule cannot be 0 4 30 2 *" in condition["message"]


_NUMBERS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}


@st.composite
def schedules(draw: st.DrawFn) -> str:
    fields = []
    for low, high in _NUMBERS.values():
        items = []
        for _ in range(draw(st.integers(1, 2))):
            first = draw(st.integers(low, high))
            form = draw(st.sampled_from(["*", "n", "n-m"]))
            text = "*" if form == "*" else str(first) if form == "n" else f"{first}-{draw(st.integers(first, high))}"
            items.append(text + draw(st.sampled_from(["", "/1", "/7", "/59"])))
        fields.append(",".join(items))
    return " ".join(fields)


@given(schedules(), st.integers(0, 10**8))
def test_what_the_schema_takes_can_be_followed(schedule: str, seconds: int) -> None:
    assert RestoreRehearsal.model_validate({"schedule": schedule}).schedule == schedule
    if schedule_problem(schedule) is None:
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        due = next_time(schedule, now)
        assert due > now and due.second == 0 and due.tzinfo is UTC
        assert next_time(schedule, due - timedelta(seconds=1)) == due
    else:
        assert "day" in str(schedule_problem(schedule)) or "never" in str(schedule_problem(schedule))
