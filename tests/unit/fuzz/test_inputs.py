"""A short look at each reader; `make fuzz` looks for longer."""

from __future__ import annotations

import pytest
from tests.fuzz.__main__ import tried
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_input_is_a_value_or_the_expected_error(name: str) -> None:
    tried(TARGETS[name], 300)
