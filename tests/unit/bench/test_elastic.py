"""What the benchmark makes of what it saw."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from bench.elastic import Sample, drawn, growth
from bench.wakes import Wake, figures, moments_in, where


def test_growth_is_counted_from_the_load() -> None:
    seen = [Sample(100.0 + n / 10, 0.5 if n < 34 else 2.5 if n < 50 else 5.0, n / 100) for n in range(80)]
    assert growth(seen, 102.0) == {
        "from": 0.5,
        "most": 5.0,
        "seconds_from_load_to_limit": 1.4,
        "seconds_to_most": 3.0,
    }
    assert growth(seen[:10], 100.0)["seconds_from_load_to_limit"] is None


def test_figures_keep_failures_apart() -> None:
    assert figures([*(n / 100 for n in range(1, 100)), "refused", "refused"]) == {
        "sessions": 99,
        "p50": 0.5,
        "p99": 0.99,
        "max": 0.99,
        "failed": 2,
        "errors": ["refused"],
    }
    assert figures(["refused"]) == {"sessions": 0, "failed": 1, "errors": ["refused"]}


def test_the_picture_has_both_lines() -> None:
    seen = [Sample(100.0 + n / 10, 0.5 if n < 50 else 2.5, n / 20) for n in range(100)]
    root = ElementTree.fromstring(drawn(seen))
    assert sum(element.tag.endswith("polyline") for element in root.iter()) == 2


def test_where_the_time_of_a_wake_goes() -> None:
    log = (
        "2026-11-25T09:19:27.095870852Z 2026-11-25 09:19:27.095 UTC [13] LOG:  starting PostgreSQL 17.12\n"
        "2026-11-25T09:19:27.5Z something else\n"
        '2026-11-25T09:19:27.682630056Z {"message": "open for clients as the writer of epoch 98"}\n'
    )
    found = moments_in(log)
    assert found["open for clients"] - found["PostgreSQL started"] == pytest.approx(0.58676)
    wakes = [Wake([2.0], {"b": 2.0, "a": 1.0}), Wake([2.0], {"b": 3.0, "a": 1.5}), Wake([2.0], {"b": 9.0})]
    assert list(where(wakes).items()) == [("a", 1.25), ("b", 3.0)]
