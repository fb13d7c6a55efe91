"""The simulator's mutations fit the text of the rules that they break: a changed rule shows here, long before a run."""

from __future__ import annotations

import pytest
from tests.simulation import schedule
from tests.simulation.mutations import MUTATIONS, Mutation, mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_fits(mutation: Mutation) -> None:
    assert mutation.profile in schedule.PROFILES
    with mutated(mutation):
        pass
