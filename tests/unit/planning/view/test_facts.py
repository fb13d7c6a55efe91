"""What is believed, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.planning.recording import plan
from tests.unit.planning.world import World, cluster, some_supplies

from aurora_operator.api.agent.messages import AgentStatus, Task
from aurora_operator.planning.model.plan_model import ObjectRef, Observed, PushSettings, Unreachable
from aurora_operator.planning.view.facts import Facts


def ready(**spec: Any) -> World:
    world = World(cluster(**{"instances": 3, **spec}))
    world.settle()
    return world


def with_agent(seen: Observed, name: str, **changed: object) -> Observed:
    agent = seen.agents[name]
    assert isinstance(agent, AgentStatus)
    return replace(seen, agents={**seen.agents, name: agent.model_copy(update=changed)})


def test_a_leader_that_has_not_heard_of_its_successor_is_not_believed() -> None:
    world = ready()
    seen = world.observe()
    assert Facts(seen, world.now).leader is not None
    assert Facts(with_agent(seen, "demo-2", epoch=2), world.now).leader is None
    assert Facts(with_agent(seen, "demo-1", role="none"), world.now).leader is None
    both = with_agent(with_agent(seen, "demo-2", epoch=2, phase="Leading", role="writer"), "demo-1", epoch=1)
    leader = Facts(both, world.now).leader
    assert leader is not None and leader.name == "demo-2"


def test_two_who_claim_the_same_epoch_are_both_not_believed() -> None:
    world = ready()
    seen = with_agent(world.observe(), "demo-2", phase="Leading", role="writer")
    assert Facts(seen, world.now).leader is None


def test_silence_is_neither_health_nor_death() -> None:
    world = ready()
    seen = world.observe()
    facts = Facts(replace(seen, agents={**seen.agents, "demo-3": Unreachable("timeout")}), world.now)
    assert not facts.blind and not facts.healthy(facts.copies[3]) and facts.streaming("demo-3")
    made = plan(facts.observed, some_supplies(), world.now)
    assert not made.changes
    member = next(m for m in made.status["members"] if m["name"] == "demo-3")
    assert "cannot be reached: timeout" in member["message"] and member["ready"]


def test_a_lagging_copy_does_not_count() -> None:
    world = ready()
    seen = world.observe()
    leader = seen.agents["demo-1"]
    assert isinstance(leader, AgentStatus)
    slow = tuple(r.model_copy(update={"lag_bytes": 1 << 30}) for r in leader.replicas)
    assert Facts(with_agent(seen, "demo-1", replicas=slow), world.now).quorum_streams, "replay does not matter"
    facts = Facts(with_agent(seen, "demo-1", lsn=1 << 30, commits_wait_seconds=None), world.now)
    assert not facts.quorum_streams, "an agent of the last release does not tell what is acknowledged"
    made = plan(facts.observed, some_supplies(), world.now)
    assert made.status["phase"] == "Unavailable" and "a commit needs 4" in made.status["message"]


def test_under_load_it_counts_what_the_quorum_acknowledges_not_the_lag() -> None:
    """A load of gigabytes: the copies are far behind the writer, and its commits go through all the same."""
    world = ready()
    seen = world.observe()
    loaded = with_agent(seen, "demo-1", lsn=3 << 30)
    facts = Facts(loaded, world.now)
    assert not facts.streaming("demo-2") and not facts.quorum_streams, "nobody is taken down meanwhile"
    made = plan(loaded, some_supplies(), world.now)
    assert made.status["phase"] == "Ready" and made.status["durability"]["alive"] == "6/6"
    # One that has less than its quorum has committed is behind.
    leader = seen.agents["demo-1"]
    assert isinstance(leader, AgentStatus)
    replicas = tuple(r.model_copy(update={"flush_lsn": 1 << 30}) if r.name != "demo-2" else r for r in leader.replicas)
    behind = plan(with_agent(seen, "demo-1", lsn=3 << 30, replicas=replicas), some_supplies(), world.now)
    assert behind.status["phase"] == "Degraded" and behind.status["durability"]["alive"] == "5/6"


def test_writes_wait_when_their_quorum_stands_still_or_is_not_there() -> None:
    world = ready()
    seen = world.observe()
    stuck = plan(with_agent(seen, "demo-1", commits_wait_seconds=12.0), some_supplies(), world.now)
    assert stuck.status["phase"] == "Unavailable" and "but for 12 s too few" in stuck.status["message"]
    assert not stuck.status["durability"]["writeAvailable"]
    leader = seen.agents["demo-1"]
    assert isinstance(leader, AgentStatus)
    few = plan(with_agent(seen, "demo-1", replicas=leader.replicas[:2]), some_supplies(), world.now)
    message = "Writes wait: 3 copies stream, the writer included, and a commit needs 4."
    assert few.status["phase"] == "Unavailable" and few.status["message"].startswith(message)


@pytest.mark.parametrize("phase", ["Failed", "Starting"])
def test_only_an_agent_that_has_given_up_is_replaced_without_a_leader(phase: str) -> None:
    """A single instance that cannot start with its new size: the corrected spec must be able to help it."""
    world = ready(instances=1)
    world.edit(resources={"limits": {"memory": "2Gi"}})
    made = plan(world.observe(), some_supplies(), world.now)
    world.carry_out(replace(made, delete=()))
    world.objects["StatefulSet"]["demo-1"]["status"] = {
        "observedGeneration": world.objects["StatefulSet"]["demo-1"]["metadata"]["generation"]
    }
    seen = with_agent(world.observe(), "demo-1", phase=phase, role="none")
    made = plan(seen, some_supplies(), world.now)
    uid = world.objects["Pod"]["demo-1-0"]["metadata"]["uid"]
    assert made.delete == ((ObjectRef("Pod", "demo-1-0", uid),) if phase == "Failed" else ())


def test_a_fault_of_the_parameters_at_creation_is_told() -> None:
    world = World(cluster(instances=1, parameters={"work_mem": "x"}))
    world.until(lambda: bool(world.agents))
    seen = with_agent(
        world.observe(),
        "demo-1",
        phase="Failed",
        role="none",
        parameters_error="work_mem: invalid",
        settings_revision=1,
    )
    made = plan(seen, some_supplies(), world.now)
    accepted = next(c for c in made.status["conditions"] if c["type"] == "SpecAccepted")
    assert accepted["status"] == "False" and "work_mem: invalid" in accepted["message"]


def test_settings_never_fall_behind_what_an_agent_has() -> None:
    world = ready()
    made = plan(with_agent(world.observe(), "demo-2", settings_revision=40), some_supplies(), world.now)
    pushed = [call for call in made.calls if isinstance(call, PushSettings)]
    assert {call.settings.revision for call in pushed} == {41} and len(pushed) == len(world.agents)


def test_a_parameter_that_cannot_be_lowered_is_told() -> None:
    world = ready(instances=1, parameters={"max_connections": "50"})
    seen = with_agent(world.observe(), "demo-1", raised_parameters={"max_connections": "100"})
    made = plan(seen, some_supplies(), world.now)
    accepted = next(c for c in made.status["conditions"] if c["type"] == "SpecAccepted")
    assert accepted["status"] == "True" and "max_connections stays 100" in accepted["message"]


def test_a_cluster_whose_restore_fails_is_not_well() -> None:
    world = World(cluster(instances=1))
    world.until(lambda: bool(world.agents))
    task = Task(kind="restore", source="backups of shop", done_bytes=5 << 20, total_bytes=10 << 20, seconds=3)
    sentence = "cannot restore backups of shop: WAL is missing"
    seen = with_agent(world.observe(), "demo-1", phase="Failed", role="none", message=sentence, task=task)
    made = plan(seen, some_supplies(), world.now)
    degraded = next(c for c in made.status["conditions"] if c["type"] == "Degraded")
    assert degraded["status"] == "True" and sentence in degraded["message"]
    assert made.status["phase"] == "Creating" and sentence in made.status["message"]
    assert "50%" in made.status["members"][0]["message"], "the next attempt shows how far it is"
