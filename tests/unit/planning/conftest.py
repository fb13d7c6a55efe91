"""Compares the plans of every story with those that were recorded (`recording.py`)."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.unit.planning import recording

_recorded: dict[Path, dict[str, str]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A story that passes has to have made the recorded plans, too."""
    recorder = recording.start()
    try:
        yield
    finally:
        recording.stop(recorder)
    unrecorded = getattr(getattr(item, "module", None), "UNRECORDED", False)
    if not recorder.plans or unrecorded or hasattr(getattr(item, "function", None), "hypothesis"):
        return
    file, name = recording.golden_file(item.path), item.name
    if full := os.environ.get("AURORA_RECORD_FULL"):
        folder = Path(full) / file.relative_to(recording.GOLDEN).with_suffix("") / name.replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        for number, made in enumerate(recorder.plans, 1):
            (folder / f"{number:04}.json").write_text(recording.canonical(made), encoding="utf-8")
    elif os.environ.get("AURORA_RECORD"):
        _recorded.setdefault(file, {})[name] = recording.text_of(recorder.plans)
    else:
        found = recording.difference(name, recording.read_golden(file).get(name, ""), recorder.plans)
        if found is not None:
            pytest.fail(found, pytrace=False)


def pytest_sessionfinish() -> None:
    """Write what was recorded, whole files: stories that are gone leave nothing behind."""
    for file, sections in _recorded.items():
        recording.write_golden(file, sections)
