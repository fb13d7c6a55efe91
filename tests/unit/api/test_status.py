from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.base import reasons
from aurora_operator.api.base.conditions import READY, Condition, ConditionStatus, get_condition, is_true, set_condition
from aurora_operator.api.status import AuroraClusterStatus, DurabilityStatus, MemberStatus

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
STATUSES: list[ConditionStatus] = ["True", "False", "Unknown"]


def test_a_new_condition_comes_last() -> None:
    first = set_condition((), "Available", "True", reasons.WRITER_OPEN, "", now=T0)
    both = set_condition(first, READY, "False", reasons.COPIES_MISSING, "Not yet.", now=T0, observed_generation=4)
    assert [c.type for c in both] == ["Available", READY]
    assert get_condition(both, READY) == both[1]
    assert both[1].observed_generation == 4
    assert is_true(both, "Available")
    assert not is_true(both, READY)
    assert not is_true(both, "Missing")


@given(st.lists(st.tuples(st.sampled_from(STATUSES), st.text(max_size=5)), min_size=1, max_size=20))
def test_the_time_changes_with_the_status_only(history: list[tuple[ConditionStatus, str]]) -> None:
    conditions: tuple[Condition, ...] = ()
    since, last = T0, None
    for step, (status, message) in enumerate(history):
        now = T0 + timedelta(seconds=step)
        conditions = set_condition(conditions, READY, status, reasons.FAULT, message, now=now)
        since = since if status == last else now
        last = status
        assert len(conditions) == 1
        assert (conditions[0].status, conditions[0].message) == (status, message)
        assert conditions[0].last_transition_time == since


def test_times_are_whole_seconds_in_utc() -> None:
    now = datetime(2026, 1, 1, 14, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    (condition,) = set_condition((), READY, "True", reasons.AS_SPECIFIED, "", now=now)
    status = AuroraClusterStatus(conditions=(condition,))
    assert status.to_kubernetes()["conditions"][0]["lastTransitionTime"] == "2026-01-01T12:00:00Z"


def test_status_survives_kubernetes() -> None:
    status = AuroraClusterStatus(
        observed_generation=2,
        phase="Ready",
        writer="demo-1",
        epoch=7,
        instances=1,
        members=(MemberStatus(name="demo-1", role="writer", zone="zone-a", lag_bytes=0, lag_seconds=0.0),),
        durability=DurabilityStatus(copies=1, alive_copies=1, write_quorum=1, read_quorum=1),
        conditions=set_condition((), READY, "True", reasons.AS_SPECIFIED, "", now=T0),
    )
    written = status.to_kubernetes()
    assert written["observedGeneration"] == 2
    assert written["members"][0]["lagBytes"] == 0
    assert "message" not in written
    assert AuroraClusterStatus.model_validate(written) == status


def test_what_a_newer_operator_wrote_is_ignored() -> None:
    assert AuroraClusterStatus.model_validate({"phase": "Ready", "later": 1}).phase == "Ready"


@pytest.mark.parametrize("name", [name for name in vars(reasons) if name.isupper()])
def test_reasons_are_their_names_in_camel_case(name: str) -> None:
    reason = getattr(reasons, name)
    assert re.fullmatch("([A-Z][a-z]+)+", reason)
    assert re.sub("(?<!^)(?=[A-Z])", "_", reason).upper() == name
