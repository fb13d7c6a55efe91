"""Whose history a standby compares with its own before it streams."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.replication import follower as module
from aurora_operator.agent.replication.follower import Follower
from aurora_operator.postgres.config.conf import Source
from aurora_operator.postgres.replication.standby import LocalPosition
from aurora_operator.postgres.sql import queries
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


FAR = History(67, (Switch(1, 1000), Switch(35, 2000)))
END = History(67, (Switch(35, 2000),))


@pytest.mark.parametrize(("fitting", "compared"), [(END, [END]), (None, [END, FAR])], ids=["near", "far behind"])
async def test_the_end_of_a_long_history_does_for_who_was_with_the_last_leader(
    monkeypatch: pytest.MonkeyPatch, fitting: History | None, compared: list[History]
) -> None:
    """Whoever it does not fit compares all of it: nobody is rewound for what was not told."""
    seen: list[History] = []

    async def ask(*_: object) -> History:
        return FAR

    async def fits(history: History) -> LocalPosition | None:
        seen.append(history)
        return LocalPosition(35, 1500) if history == fitting else None

    monkeypatch.setattr(module, "leader_history", ask)
    copy: Any = SimpleNamespace(
        layout=None,
        peers=SimpleNamespace(history_of=lambda *_: None, recent_of=lambda *_: END),
        standby=SimpleNamespace(fits=fits),
    )
    follower = Follower(cast(Instance, copy), lambda _: None)
    history, here = await follower._compare("demo-2/00000001", Source("demo-2", "10.0.0.2"), 67)
    assert seen == compared and history == compared[-1] and (here is None) == (fitting is None)


async def test_a_copy_that_lacks_what_its_leader_has_more_of_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replay would wait for ever."""
    repairs: list[str] = []
    said: list[tuple[str, ...]] = []
    status = queries.Status(
        in_recovery=True,
        receive_lsn=2000,
        replay_lsn=1000,
        receiver=queries.Receiver(7, "streaming", 35, 2000, "10.0.0.2"),
        waiting_for_wal=False,
        replay_delay=None,
        paused=True,
    )

    async def look(*_: object) -> queries.Status:
        return status

    async def lacking(now: queries.Status, _: object) -> dict[str, int]:
        return {"max_connections": 150} if now.paused else {}

    copy: Any = SimpleNamespace(
        say=lambda *words: said.append(words),
        tools=None,
        position_lsn=0,
        source=lambda _: None,
        standby=SimpleNamespace(lacking=lacking),
    )
    follower = Follower(cast(Instance, copy), repairs.append)
    monkeypatch.setattr(follower, "_look", look)
    await follower.follow("demo-2/00000001", 35)
    assert repairs == ["restart"]
    assert said[-1] == ("Following", "starting again with as much as demo-2 has: max_connections = 150")
