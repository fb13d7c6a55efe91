"""What the benchmark makes of what it saw."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.elastic import Sample, drawn, figures, growth


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
