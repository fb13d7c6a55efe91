"""A logical slot that is still where the writer was is told of, with all that helps."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.planning.world import World, cluster

from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base.volume import LeftSlot
from aurora_operator.planning.view.facts import Facts
from aurora_operator.planning.volumes.storage_status import storage_condition


def test_the_condition_names_slot_database_and_bytes() -> None:
    world = World(cluster(instances=3))
    world.settle()
    seen = world.observe()
    assert storage_condition((), Facts(seen, world.now)).status == "True"
    agent = seen.agents["demo-2"]
    assert isinstance(agent, AgentStatus)
    slot = LeftSlot(name="events", database="shop", retained_bytes=3 << 30)
    left = replace(seen, agents={**seen.agents, "demo-2": agent.model_copy(update={"left_slots": (slot,)})})
    condition = storage_condition((), Facts(left, world.now))
    assert (condition.status, condition.reason) == ("False", "SlotLeftBehind")
    assert "demo-2 has the logical replication slot events of database shop" in condition.message
    assert "3.0 GiB" in condition.message and "an hour" in condition.message
