from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_operator.api.spec.maintenance import in_maintenance_window, parse_maintenance_window

MONDAY = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "inside"),
    [
        ("mon:00:00-mon:00:30", MONDAY, True),
        ("mon:00:00-mon:00:30", MONDAY + timedelta(minutes=30), False),
        ("Sun:23:00-Mon:01:00", MONDAY, True),
        ("sun:23:00-mon:01:00", MONDAY - timedelta(hours=1), True),
        ("sun:23:00-mon:01:00", MONDAY - timedelta(hours=1, minutes=1), False),
        ("tue:03:00-tue:04:00", MONDAY, False),
        (None, MONDAY, True),
    ],
)
def test_a_moment_is_in_the_window_or_not(window: str | None, moment: datetime, inside: bool) -> None:
    assert in_maintenance_window(window, moment) is inside


MOMENTS = st.builds(
    lambda day, hour, minute: f"{day}:{hour:02}:{minute:02}",
    st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    st.integers(0, 23),
    st.integers(0, 59),
)


@settings(max_examples=15)
@given(MOMENTS, MOMENTS)
def test_a_window_is_open_for_as_long_as_it_says(first: str, last: str) -> None:
    begin, end = parse_maintenance_window(f"{first}-{last}")
    open_for = sum(
        in_maintenance_window(f"{first}-{last}", MONDAY + timedelta(minutes=minute)) for minute in range(7 * 24 * 60)
    )
    assert open_for == (end - begin) % (7 * 24 * 60)


@pytest.mark.parametrize("text", ["", "sun:03:00", "sun:24:00-sun:24:30", "xyz:03:00-sun:04:00", "03:00-04:00"])
def test_other_texts_are_no_windows(text: str) -> None:
    with pytest.raises(ValueError, match="not a maintenance window"):
        parse_maintenance_window(text)
