"""Whose history a standby compares with its own before it streams."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.replication import follower as module
from aurora_operator.agent.replication.follower import Follower
from aurora_operator.postgres.config.conf import Source
from aurora_operator.postgres.wal.timeline import History, Switch

TOLD = History(35, (Switch(1, 1000, "told"),))
ASKED = History(35, (Switch(1, 1000, "asked"),))


@pytest.mark.parametrize(("told", "compared"), [(TOLD, TOLD), (None, ASKED)], ids=["told", "not told"])
async def test_the_leader_is_asked_only_for_what_it_has_not_told(
    monkeypatch: pytest.MonkeyPatch, told: History | None, compared: History
) -> None:
    fitted: list[History] = []
    repairs: list[str] = []

    async def ask(*_: object) -> History:
        return ASKED

    async def fits(history: History) -> None:
        fitted.append(history)

    monkeypatch.setattr(module, "leader_history", ask)
    copy: Any = SimpleNamespace(
        say=lambda *_: None,
        layout=None,
        position_lsn=0,
        source=lambda _: Source("demo-2", "10.0.0.2"),
        peers=SimpleNamespace(history_of=lambda *_: told, recent_of=lambda *_: None),
        standby=SimpleNamespace(fits=fits),
    )
    await Follower(cast(Instance, copy), repairs.append).follow("demo-2/00000001", 35)
    assert fitted == [compared] and repairs == ["rewind"], "what does not fit is never streamed"
