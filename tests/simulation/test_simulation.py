"""Core and shell under the simulator: many schedules hold, and each deliberate breakage of a rule is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.simulation.__main__ import command
from tests.simulation.checker import ViolationError
from tests.simulation.exhaustive import BUDGETS, SCENES, search
from tests.simulation.mutations import MUTATIONS, Mutation, mutated
from tests.simulation.schedule import PROFILES, run
from tests.simulation.situation import Budget

SCHEDULES = 1200
"""`make simulate SEEDS=N` runs as many as one likes, and `make soak` 100,000."""

OF_EACH = 120
"""Of each family."""

PARTS = 4
"""Tests that share the schedules, for the processes to share."""

ENOUGH_TO_NOTICE = 5000
"""Schedules within which a broken rule must have shown; most need fewer than a hundred."""

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("part", range(PARTS))
def test_schedules_hold(part: int) -> None:
    seeds, commits = range(part, SCHEDULES, PARTS), 0
    for seed in seeds:
        outcome = run(seed)
        assert outcome.problem is None, f"{outcome.problem}\nreplay: {command(seed)}"
        commits += outcome.commits
    assert commits > 10 * len(seeds)


@pytest.mark.parametrize("profile", PROFILES)
def test_schedules_of_each_family_hold(profile: str) -> None:
    commits = 0
    for seed in range(OF_EACH):
        outcome = run(seed, profile=profile)
        assert outcome.problem is None, f"{outcome.problem}\nreplay: {command(seed, profile)}"
        commits += outcome.commits
    assert commits > 5 * OF_EACH, "hardly a schedule got anywhere"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_rule_is_noticed(mutation: Mutation) -> None:
    seeds = range(mutation.begin, mutation.begin + ENOUGH_TO_NOTICE)
    with mutated(mutation):
        noticed = next((seed for seed in seeds if run(seed, profile=mutation.profile).problem is not None), None)
    assert noticed is not None, f"{ENOUGH_TO_NOTICE} schedules do not show it"
    assert run(noticed, profile=mutation.profile).problem is None, "the schedule fails without the fault, too"


def test_every_interleaving_of_a_small_cluster() -> None:
    """No crash, one commit, one lease and one request each; larger ones: `python -m tests.simulation.exhaustive`."""
    situations, depth, complete = search(Budget(writes=1, crashes=0), 400_000)
    assert complete
    assert situations > 50_000
    assert depth > 20


def test_every_interleaving_with_a_log_copy() -> None:
    situations, depth, complete = search(Budget(writes=1, crashes=0), 100_000, SCENES["log-copy"])
    assert complete
    assert situations > 20_000
    assert depth > 20


ATTEMPTS = Budget(writes=0, crashes=0, heals=0, leases=(0, 2, 2), requests=(0, 2, 0))
"""Time enough for one candidate to stand a second time after an attempt of which promises came late, or never."""


def test_every_interleaving_of_attempts_that_fail() -> None:
    situations, depth, complete = search(ATTEMPTS, 100_000, SCENES["log-copy"])
    assert complete
    assert situations > 5_000
    assert depth > 20


def test_the_search_of_attempts_that_fail_notices() -> None:
    mutation = next(m for m in MUTATIONS if m.name == "take a spent number again")
    with mutated(mutation), pytest.raises(ViolationError, match="two leaders of epoch"):
        search(ATTEMPTS, 100_000, SCENES["log-copy"])


def test_every_interleaving_of_two_halves() -> None:
    """Either may give the other up and go on alone, as the record decides: half a minute."""
    situations, depth, complete = search(BUDGETS["shrink"], 300_000, SCENES["shrink"])
    assert complete
    assert situations > 80_000
    assert depth > 20


def test_the_search_of_two_halves_notices() -> None:
    mutation = next(m for m in MUTATIONS if m.name == "let both halves shrink")
    with mutated(mutation), pytest.raises(ViolationError, match=r"opens with .* without"):
        search(BUDGETS["shrink"], 300_000, SCENES["shrink"])


@pytest.mark.parametrize("name", ["promise before the receiver is gone", "promote before catch-up"])
def test_the_search_with_a_log_copy_notices(name: str) -> None:
    mutation = next(m for m in MUTATIONS if m.name == name)
    with mutated(mutation), pytest.raises(ViolationError, match="without"):
        search(Budget(writes=1, crashes=0), 100_000, SCENES["log-copy"])


@pytest.mark.parametrize(
    "name", ["promise before the receiver is gone", "promote before catch-up", "one promise too few"]
)
def test_the_search_notices(name: str) -> None:
    mutation = next(m for m in MUTATIONS if m.name == name)
    with mutated(mutation), pytest.raises(ViolationError, match="without"):
        search(Budget(writes=1, crashes=0), 50_000)


def _trace(seed: int, hash_seed: str) -> list[str]:
    arguments = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(arguments, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout.splitlines()


def test_a_seed_replays_exactly() -> None:
    """Sets of names print in another order under another hash seed; steps, times and outcome must be the same."""
    one, other = _trace(11, "1"), _trace(11, "2")
    assert len(one) > 100
    assert [line[:60] for line in one] == [line[:60] for line in other]
    assert one[-1] == other[-1]
