from __future__ import annotations

import json
from datetime import UTC, datetime

from bench import timeline

AT = datetime(2026, 11, 25, 3, 0, 0, tzinfo=UTC).timestamp()


def line(seconds: float, message: str) -> str:
    when = datetime.fromtimestamp(AT + seconds, UTC)
    return json.dumps({"asctime": f"{when:%Y-%m-%d %H:%M:%S},{when.microsecond // 1000:03}", "message": message})


LOG = [
    "2026-11-25 03:00:00.100 UTC [7] LOG:  not ours",
    line(-1, "standby -> prevoting (promised epoch 2)"),
    line(0.25, "standby -> prevoting (promised epoch 2)"),
    line(0.5, "preparing -> promoting (promised epoch 3)"),
    line(0.75, "promoted onto timeline 3 in 200 ms"),
    line(1.0, "open for clients as the writer of epoch 3"),
]


def test_each_stage_ends_with_its_line() -> None:
    spent = timeline.parse(LOG, AT, (AT, AT + 1.25))
    assert spent == dict.fromkeys(("noticed", "elected", "promoted", "open", "client"), 0.25)


def test_what_comes_after_the_first_write_is_of_another_failover() -> None:
    later = [line(9, "preparing -> promoting (promised epoch 4)")]
    assert timeline.parse([*LOG, *later], AT, (AT, AT + 1.25)) == timeline.parse(LOG, AT, (AT, AT + 1.25))


def test_an_outage_that_began_later_is_not_the_failovers() -> None:
    assert timeline.parse(LOG, AT, (AT + 9, AT + 11)) is None


def test_a_log_that_lacks_a_stage_says_nothing() -> None:
    assert timeline.parse(LOG[:-1], AT, (AT, AT + 1.25)) is None
    assert timeline.medians([None]) == {}


def test_medians_are_of_the_runs_that_are_known() -> None:
    assert timeline.medians([{"open": 1.0}, None, {"open": 3.0}]) == {"open": 2.0}
