"""When an instance looks for history files that nobody needs, and what it goes by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.replication.tidying import Tidying
from aurora_operator.consensus.types import Position
from aurora_operator.postgres.wal.history_files import KEPT_ANCESTORS
from aurora_operator.postgres.wal.timeline import History, Switch, history_name, render_history

TIMELINES = [1, *range(34, 34 + 32 * 20, 32)]
HISTORY = History(TIMELINES[-1], tuple(Switch(n, at) for at, n in enumerate(TIMELINES[:-1])))


class Session:
    """Answers with pg_control's timeline."""

    def __init__(self, timeline: int) -> None:
        self.timeline = timeline

    async def row(self, _: object) -> tuple[int]:
        return (self.timeline,)


def copy_of(tmp_path: Path, *, state: str = "ready", position: Position | None, control: int) -> Instance:
    wal = tmp_path / "pg_wal"
    wal.mkdir()
    for number in range(2, HISTORY.timeline + 1):
        real = HISTORY.includes(number)
        (wal / history_name(number)).write_text(render_history(HISTORY.ancestor(number)) if real else "")
    copy: Any = SimpleNamespace(
        driver=SimpleNamespace(state=SimpleNamespace(position=position)),
        server=SimpleNamespace(state=lambda: state),
        watching=Session(control),
        layout=SimpleNamespace(pgdata=tmp_path),
    )
    return cast(Instance, copy)


async def test_it_goes_by_its_own_position_and_pg_control(tmp_path: Path) -> None:
    copy = copy_of(tmp_path, position=Position(HISTORY.timeline, 900), control=HISTORY.timeline)
    kept = HISTORY.switches[-KEPT_ANCESTORS].parent
    assert await Tidying(copy).tidy() == kept - 2
    assert min(int(p.name[:8], 16) for p in (tmp_path / "pg_wal").iterdir()) == kept
    assert await Tidying(copy).tidy() == 0


@pytest.mark.parametrize(
    ("state", "position", "control"),
    [
        ("starting", Position(HISTORY.timeline, 900), HISTORY.timeline),
        ("ready", None, HISTORY.timeline),
        ("ready", Position(HISTORY.timeline, 900), 1),
        ("ready", Position(HISTORY.timeline - 1, 900), HISTORY.timeline),
    ],
    ids=["not up", "no position", "no checkpoint yet", "no history of where it is"],
)
async def test_it_waits(tmp_path: Path, state: str, position: Position | None, control: int) -> None:
    copy = copy_of(tmp_path, state=state, position=position, control=control)
    assert await Tidying(copy).tidy() == 0
    assert len(list((tmp_path / "pg_wal").iterdir())) == HISTORY.timeline - 1
