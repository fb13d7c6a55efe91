"""The core under the simulator: many schedules hold, and each deliberate breakage of a rule is noticed."""

from __future__ import annotations

import os

import pytest
from tests.simulation.__main__ import _outcomes, command
from tests.simulation.mutations import MUTATIONS, Mutation, mutated
from tests.simulation.schedule import run

SCHEDULES = 1500
"""About a minute on two cores; `make simulate SEEDS=N` runs as many as one likes."""
ENOUGH_TO_NOTICE = 5000
"""Schedules within which a broken rule must have shown."""


def test_schedules_hold() -> None:
    commits = 0
    for outcome in _outcomes(range(SCHEDULES), None, os.cpu_count() or 1):
        assert outcome.problem is None, f"{outcome.problem}\nreplay it: {command(outcome.seed)}"
        commits += outcome.commits
    assert commits > 10 * SCHEDULES


def test_a_seed_replays_exactly() -> None:
    assert run(7) == run(7)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    profile = None if mutation.profile == "all" else mutation.profile
    with mutated(mutation):
        noticed = any(run(seed, profile=profile).problem is not None for seed in range(ENOUGH_TO_NOTICE))
    assert noticed, f"{ENOUGH_TO_NOTICE} schedules do not show it"
