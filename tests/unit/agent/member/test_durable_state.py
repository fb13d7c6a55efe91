from __future__ import annotations

from pathlib import Path

import pytest

from aurora_operator.agent.member.durable_state import Store, StoreError, Taken
from aurora_operator.consensus.events import Durable
from aurora_operator.consensus.types import NO_CONFIG, Config, ConfigKey, Quorum


def test_a_promise_and_a_joint_membership_survive(tmp_path: Path) -> None:
    config = Config(ConfigKey(34, 5), Quorum(frozenset({"a/1", "b/2"}), 2), Quorum(frozenset({"a/1"}), 1))
    durable = Durable(promised=67, config=config)
    Store(tmp_path).save_durable(durable)
    assert Store(tmp_path).durable() == durable


def test_a_new_volume_has_promised_nothing(tmp_path: Path) -> None:
    assert Store(tmp_path).durable() == Durable(0, NO_CONFIG)


def test_a_damaged_promise_is_an_error_and_never_taken_for_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_durable(Durable(3, NO_CONFIG))
    (tmp_path / "consensus.json").write_text('{"promised": ')
    with pytest.raises(StoreError, match="damaged"):
        store.durable()


def _take(folder: Path, owner: str = "default/demo/demo-1", *, has_data: bool = True, origin: str = "") -> Taken:
    return Store(folder).take(owner, has_data=has_data, origin=origin)


def test_the_incarnation_stays_as_long_as_the_data_does(tmp_path: Path) -> None:
    first = _take(tmp_path, has_data=False)
    assert _take(tmp_path, has_data=False) == first
    assert _take(tmp_path) == first
    assert _take(tmp_path) == first
    again = _take(tmp_path, has_data=False)
    assert again.incarnation != first.incarnation and again.former is None
    assert len(again.incarnation) == 8


def test_data_that_come_and_go_within_one_life_make_another_copy(tmp_path: Path) -> None:
    first = _take(tmp_path, has_data=False)
    Store(tmp_path).note_data()
    assert _take(tmp_path, has_data=False).incarnation != first.incarnation


def test_noting_data_changes_nothing_else(tmp_path: Path) -> None:
    Store(tmp_path).note_data()
    first = _take(tmp_path, has_data=False, origin="uid-2")
    Store(tmp_path).note_data()
    Store(tmp_path).note_data()
    assert _take(tmp_path, origin="uid-2") == first


def _lived(folder: Path) -> Taken:
    taken = _take(folder)
    Store(folder).save_durable(Durable(35, Config(ConfigKey(34, 5), Quorum(frozenset({"demo-1/1"}), 1))))
    Store(folder).save_parameters({"work_mem": "8MB"})
    return taken


@pytest.mark.parametrize("owner", ["default/demo/demo-4", "default/copy/copy-1", "other/demo/demo-1"])
def test_a_copied_volume_keeps_nothing_of_the_copy_that_it_was(tmp_path: Path, owner: str) -> None:
    before = _lived(tmp_path)
    taken = _take(tmp_path, owner)
    assert taken.former == "default/demo/demo-1" and taken.incarnation != before.incarnation
    assert Store(tmp_path).durable() == Durable(0, NO_CONFIG)
    assert Store(tmp_path).parameters() == {} and Store(tmp_path).settings() is None
    assert _take(tmp_path, owner) == Taken(taken.incarnation)


def test_a_snapshot_of_the_same_copy_does_not_make_its_promises_again(tmp_path: Path) -> None:
    before = _lived(tmp_path)
    taken = _take(tmp_path, origin="uid-2")
    assert taken.former is not None and taken.incarnation != before.incarnation
    assert Store(tmp_path).durable() == Durable(0, NO_CONFIG)
    Store(tmp_path).save_durable(Durable(66, NO_CONFIG))
    assert _take(tmp_path, origin="uid-2") == _take(tmp_path) == Taken(taken.incarnation)
    assert Store(tmp_path).durable().promised == 66


def test_data_that_are_brought_to_an_empty_volume_are_its_own(tmp_path: Path) -> None:
    first = _take(tmp_path, has_data=False, origin="uid-2")
    Store(tmp_path).save_durable(Durable(2, NO_CONFIG))
    assert _take(tmp_path, origin="uid-2") == first
    assert Store(tmp_path).durable().promised == 2


def test_what_breaks_off_is_done_again(tmp_path: Path) -> None:
    _lived(tmp_path)
    purged: list[int] = []

    def purge() -> None:
        purged.append(1)
        if len(purged) == 1:
            raise OSError("the disk is away for a moment")

    with pytest.raises(OSError, match="away"):
        Store(tmp_path).take("default/demo/demo-2", has_data=True, purge=purge)
    assert Store(tmp_path).take("default/demo/demo-2", has_data=True, purge=purge).former == "default/demo/demo-1"
    assert len(purged) == 2
