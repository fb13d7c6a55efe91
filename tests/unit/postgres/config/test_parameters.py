from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.spec.parameters import ALLOWED_VALUES, MINIMUMS, owner_reason
from aurora_operator.postgres.config.parameters import (
    GIB,
    MIB,
    Choice,
    Sizes,
    compute,
    max_connections,
    merge,
    preload,
    raised,
)
from aurora_operator.postgres.server.control import STANDBY_MINIMUMS

SIZES = st.builds(
    Sizes,
    cpu_millis=st.integers(50, 128_000),
    memory=st.integers(256 * MIB, 1024 * GIB),
    volume=st.integers(GIB, 64 * 1024 * GIB),
    smallest_memory=st.integers(128 * MIB, 1024 * GIB),
)


def values(choices: tuple[Choice, ...]) -> dict[str, str]:
    assert len({c.name for c in choices}) == len(choices)
    return {c.name: c.value for c in choices}


def megabytes(value: str) -> int:
    assert value.endswith("MB")
    return int(value[:-2])


@given(SIZES)
def test_everything_fits_the_pod_and_its_volume(sizes: Sizes) -> None:
    found = values(compute(sizes))
    memory = sizes.memory // MIB
    assert 32 <= megabytes(found["shared_buffers"]) <= max(memory // 4, 32)
    assert megabytes(found["shared_buffers"]) < megabytes(found["effective_cache_size"]) <= memory
    assert 4 <= megabytes(found["work_mem"]) <= 64
    wal = megabytes(found["max_wal_size"]) + megabytes(found["max_slot_wal_keep_size"])
    assert wal + megabytes(found["wal_keep_size"]) < sizes.volume // MIB * 6 // 10
    assert 32 <= megabytes(found["min_wal_size"]) <= megabytes(found["max_wal_size"])
    for name, (least, _) in MINIMUMS.items():
        assert int(found[name]) >= least
    for name, (allowed, _) in ALLOWED_VALUES.items():
        assert found[name] in allowed


@given(SIZES, SIZES)
def test_what_a_standby_needs_does_not_depend_on_which_copy_it_is(one: Sizes, other: Sizes) -> None:
    same = Sizes(other.cpu_millis, other.memory, other.volume, one.smallest_memory)
    a, b = values(compute(one)), values(compute(same))
    assert {n: a[n] for n in STANDBY_MINIMUMS} == {n: b[n] for n in STANDBY_MINIMUMS}


def test_each_choice_has_a_reason() -> None:
    for choice in compute(Sizes(1000, GIB, 10 * GIB, GIB)):
        assert len(choice.reason) > 5 and choice.reason == choice.reason.strip()


def test_max_connections_is_auroras() -> None:
    assert max_connections(GIB) == 112
    assert max_connections(256 * MIB) == 50
    assert max_connections(1024 * GIB) == 5000


def test_newer_parameters_only_where_they_exist() -> None:
    assert "allow_alter_system" in values(compute(Sizes(1000, GIB, GIB, GIB, major=17)))
    assert "allow_alter_system" not in values(compute(Sizes(1000, GIB, GIB, GIB, major=15)))


def test_the_users_win_except_over_ours() -> None:
    choices = compute(Sizes(1000, GIB, 10 * GIB, GIB))
    found = values(merge(choices, {"Work_Mem": "9MB", "fsync": "off", "zz.custom": "1", "primary_conninfo": "x"}))
    assert found["work_mem"] == "9MB" and found["fsync"] == "on" and found["zz.custom"] == "1"
    assert "primary_conninfo" not in found
    assert owner_reason("fsync") is not None
    assert found.keys() == {c.name for c in choices} | {"zz.custom"}


@pytest.mark.parametrize(("wanted", "primary", "gets"), [("50", 100, "100"), ("200", 100, "200"), ("100", 100, "100")])
def test_a_standby_never_has_less_than_its_primary_had(wanted: str, primary: int, gets: str) -> None:
    choices = compute(Sizes(1000, GIB, 10 * GIB, GIB))
    found = values(merge(choices, {"max_connections": wanted}, {"max_connections": primary, "work_mem": 10**9}))
    assert found["max_connections"] == gets
    assert found["work_mem"] == values(choices)["work_mem"]
    told = raised({"max_connections": wanted, "work_mem": "1MB"}, {"max_connections": primary})
    assert told == ({"max_connections": gets} if gets != wanted else {})


def test_a_library_of_ours_stands_beside_the_users() -> None:
    library = "/lib/aurora_door"
    ours = compute(Sizes(1000, GIB, GIB, GIB))
    assert preload(ours, None) == ours
    assert values(preload(ours, library))["shared_preload_libraries"] == f"pg_stat_statements, {library}"
    for value, loaded in (("auto_explain", f"auto_explain, {library}"), ("", library)):
        merged = merge(ours, {"Shared_Preload_Libraries": value})
        assert values(preload(merged, library))["shared_preload_libraries"] == loaded
    assert values(preload((), library)) == {"shared_preload_libraries": library}
