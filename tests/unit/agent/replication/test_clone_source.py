from __future__ import annotations

from typing import Any

from aurora_operator.agent.replication.clone_source import holder, nearest
from aurora_operator.api.agent.messages import AgentStatus


def reader(name: str, **more: Any) -> AgentStatus:
    values: dict[str, Any] = {
        "name": name,
        "incarnation": "0a0b0c0d",
        "zone": "zone-b",
        "phase": "Following",
        "role": "reader",
        "leader": "demo-1",
        "lag_bytes": 0,
    }
    return AgentStatus.model_validate(values | more)


LEADER = "demo-1/11111111"


def test_a_healthy_reader_of_the_own_zone_spares_the_writer() -> None:
    assert nearest([reader("demo-2")], LEADER, "zone-b") == "demo-2/0a0b0c0d"


def test_else_the_writer() -> None:
    assert nearest([reader("demo-2")], LEADER, "zone-c") == LEADER
    assert nearest([reader("demo-2")], LEADER, None) == LEADER
    assert nearest([], LEADER, "zone-b") == LEADER


def test_nobody_clones_from_a_reader_that_is_behind_or_follows_somebody_else() -> None:
    unfit = [
        reader("demo-2", lag_bytes=1 << 30),
        reader("demo-3", phase="Cloning"),
        reader("demo-4", message="connecting"),
        reader("demo-5", leader="demo-9"),
    ]
    assert nearest(unfit, LEADER, "zone-b") == LEADER


def standby(name: str, epoch: int, lsn: int, phase: str = "Detached") -> AgentStatus:
    return reader(name, phase=phase, leader=None, position_epoch=epoch, position_lsn=lsn)


def test_a_broken_rewind_is_completed_from_the_furthest_that_has_passed_the_epochs_start() -> None:
    there = [standby("demo-2", 34, 100), standby("demo-3", 66, 90), standby("demo-4", 66, 95)]
    assert holder(there, 34) == holder(there, 66) == "demo-4/0a0b0c0d"
    assert holder(there[:1], 66) is None, "it need not have what was committed before epoch 66"
    assert holder([standby("demo-2", 66, 100, phase="Rewinding")], 66) is None, "it may be of two histories itself"
    assert holder([], 66) is None
