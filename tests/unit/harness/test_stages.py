"""The stages of `make test`: each is timed, the first failure ends it, and the table is printed all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

import pytest
from tests import stages
from tests.stages import Stage, run, table

NAMES = ("lint", "unit", "e2e")


def clock(*seconds: float) -> Callable[[], float]:
    """Tells the start and the end of stages that last so long each."""
    times: Iterator[float] = (at for end, s in zip(accumulate(seconds), seconds, strict=True) for at in (end - s, end))
    return lambda: next(times)


def test_all_are_run_and_timed() -> None:
    made: list[str] = []

    def make(name: str) -> int:
        made.append(name)
        return 0

    done = run(NAMES, make, clock(3, 20, 10))
    assert made == list(NAMES)
    assert done == [Stage("lint", 3, 0), Stage("unit", 20, 0), Stage("e2e", 10, 0)]


def test_the_first_failure_ends_it() -> None:
    done = run(NAMES, lambda name: 2 if name == "unit" else 0, clock(3, 20, 10))
    assert done == [Stage("lint", 3, 0), Stage("unit", 20, 2)]


def test_an_interrupted_stage_has_failed() -> None:
    def interrupted(name: str) -> int:
        raise KeyboardInterrupt

    assert run(NAMES, interrupted, clock(3)) == [Stage("lint", 3, 130)]


def test_the_slowest_comes_first() -> None:
    text = table(NAMES, [Stage("lint", 3.2, 0), Stage("unit", 20, 0), Stage("e2e", 10, 0)])
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["unit", "20"],
        ["e2e", "10"],
        ["lint", "3"],
        ["together", "33"],
    ]


def test_it_says_what_failed_and_what_was_not_run() -> None:
    text = table(NAMES, [Stage("lint", 3, 0), Stage("unit", 20, 2)])
    assert "failed with exit code 2" in text
    assert text.splitlines()[-1] == "not run: e2e"


@pytest.mark.parametrize(("code", "shown"), [(0, "together"), (2, "not run: unit")])
def test_the_code_of_the_failed_stage_is_returned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, shown: str
) -> None:
    monkeypatch.setattr(stages, "_make", lambda name: code)
    assert stages.main(["lint", "unit"]) == code
    assert shown in capsys.readouterr().out
