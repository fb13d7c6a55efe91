from __future__ import annotations

import pytest
from bench import commit

TEXT = """pgbench (17.12 (Debian 17.12-0+deb13u1))
transaction type: <builtin: simple update>
number of transactions actually processed: 2213
number of failed transactions: 0 (0.000%)
latency average = 36.071 ms
latency stddev = 11.510 ms
initial connection time = 41.001 ms
tps = 221.470137 (without initial connection time)
"""


def test_figures_are_read_from_what_pgbench_says() -> None:
    assert commit.parse(TEXT) == {"tps": 221.470137, "latency_ms": 36.071, "latency_stddev_ms": 11.51}


def test_what_is_no_account_is_refused() -> None:
    with pytest.raises(AssertionError, match="did not finish"):
        commit.parse("pgbench: error: connection failed")


def test_ratios_are_of_the_same_round() -> None:
    rounds = {
        ("aurora-3-copies", 8): [{"tps": 90.0}, {"tps": 45.0}, {"tps": 10.0}],
        (commit.BASELINE, 8): [{"tps": 100.0}, {"tps": 50.0}, {"tps": 100.0}],
    }
    summary = commit._summary(rounds, ["aurora-3-copies", commit.BASELINE], 8)
    assert summary["aurora-3-copies"]["of_one_standby"] == 0.9
    assert summary["aurora-3-copies"]["tps"] == 45.0
    assert summary[commit.BASELINE]["of_one_standby"] == 1.0
