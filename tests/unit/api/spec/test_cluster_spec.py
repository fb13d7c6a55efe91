from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aurora_operator.api.spec.classes import CLASSES
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.spec.instances import MAX_INSTANCES, MAX_ORDINAL, instance_ordinals
from aurora_operator.api.spec.resources import class_resources


def spec(**fields: Any) -> AuroraClusterSpec:
    return AuroraClusterSpec.model_validate(fields)


@given(
    count=st.integers(1, MAX_INSTANCES),
    named=st.sets(st.integers(1, MAX_ORDINAL), max_size=MAX_INSTANCES),
)
def test_ordinals(count: int, named: set[int]) -> None:
    if len(named) > count:
        return
    ordinals = instance_ordinals(count, named)
    assert len(ordinals) == count
    assert list(ordinals) == sorted(set(ordinals))
    assert named <= set(ordinals)
    filled = set(ordinals) - named
    free = set(range(1, MAX_ORDINAL + 1)) - named
    assert filled == set(sorted(free)[: len(filled)])


def test_ordinals_without_names() -> None:
    assert instance_ordinals(3) == (1, 2, 3)
    assert instance_ordinals(3, (2, 7)) == (1, 2, 7)


@given(
    instances=st.integers(1, 16),
    zones=st.integers(0, 6),
    copies=st.none() | st.integers(1, 6),
    write_quorum=st.none() | st.integers(1, 6),
)
def test_accepted_quorums_are_safe(instances: int, zones: int, copies: int | None, write_quorum: int | None) -> None:
    try:
        found = spec(instances=instances, durability={"copies": copies, "writeQuorum": write_quorum})
    except ValidationError:
        assert copies is not None and write_quorum is not None and not copies / 2 < write_quorum <= copies
        return
    v = found.voting_copies(zones)
    for voting in range(1, v + 1):
        assert 2 * found.write_quorum(voting) > voting, "two writers could both commit"
        assert found.write_quorum(voting) <= voting, "no commit could ever succeed"
    if copies is not None and write_quorum is not None:
        assert found.write_quorum(v) == write_quorum


@pytest.mark.parametrize(
    ("zones", "instances", "expected"),
    [(3, 1, (6, 4)), (5, 16, (6, 4)), (2, 1, (4, 3)), (2, 9, (4, 3)), (1, 1, (1, 1)), (1, 3, (3, 2)), (0, 9, (6, 4))],
)
def test_default_quorums(zones: int, instances: int, expected: tuple[int, int]) -> None:
    found = spec(instances=instances)
    assert (found.voting_copies(zones), found.write_quorum(found.voting_copies(zones))) == expected


def test_an_instance_has_its_own_settings_or_the_clusters() -> None:
    found = spec(
        instanceClass="db.r6g.large",
        promotionTier=3,
        instanceSettings=[
            {"instance": 2, "instanceClass": "db.r6g.xlarge", "promotionTier": 0, "availabilityZone": "zone-b"},
            {"instance": 3, "resources": {"limits": {"cpu": "1500m", "memory": "2Gi"}}},
        ],
    )
    assert found.resources_of(1) == class_resources("db.r6g.large")
    assert found.resources_of(2).memory_bytes == 32 * 2**30
    assert found.resources_of(3).to_kubernetes() == {
        "requests": {"cpu": "1500m", "memory": "2Gi"},
        "limits": {"cpu": "1500m", "memory": "2Gi"},
    }
    assert [found.promotion_tier_of(n) for n in (1, 2, 3)] == [3, 0, 3]
    assert [found.zone_of(n) for n in (1, 2, 3)] == [None, "zone-b", None]


def test_resources_are_complete() -> None:
    default = spec().resources_of(1)
    assert default.to_kubernetes() == {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert (default.cpu_request_millis, default.cpu_limit_millis, default.memory_bytes) == (250, None, 2**30)
    requested = spec(resources={"requests": {"cpu": 2, "memory": "3Gi"}}).resources_of(1)
    assert requested.to_kubernetes() == {"requests": {"cpu": "2", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}
    assert requested.memory_request_bytes == requested.memory_bytes == 3 * 2**30


def test_a_request_over_the_default_memory_needs_no_limit() -> None:
    assert spec(resources={"requests": {"memory": "64Gi"}}).resources_of(1).memory_bytes == 64 * 2**30


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str) -> None:
    found = class_resources(name)
    assert found.requests == found.limits
    assert found.cpu_limit_millis == CLASSES[name].cpu * 1000
    assert found.memory_bytes == CLASSES[name].memory_gib * 2**30


def test_known_sizes() -> None:
    sizes = {name: (c.cpu, c.memory_gib) for name, c in CLASSES.items()}
    assert sizes["db.t4g.medium"] == (2, 4)
    assert sizes["db.r6g.large"] == (2, 16)
    assert sizes["db.r8g.48xlarge"] == (192, 1536)
    assert sizes["db.x2g.16xlarge"] == (64, 1024)


def test_numbers_become_text() -> None:
    found = spec(parameters={"max_connections": 200, "work_mem": "4MB"})
    assert found.parameters == {"max_connections": "200", "work_mem": "4MB"}


@pytest.mark.parametrize("value", [True, 1.5, None, ["a"]])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="valid string"):
        spec(parameters={"jit": value})
