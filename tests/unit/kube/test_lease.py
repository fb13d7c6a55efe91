from __future__ import annotations

import asyncio

import pytest
from tests.unit.kube.fake import FakeApi

from aurora_operator.kube.errors import NoAnswer
from aurora_operator.kube.lease import DEADLINE, DURATION, Election, LeaseLost

PATH = "/apis/coordination.k8s.io/v1/namespaces/sys/leases/op"


class World:
    """A clock that moves when somebody sleeps, and one Lease."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.now = 1000.0
        self.limit = 2000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > self.limit:
            raise TimeoutError("waited for ever")
        await asyncio.sleep(0)

    def election(self, identity: str) -> Election:
        return Election(self.api, "sys", "op", identity, clock=lambda: self.now, sleep=self.sleep)

    @property
    def holder(self) -> str:
        return str(self.api.objects[PATH]["spec"]["holderIdentity"])


async def test_the_first_one_makes_the_lease_and_holds_it() -> None:
    world = World()
    a = world.election("a")
    before = a.holding
    await a.acquire()
    assert (before, a.holding) == (False, True)
    assert world.holder == "a"


async def test_a_second_one_waits_while_it_is_renewed() -> None:
    world = World()
    a, b = world.election("a"), world.election("b")
    await a.acquire()
    for _ in range(20):
        assert await a._attempt()
        assert not await b._attempt()
        world.now += 2
    assert world.holder == "a"


async def test_a_second_one_takes_over_when_the_holder_is_silent() -> None:
    world = World()
    a, b = world.election("a"), world.election("b")
    await a.acquire()
    started = world.now
    await b.acquire()
    assert DURATION <= world.now - started <= DURATION + 4
    assert world.api.objects[PATH]["spec"]["leaseTransitions"] == 1
    assert not a.holding, "the old holder's time ends before the new one's begins"
    with pytest.raises(LeaseLost, match="held by another"):
        await a.keep()


async def test_the_holder_gives_up_before_others_may_take_over() -> None:
    world = World()
    a = world.election("a")
    await a.acquire()
    started = world.now
    world.api.fail["GET", "leases"] = NoAnswer("down")
    with pytest.raises(LeaseLost, match="could not be renewed"):
        await a.keep()
    assert DEADLINE <= world.now - started < DURATION
    assert not a.holding


async def test_a_short_outage_costs_nothing() -> None:
    world = World()
    a = world.election("a")
    await a.acquire()
    world.api.fail["GET", "leases"] = NoAnswer("down")
    for _ in range(4):
        world.now += 2
        assert not await a._attempt()
    assert a.holding
    world.api.fail.clear()
    assert await a._attempt()
    world.now += DEADLINE - 1
    assert a.holding


async def test_released_it_goes_to_the_next_at_once() -> None:
    world = World()
    a, b = world.election("a"), world.election("b")
    await a.acquire()
    assert not await b._attempt()
    await a.release()
    assert not a.holding
    assert await b._attempt()
    assert world.holder == "b"


async def test_a_restarted_container_takes_its_own_lease_back_at_once() -> None:
    world = World()
    await world.election("a").acquire()
    assert await world.election("a")._attempt()


async def test_two_at_once_only_one_wins() -> None:
    world = World()
    elections = [world.election(name) for name in "abcd"]
    won = await asyncio.gather(*(e._attempt() for e in elections))
    assert sum(won) == 1


POD = "/api/v1/namespaces/sys/pods/op-1"


async def test_a_lease_of_a_pod_that_is_gone_is_taken_at_once() -> None:
    world = World()
    a, b = world.election("op-1_first"), world.election("op-2_second")
    world.api.put(POD, metadata={"uid": "first"})
    await a.acquire()
    assert not await b._attempt(), "the holder's pod is there"
    del world.api.objects[POD]
    assert await b._attempt()
    assert world.holder == "op-2_second"


async def test_a_pod_of_the_same_name_is_not_the_holder() -> None:
    world = World()
    await world.election("op-1_first").acquire()
    world.api.put(POD, metadata={"uid": "another"})
    assert await world.election("op-2_second")._attempt()


async def test_where_pods_cannot_be_seen_the_holder_counts_as_there() -> None:
    world = World()
    await world.election("op-1_first").acquire()
    world.api.fail["GET", "/pods/"] = NoAnswer("down")
    assert not await world.election("op-2_second")._attempt()
