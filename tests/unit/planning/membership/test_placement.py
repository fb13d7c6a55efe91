from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planning.world import World, cluster

from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.membership.placement import place, zones_in_turn

UNRECORDED = True
ZONES = ("zone-a", "zone-b", "zone-c")


def spec(**fields: Any) -> AuroraClusterSpec:
    return AuroraClusterSpec.model_validate(fields)


GOLDEN_RATIO = 0x9E3779B97F4A7C15F39CC0605CEDC835


def single(number: int) -> World:
    resource = cluster(instances=1, durability={"copies": 1})
    resource["metadata"]["uid"] = str(UUID(int=number * GOLDEN_RATIO % (1 << 128)))
    return World(resource)


def test_many_small_clusters_spread_over_the_zones() -> None:
    uids = (single(number).resource["metadata"]["uid"] for number in range(300))
    found = Counter(place(spec(instances=1), (1,), {}, ZONES, uid=uid)[1] for uid in uids)
    assert set(found) == set(ZONES)
    assert min(found.values()) > 60


def test_the_zone_of_a_single_instance_follows_from_the_uid_of_its_cluster() -> None:
    found = set()
    for number in range(1, 12):
        world = single(number)
        world.settle()
        (zone,) = world.zones().values()
        assert zone == zones_in_turn(world.resource["metadata"]["uid"], ZONES)[0]
        found.add(zone)
    assert found == set(ZONES)


def test_a_zone_that_takes_no_pods_is_left_out() -> None:
    for number in range(1, 8):
        world = single(number)
        world.lose_zone("zone-b")
        world.settle()
        assert set(world.zones().values()) <= {"zone-a", "zone-c"}


@given(
    uid=st.uuids().map(str),
    zones=st.sets(st.sampled_from("abcdef"), min_size=1),
    before=st.dictionaries(st.integers(1, 5), st.sampled_from("abcdef")),
)
def test_what_is_placed_stays_and_clusters_of_any_uid_are_as_even(
    uid: str, zones: set[str], before: dict[int, str]
) -> None:
    made = place(spec(instances=8), range(1, 9), before, zones, uid=uid)
    assert {ordinal: made[ordinal] for ordinal in before} == before
    assert {made[ordinal] for ordinal in range(1, 9) if ordinal not in before} <= zones
    fresh = Counter(place(spec(instances=8), range(1, 9), {}, zones, uid=uid).values())
    assert max(fresh.values()) - min(fresh.values()) <= 1


@given(uid=st.uuids().map(str), zones=st.sets(st.sampled_from("abcdef")))
def test_each_zone_has_its_turn(uid: str, zones: set[str]) -> None:
    turn = zones_in_turn(uid, zones)
    assert sorted(turn) == sorted(zones)
    assert turn == zones_in_turn(uid, sorted(zones, reverse=True))
