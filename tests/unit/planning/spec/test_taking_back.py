"""A spec that only takes parameters back is accepted, whatever has become of the cluster: it may be the way out."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planning.stories import ready
from tests.unit.planning.world import World

from aurora_operator.planning.model.plan_model import StorageClass
from aurora_operator.planning.spec.validation import judge
from aurora_operator.planning.view.facts import Facts

PARAMETERS: Final = {
    "default_transaction_isolation": "serializable",
    "transaction_timeout": "500ms",
    "statement_timeout": "1",
    "max_connections": "200",
    "superuser_reserved_connections": "60",
    "shared_preload_libraries": "pg_stat_statements, auto_explain",
    "auto_explain.log_min_duration": "3s",
    "wal_level": "logical",
    "search_path": "evil",
    "temp_file_limit": "1GB",
    "myapp.tenant": "anything",
}
SPECS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"durability": {"availabilityZones": ["zone-a", "zone-b", "zone-c"], "zones": 3}},
    {"instanceSettings": [{"instance": 2, "availabilityZone": "zone-c"}], "storage": {"storageClassName": "standard"}},
)


def no_zone(world: World) -> None:
    world.nodes = tuple(node for node in world.nodes if node.zone != "zone-c")


def no_class(world: World) -> None:
    world.classes = (StorageClass("other", default=False, expandable=False),)


def no_agents(world: World) -> None:
    world.unreachable |= set(world.agents)


def no_writer(world: World) -> None:
    world.leader = None
    for agent in world.agents.values():
        agent.phase = "Electing"


def refused(world: World) -> None:
    world.refused = dict.fromkeys(PARAMETERS, "invalid value.")


DAMAGES: Final = (no_zone, no_class, no_agents, no_writer, refused)


@settings(max_examples=50)
@given(
    spec=st.sampled_from(SPECS),
    before=st.sets(st.sampled_from(sorted(PARAMETERS))),
    kept=st.sets(st.sampled_from(sorted(PARAMETERS))),
    damages=st.sets(st.sampled_from(DAMAGES)),
)
def test_it_is_always_accepted(spec: dict[str, Any], before: set[str], kept: set[str], damages: set[Any]) -> None:
    world = ready(**spec, parameters={name: PARAMETERS[name] for name in sorted(before)})
    for damage in damages:
        damage(world)
    left = {name: PARAMETERS[name] for name in sorted(before & kept)}
    world.edit(parameters=left)
    verdict = judge(Facts(world.observe(), world.now))
    assert verdict.spec is not None and verdict.spec.parameters == left, verdict
    assert verdict.check is None and verdict.reason in ("Accepted", "ParametersRefused"), verdict


@pytest.mark.parametrize(
    ("damage", "edit", "said"),
    [
        (no_zone, {"durability": {"availabilityZones": ["zone-a", "zone-c"]}}, "Zone zone-c"),
        (no_agents, {"parameters": {"work_mem": "8MB"}}, "wait for an instance"),
        (no_agents, {"parameters": {"work_mem": "4MB", "jit": "on"}}, "wait for an instance"),
    ],
)
def test_nothing_else_slips_through_with_it(damage: Any, edit: dict[str, Any], said: str) -> None:
    world = ready(parameters={"work_mem": "4MB"})
    damage(world)
    world.edit(**edit)
    verdict = judge(Facts(world.observe(), world.now))
    assert verdict.status != "True" and said in verdict.message
    assert verdict.spec is not None and verdict.spec.parameters == {"work_mem": "4MB"}
