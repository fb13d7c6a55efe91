from __future__ import annotations

import asyncio

import pytest

from aurora_operator.controller import fleet as fleet_module
from aurora_operator.controller import loop as loop_module
from aurora_operator.controller.fleet import Fleet, Key
from aurora_operator.controller.loop import Outcome

DEMO = ("ns", "demo")
OTHER = ("ns", "other")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "DEBOUNCE", 0.005)
    monkeypatch.setattr(loop_module, "LEAST_GAP", 0.01)
    monkeypatch.setattr(fleet_module, "RESYNC_SECONDS", 0.02)


class World:
    """Clusters that exist, and the passes that were run for them."""

    def __init__(self, *keys: Key) -> None:
        self.exists = set(keys)
        self.passes: list[Key] = []

    async def reconcile(self, key: Key) -> Outcome:
        self.passes.append(key)
        return Outcome(again_in=60) if key in self.exists else Outcome(gone=True)


async def settle() -> None:
    await asyncio.sleep(0.05)


async def test_nothing_is_done_until_we_are_elected() -> None:
    world = World(DEMO, OTHER)
    fleet = Fleet(world.reconcile)
    fleet.seen(DEMO, 1)
    fleet.seen(OTHER, 1)
    fleet.wake(DEMO)
    await settle()
    assert world.passes == []
    fleet.activate()
    await settle()
    assert sorted(world.passes) == [DEMO, OTHER]
    await fleet.stop()


async def test_woken_by_children_and_by_what_the_user_changes_only() -> None:
    world = World(DEMO)
    fleet = Fleet(world.reconcile)
    fleet.activate()
    fleet.seen(DEMO, "generation 1")
    await settle()
    assert len(world.passes) == 1
    fleet.seen(DEMO, "generation 1")  # only the status is new
    await settle()
    assert len(world.passes) == 1
    fleet.seen(DEMO, "generation 2")
    await settle()
    assert len(world.passes) == 2
    fleet.wake(DEMO)
    await settle()
    assert len(world.passes) == 3
    fleet.wake(("ns", "unknown"))
    await settle()
    assert len(world.passes) == 3
    await fleet.stop()


async def test_a_deleted_cluster_ends_its_loop_and_a_new_one_of_that_name_gets_its_own() -> None:
    world = World(DEMO)
    fleet = Fleet(world.reconcile)
    fleet.activate()
    fleet.seen(DEMO, "uid 1")
    await settle()
    world.exists.clear()
    fleet.gone(DEMO)
    await settle()
    assert fleet._loops == {}
    world.exists.add(DEMO)
    fleet.seen(DEMO, "uid 2")
    await settle()
    assert world.passes == [DEMO] * 3
    assert list(fleet._loops) == [DEMO]
    await fleet.stop()


async def test_created_again_while_the_old_loop_is_ending() -> None:
    world = World()
    fleet = Fleet(world.reconcile)
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(key: Key) -> Outcome:
        started.set()
        await go_on.wait()
        return await world.reconcile(key)

    fleet._reconcile = slow
    fleet.activate()
    fleet.seen(DEMO, "uid 1")
    await started.wait()
    fleet.seen(DEMO, "uid 2")  # the pass that runs will still find the first one gone
    go_on.set()
    await asyncio.sleep(0)
    world.exists.add(DEMO)
    await settle()
    assert list(fleet._loops) == [DEMO]
    await fleet.stop()


async def test_resync_finds_what_no_event_told_of() -> None:
    world = World(DEMO)
    fleet = Fleet(world.reconcile)
    fleet.activate()
    answers: list[list[Key] | Exception] = [RuntimeError("no answer"), [DEMO], [DEMO]]

    async def find() -> list[Key]:
        answer = answers.pop(0) if answers else [DEMO]
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = asyncio.create_task(fleet.resync(find))
    await asyncio.sleep(0.15)
    task.cancel()
    assert world.passes == [DEMO]
    await fleet.stop()


async def test_stop_ends_everything() -> None:
    world = World(DEMO)
    fleet = Fleet(world.reconcile)
    fleet.activate()
    fleet.seen(DEMO, 1)
    await settle()
    await fleet.stop()
    assert not fleet.active
    assert fleet._tasks == {}
    assert fleet.complaints() == []
    fleet.seen(DEMO, 2)
    await settle()
    assert world.passes == [DEMO]
