"""The durable state when the process or the power ends at any moment of a write: the old state or the new one is there,
whatever was answered for stays, and nothing is taken for damage."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.agent.member.disk import Disk, Killed, lay_out

from aurora_operator.agent.member.durable_state import Store
from aurora_operator.consensus.events import Durable
from aurora_operator.consensus.types import Config, ConfigKey, Quorum

OLD = Durable(promised=34, config=Config(ConfigKey(34, 5), Quorum(frozenset({"a/1", "b/2"}), 2)))
NEW = Durable(promised=67, config=Config(ConfigKey(66, 1), Quorum(frozenset({"a/1", "b/2", "c/3"}), 2)))
Act = Callable[[Store], object]


def _take(store: Store) -> object:
    return store.take("default/demo/demo-1", has_data=True)


@contextmanager
def _watched(folder: Path, kill_at: int | None = None) -> Iterator[Disk]:
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(folder, patch)
        disk.kill_at = kill_at
        try:
            yield disk
        finally:
            patch.undo()
            disk.close()


def _until_killed(store: Store, act: Act) -> bool:
    """Whether it came to its end."""
    try:
        act(store)
    except Killed:
        return False
    return True


def _crashes(tmp_path: Path, act: Act, look: Callable[[Store], Any]) -> Iterator[tuple[bool, set[Any]]]:
    """For each moment at which it may end: whether `act` was over, and all that `look` finds after a power cut."""
    folders = (tmp_path / str(n) for n in itertools.count())
    for kill_at in itertools.count():
        folder = next(folders)
        store = Store(folder)
        _take(store)
        store.save_durable(OLD)
        with _watched(folder, kill_at) as disk:
            done = _until_killed(store, act)
            states = list(disk.after_a_power_cut())
        found = set()
        for files in states:
            after = next(folders)
            lay_out(files, after)
            found.add(look(Store(after)))
        yield done, found
        if done:
            return


def test_a_promise_is_the_old_or_the_new_one_and_the_new_one_once_it_is_saved(tmp_path: Path) -> None:
    outcomes = list(_crashes(tmp_path, lambda store: store.save_durable(NEW), Store.durable))
    assert len(outcomes) > 4, "a write has several steps"
    assert all(found <= {OLD, NEW} for _, found in outcomes)
    assert any(found == {OLD, NEW} for _, found in outcomes)
    assert outcomes[-1] == (True, {NEW})


def test_on_a_full_volume_likewise(tmp_path: Path) -> None:
    """The blocks of the spare file take the promise."""

    def save(store: Store) -> None:
        opens = os.open

        def full(path: Any, flags: int, *more: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                raise OSError(errno.ENOSPC, "full", str(path))
            return opens(path, flags, *more, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "open", full)
            store.save_durable(NEW)

    outcomes = list(_crashes(tmp_path, save, Store.durable))
    assert all(found <= {OLD, NEW} for _, found in outcomes)
    assert outcomes[-1] == (True, {NEW})


def test_what_a_killed_agent_finds_when_it_starts_is_not_taken_back(tmp_path: Path) -> None:
    """It was killed between a rename and its `fsync`: the next life answers for what it reads, and writes nothing."""
    for kill_at in itertools.count():
        folder = tmp_path / f"life-{kill_at}"
        store = Store(folder)
        store.save_durable(OLD)
        with _watched(folder, kill_at) as disk:
            done = _until_killed(store, lambda s: s.save_durable(NEW))
            disk.kill_at = None
            again = Store(folder)
            read = again.durable()
            again.save_durable(read)
            states = list(disk.after_a_power_cut())
        for number, files in enumerate(states):
            after = tmp_path / f"life-{kill_at}-{number}"
            lay_out(files, after)
            assert Store(after).durable() == read, f"killed before step {kill_at}"
        if done:
            assert read == NEW
            return


@pytest.mark.parametrize(
    ("has_data", "owner"), [(False, "default/demo/demo-1"), (True, "default/demo/demo-2")], ids=["lost", "copied"]
)
def test_a_volume_that_becomes_another_copys_never_has_its_name_and_the_others_promises(
    tmp_path: Path, has_data: bool, owner: str
) -> None:
    """Done again after each crash, it comes to the same: a name of its own."""
    before = Store(tmp_path / "before").take("default/demo/demo-1", has_data=True).incarnation

    def become(store: Store) -> tuple[bool, int]:
        taken = store.take(owner, has_data=has_data)
        return taken.incarnation != before, store.durable().promised

    for done, found in _crashes(tmp_path, become, become):
        promises = {0} if has_data else {OLD.promised}
        assert found == {(True, next(iter(promises)))}, (done, found)
