"""The simulated disk shows what a real file system could: no less, or faults are missed, and no more."""

from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import pytest
from tests.simulation import volume as simulated
from tests.simulation.volume import STATE, Volume
from tests.unit.agent.member.disk import Disk, Killed

from aurora_operator.agent.member.durable_state import Store
from aurora_operator.consensus.events import Durable
from aurora_operator.consensus.types import Config, ConfigKey, Quorum

OLD = Durable(promised=34, config=Config(ConfigKey(34, 5), Quorum(frozenset({"a/1", "b/2"}), 2)))
NEW = Durable(promised=67, config=Config(ConfigKey(66, 1), Quorum(frozenset({"a/1"}), 1)))
States = set[frozenset[tuple[str, bytes]]]
DRAWS = 150


def _on_a_file_system(folder: Path) -> States:
    """All that the kernel's own calls could leave, whenever power fails while a promise is kept."""
    seen: States = set()
    for kill_at in itertools.count():
        store = Store(folder / str(kill_at))
        store.save_durable(OLD)
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(folder / str(kill_at), patch)
            disk.kill_at = kill_at
            try:
                store.save_durable(NEW)
                done = True
            except Killed:
                done = False
            patch.undo()
            seen |= {frozenset(files.items()) for files in disk.after_a_power_cut()}
            disk.close()
        if done:
            return seen
    raise AssertionError


def _on_the_simulated_one() -> States:
    seen: States = set()
    random = Random(0)
    for kill_in in itertools.count():
        for _ in range(DRAWS):
            volume = Volume()
            store = Store(STATE, volume)
            store.save_durable(OLD)
            volume.settle()
            volume.kill_in = kill_in
            try:
                store.save_durable(NEW)
                done = True
            except simulated.Killed:
                done = False
            volume.cut_power(random.choice)
            seen.add(frozenset((name, file.data) for name, file in volume.names.items()))
        if done:
            return seen
    raise AssertionError


def test_a_power_cut_leaves_the_same_as_on_a_file_system(tmp_path: Path) -> None:
    there = _on_a_file_system(tmp_path)
    assert len(there) > 5
    assert _on_the_simulated_one() == there
