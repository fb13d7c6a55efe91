"""When a leader begins another segment of WAL."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.replication.crowding import LASTS_SECONDS, MANY, SOME, Crowding
from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name

HERE = 5 * SEGMENT_BYTES + 100


class Session:
    def __init__(self) -> None:
        self.said: list[str] = []

    async def rows(self, statement: str) -> list[Any]:
        self.said.append(statement)
        return []


def leader(tmp_path: Path, others: int, brake: str = "off") -> tuple[Crowding, list[str]]:
    wal = tmp_path / "pg_wal"
    wal.mkdir()
    for number in range(others + 1):
        ending = ".partial" if number % 2 and number < others else ""
        (wal / (segment_name(number + 1, HERE) + ending)).touch()
        (wal / segment_name(number + 1, HERE - SEGMENT_BYTES)).touch()
    session = Session()
    copy: Any = SimpleNamespace(
        layout=SimpleNamespace(pgdata=tmp_path), position_lsn=HERE, session=session, brake=brake
    )
    return Crowding(cast(Instance, copy)), session.said


@pytest.mark.parametrize(
    ("others", "age", "leaves"),
    [
        (0, 0, False),
        (SOME - 1, LASTS_SECONDS, False),
        (SOME, 0, False),
        (SOME, LASTS_SECONDS, True),
        (MANY - 1, 0, False),
        (MANY, 0, True),
    ],
)
async def test_leaves_a_crowded_segment(tmp_path: Path, others: int, age: float, leaves: bool) -> None:
    crowding, said = leader(tmp_path, others)
    await crowding.look(age)
    assert said == (["SELECT pg_switch_wal()"] if leaves else [])
    for later in (age, LASTS_SECONDS, 100):
        await crowding.look(later)
    assert said == (["SELECT pg_switch_wal()"] if others >= SOME else []), "once in a leadership"


async def test_a_full_volume_is_left_alone(tmp_path: Path) -> None:
    crowding, said = leader(tmp_path, MANY, brake="hard")
    await crowding.look(LASTS_SECONDS)
    assert not said
