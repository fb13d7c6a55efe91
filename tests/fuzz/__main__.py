"""`python -m tests.fuzz --minutes 60`: all targets in turn, with new inputs each time, until the time is over."""

from __future__ import annotations

import argparse
import time

from hypothesis import HealthCheck, given, settings
from tests.fuzz.targets import TARGETS, Target

ROUND = 2000
"""Inputs of a target at a time."""


def tried(target: Target, inputs: int) -> None:
    """Try so many. Raises what the target raises, for the smallest input that does it."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=checks)(
        given(target.inputs)(target.run)
    )()


def main() -> None:
    """Run until the time is over, or an input is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    counts = dict.fromkeys(options.target or TARGETS, 0)
    while time.monotonic() < end:
        for name in counts:
            tried(TARGETS[name], ROUND)
            counts[name] += ROUND
            if time.monotonic() >= end:
                break
    for name, count in counts.items():
        print(f"{name:12} {count:10,} inputs")


if __name__ == "__main__":
    main()
