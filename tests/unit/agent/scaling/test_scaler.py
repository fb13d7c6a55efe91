"""The part that resizes: what it asks for, what it does when the node has no room, and going down."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aurora_operator.agent.member.instance import Instance, Size
from aurora_operator.agent.scaling import page_cache
from aurora_operator.agent.scaling import scaler as module
from aurora_operator.agent.scaling.scaler import Scaler
from aurora_operator.api.base.load import Load
from aurora_operator.api.spec.capacity import ACU_BYTES, CapacityRange, CapacityStatus, ScalingPoint

BUSY = {"cpu_millis": 1000.0, "cpu_millis_10s": 1000.0, "cpu_throttled": 1.0, "running": 4}


class Kube:
    def __init__(self) -> None:
        self.asked: list[float] = []
        self.obstacle: str | None = None

    async def resize(self, acu: float) -> None:
        self.asked.append(acu)

    async def resize_obstacle(self) -> str | None:
        return self.obstacle


class Configuration:
    def __init__(self) -> None:
        self.taken = 0

    async def take_parameters(self) -> None:
        self.taken += 1


class Pod:
    """A scaler with its surroundings, second by second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.acu, self.memory, self.dropped_to = 0.5, 300 << 20, 0
        self.clock = 0.0
        self.kube, self.configuration = Kube(), Configuration()
        self.in_the_way: str | None = None
        self.looks = 0
        self.member = member = SimpleNamespace(capacity=CapacityRange(least=0.5, most=8))
        self.copy: Any = SimpleNamespace(
            settings=SimpleNamespace(member=lambda _: member),
            environment=SimpleNamespace(instance="demo-1"),
            kube=self.kube,
            server=SimpleNamespace(alive=True),
            layout=SimpleNamespace(initialised=lambda: True, pgdata=Path("/nowhere")),
            watching=None,
            role="writer",
            capacity=None,
            size=None,
        )
        monkeypatch.setattr(module, "reader", lambda: lambda: SimpleNamespace(memory=self.memory))
        monkeypatch.setattr(page_cache, "drop", self._drop)
        monkeypatch.setattr(module, "obstacle", self._obstacle)
        self.scaler = Scaler(cast(Instance, self.copy), cast(Any, self.configuration), clock=lambda: self.clock)

    async def _obstacle(self, *_: object) -> str | None:
        self.looks += 1
        return self.in_the_way

    def _drop(self, _: Path, used: Any, until: int) -> int:
        self.memory = max(min(self.memory, until), self.dropped_to)
        return int(used())

    async def second(self, **load: Any) -> None:
        self.clock += 1
        seen = Load(
            seconds=60,
            cpu_limit_millis=max(1000, round(500 * self.acu)),
            memory_limit_bytes=round(self.acu * ACU_BYTES),
            memory_bytes=self.memory,
            **load,
        )
        await self.scaler._second(seen)


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Pod:
    return Pod(monkeypatch)


async def test_up_at_once_and_further_while_the_first_step_is_on_its_way(pod: Pod) -> None:
    await pod.second(**BUSY)
    assert pod.kube.asked == [2.5]
    assert (pod.copy.capacity.now, pod.copy.capacity.wanted) == (0.5, 2.5)
    await pod.second(**BUSY)
    assert pod.kube.asked == [2.5, 5.0]
    pod.acu = 5.0
    await pod.second(**BUSY)
    assert pod.kube.asked[2:] in ([], [8.0])
    assert pod.copy.size in (Size(2500, 5 * ACU_BYTES), Size(1000, ACU_BYTES // 2))


async def test_postgresql_reckons_with_more_only_when_it_is_there(pod: Pod) -> None:
    await pod.second(**BUSY)
    assert pod.copy.size == Size(1000, ACU_BYTES // 2)
    pod.acu = 2.5
    await pod.second()
    assert pod.copy.size == Size(1250, 5 * ACU_BYTES // 2)


async def test_a_node_without_room_gives_what_it_has(pod: Pod) -> None:
    pod.kube.obstacle = "Deferred: Node didn't have enough resource: memory"
    await pod.second(**BUSY)
    while pod.kube.asked[-1] >= max(pod.kube.asked) or len(pod.kube.asked) < 2:
        await pod.second(**BUSY)
        assert pod.clock < 20
    assert pod.copy.capacity.obstacle is not None
    assert "Deferred" in pod.copy.capacity.obstacle
    largest = max(pod.kube.asked)
    halved = pod.kube.asked[-1]
    assert 0.5 < halved < largest
    pod.acu, pod.kube.obstacle = halved, None
    before = len(pod.kube.asked)
    for _ in range(10):
        await pod.second(**BUSY)
    assert all(acu < largest for acu in pod.kube.asked[before:]), "what there was no room for is not asked for at once"
    assert pod.copy.capacity.obstacle is not None, "it is still said that more is wanted"


async def test_down_drops_cache_only_as_needed_and_first(pod: Pod) -> None:
    pod.acu, pod.memory = 4.0, 7 << 30
    for _ in range(62):
        await pod.second()
    assert pod.kube.asked == [3.0]
    assert pod.memory == int(0.9 * 3 * ACU_BYTES)
    assert pod.copy.size == Size(1500, 3 * ACU_BYTES)


async def test_memory_that_cannot_be_dropped_keeps_the_size(pod: Pod) -> None:
    pod.acu, pod.memory, pod.dropped_to = 4.0, 7 << 30, 7 << 30
    for _ in range(80):
        await pod.second()
    assert pod.kube.asked == []
    assert pod.copy.size == Size(2000, 4 * ACU_BYTES)


async def test_who_does_not_scale_is_left_alone(pod: Pod) -> None:
    pod.copy.settings = SimpleNamespace(member=lambda _: SimpleNamespace(capacity=None))
    await pod.second(**BUSY)
    assert pod.kube.asked == []
    assert pod.copy.capacity is None


async def test_starting_is_no_reason_to_grow(pod: Pod) -> None:
    pod.copy.role = "none"
    await pod.second(**BUSY)
    assert pod.kube.asked == []
    assert pod.copy.capacity.now == 0.5


V1 = CapacityRange(least=2, most=16, scaling_point=ScalingPoint(seconds_before_timeout=60))
BUSY_V1 = {**BUSY, "running_10s": 4.0}


@pytest.fixture
def pod_v1(pod: Pod) -> Pod:
    pod.member.capacity, pod.acu = V1, 2.0
    return pod


async def test_v1_looks_for_a_scaling_point_only_when_it_needs_one(pod_v1: Pod) -> None:
    for _ in range(5):
        await pod_v1.second()
    assert pod_v1.looks == 0
    pod_v1.in_the_way = "a transaction is open"
    for _ in range(5):
        await pod_v1.second(**BUSY_V1)
    assert (pod_v1.kube.asked, pod_v1.looks) == ([], 5)
    capacity = pod_v1.copy.capacity
    assert (capacity.now, capacity.wanted, capacity.change) == (2, 4, "Waiting")
    pod_v1.in_the_way = None
    await pod_v1.second(**BUSY_V1)
    assert pod_v1.kube.asked == [4]
    assert pod_v1.copy.capacity.change is None


async def test_v1_takes_its_own_sizes_when_the_node_has_no_room(pod_v1: Pod) -> None:
    pod_v1.acu, pod_v1.kube.obstacle = 4.0, "Infeasible: Node didn't have enough capacity"
    for _ in range(30):
        await pod_v1.second(**BUSY_V1)
    assert set(pod_v1.kube.asked) <= {4, 8, 16}
    assert pod_v1.copy.capacity.obstacle is not None


async def test_v1_others_have_what_the_writer_has(pod_v1: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod_v1.copy.role = "reader"
    writer = CapacityStatus(now=4, wanted=4)

    async def floor(*_: object) -> float:
        return writer.now

    monkeypatch.setattr(pod_v1.scaler, "_floor", floor)
    await pod_v1.second(**BUSY_V1)
    assert (pod_v1.kube.asked, pod_v1.looks) == ([4], 0)


@pytest.mark.parametrize("range_", [V1.model_copy(update={"least": 8}), CapacityRange(least=8, most=16)])
async def test_a_node_without_room_for_the_least_is_not_asked_all_the_time(pod: Pod, range_: CapacityRange) -> None:
    pod.member.capacity, pod.acu = range_, 4.0
    pod.kube.obstacle = "Deferred: Node didn't have enough resource: cpu"
    for _ in range(50):
        await pod.second()
        if pod.kube.asked and pod.kube.asked[-1] < 8 and pod.kube.asked[-1] > pod.acu:
            pod.kube.obstacle, pod.acu = "Deferred: likewise", pod.kube.asked[-1]
    assert pod.kube.asked.count(8) == 1
    assert pod.copy.capacity.obstacle is not None
