from __future__ import annotations

from pathlib import Path

import pytest

from aurora_operator.agent.store import Store, StoreError
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


def test_the_incarnation_stays_as_long_as_the_data_does(tmp_path: Path) -> None:
    first = Store(tmp_path).incarnation(has_data=False)
    assert Store(tmp_path).incarnation(has_data=False) == first
    assert Store(tmp_path).incarnation(has_data=True) == first
    assert Store(tmp_path).incarnation(has_data=True) == first
    again = Store(tmp_path).incarnation(has_data=False)
    assert again != first
    assert len(again) == 8
