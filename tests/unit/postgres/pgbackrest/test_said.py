"""What pgBackRest has really said, and the cause that is read from it. `recorded.json` is from the version it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from aurora_operator.postgres.pgbackrest.commands import explain, progress_of

RECORDED: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("recorded.json").read_text())["said"]


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_the_cause_is_read_from_what_it_says(name: str) -> None:
    said = RECORDED[name]
    error = explain(said["output"], said["code"])
    assert error.cause == said["cause"]
    assert str(error) and "\n" not in str(error)


def test_without_an_answer_in_time_nothing_was_reached() -> None:
    assert explain("", None).cause == "unreachable"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("P01 DETAIL: backup file /data/pgdata/base/1/2619 (8KB, 12.34%) checksum 5f2d", 0.1234),
        ("P01 DETAIL: restore file /data/pgdata/base/1/2619 (bundle 1/16, 8KB, 100.00%) checksum 5f2d", 1.0),
        ("P00   INFO: backup command begin 2.55.1", None),
    ],
)
def test_how_far_it_is(line: str, part: float | None) -> None:
    assert progress_of(line) == part
