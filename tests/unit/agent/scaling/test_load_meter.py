from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.agent.scaling.cgroup import Reading, reader
from aurora_operator.agent.scaling.load_meter import Sample, advance, average
from aurora_operator.api.base.load import Load
from aurora_operator.postgres.sql.queries import Sessions

QUIET = Reading(
    cpu_ns=0,
    periods=0,
    throttled=0,
    cpu_limit_millis=2000,
    memory=300,
    memory_limit=1000,
    inactive_file=100,
    anonymous=50,
    shared=20,
    refaults=0,
)


def busy(seconds: float, cores: float) -> Reading:
    return replace(QUIET, cpu_ns=int(seconds * cores * 1e9), periods=int(seconds * 10), throttled=int(seconds * 5))


def run(cores: float, seconds: int, *, connections: int = 4) -> Load:
    load: Load | None = None
    sessions = Sessions(connections, 3, 2, 100)
    for second in range(seconds):
        before = Sample(second, busy(second, cores), sessions)
        now = Sample(second + 1, busy(second + 1, cores), sessions)
        load = advance(load, before, now, cpu_millis=500, memory_bytes=9)
    assert load is not None
    return load


def test_a_steady_load_is_what_all_averages_say() -> None:
    load = run(1.5, 5)
    assert load.seconds == 5
    for value in (load.cpu_millis, load.cpu_millis_10s, load.cpu_millis_60s):
        assert value == pytest.approx(1500)
    assert load.cpu_utilization_60s == pytest.approx(75)
    assert load.cpu_throttled == pytest.approx(0.5)
    assert (load.memory_working_set_bytes, load.memory_limit_bytes) == (200, 1000)
    assert (load.connections, load.active, load.running) == (4, 3, 2)
    assert load.connections_60s == pytest.approx(4)


def test_a_minute_of_a_new_load_is_most_of_its_average() -> None:
    load = run(0.0, 5)
    for second in range(60):
        before, now = (Sample(s, busy(s, 1.0), None) for s in (second, second + 1))
        load = advance(load, before, now, cpu_millis=500, memory_bytes=9)
    assert load.cpu_millis_10s == pytest.approx(1000, rel=0.01)
    assert 600 < load.cpu_millis_60s < 650  # 1 - 1/e


def test_without_limits_the_request_counts() -> None:
    before, now = Sample(0, QUIET, None), Sample(1, replace(QUIET, cpu_limit_millis=None, memory_limit=None), None)
    load = advance(None, before, now, cpu_millis=500, memory_bytes=9)
    assert (load.cpu_limit_millis, load.memory_limit_bytes) == (500, 9)


def test_a_database_that_is_down_has_no_count_of_connections() -> None:
    load = run(0.0, 100, connections=50)
    down = advance(load, Sample(0, QUIET, None), Sample(1, QUIET, None), cpu_millis=1, memory_bytes=1)
    assert down.connections is None
    assert (down.active, down.running) == (0, 0)
    assert down.max_connections == 100
    assert 48 < down.connections_60s < 50


def test_a_container_that_was_made_anew_never_shows_less_than_nothing() -> None:
    load = advance(None, Sample(0, busy(9, 1.0), None), Sample(1, QUIET, None), cpu_millis=1, memory_bytes=1)
    assert (load.cpu_millis, load.cpu_throttled, load.memory_refaults) == (0, 0, 0)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1e-3, 1e6), st.sampled_from([10.0, 60.0]))
def test_an_average_lies_between_old_and_new(old: float, new: float, elapsed: float, over: float) -> None:
    low, high = sorted((old, new))
    assert low - 1e-3 <= average(old, new, elapsed, over) <= high + 1e-3


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = {
    "cpuacct/cpuacct.usage": "7357217187\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpu/cpu.stat": "nr_periods 2831\nnr_throttled 7\nthrottled_time 0\n",
    "memory/memory.usage_in_bytes": "182321152\n",
    "memory/memory.limit_in_bytes": "536870912\n",
    "memory/memory.stat": "cache 1\ntotal_rss 61825024\ntotal_shmem 33935360\ntotal_inactive_file 49741824\n"
    "total_workingset_refault_anon 2\ntotal_workingset_refault_file 28\n",
}
V2 = {
    "cgroup.controllers": "cpu memory\n",
    "cpu.stat": "usage_usec 7357217\nuser_usec 1\nnr_periods 2831\nnr_throttled 7\n",
    "cpu.max": "150000 100000\n",
    "cpu.pressure": "some avg10=8.29 avg60=16.85 avg300=32.16 total=556351452\nfull avg10=0 avg60=0 avg300=0 total=0\n",
    "memory.current": "182321152\n",
    "memory.max": "536870912\n",
    "memory.pressure": "some avg10=0.50 avg60=0.00 avg300=0.00 total=1\n",
    "memory.stat": "anon 61825024\nfile 1\nshmem 33935360\ninactive_file 49741824\nworkingset_refault_anon 2\n"
    "workingset_refault_file 28\n",
}


def test_both_versions_say_the_same(tmp_path: Path) -> None:
    one, two = reader(write(tmp_path / "1", V1))(), reader(write(tmp_path / "2", V2))()
    assert one.cpu_limit_millis == 1500
    assert (one.memory, one.memory_limit, one.refaults) == (182321152, 536870912, 30)
    assert replace(two, cpu_ns=one.cpu_ns, cpu_pressure=None, memory_pressure=None) == one
    assert two.cpu_ns == 7357217000
    assert (two.cpu_pressure, two.memory_pressure) == (8.29, 0.5)


def test_no_limit_is_none_in_both_versions(tmp_path: Path) -> None:
    one = reader(write(tmp_path / "1", V1 | {"cpu/cpu.cfs_quota_us": "-1", "memory/memory.limit_in_bytes": str(2**63)}))
    two = reader(write(tmp_path / "2", V2 | {"cpu.max": "max 100000", "memory.max": "max"}))
    for read in (one, two):
        assert (read().cpu_limit_millis, read().memory_limit) == (None, None)


def test_a_kernel_without_pressure_figures_is_fine(tmp_path: Path) -> None:
    root = write(tmp_path, {name: text for name, text in V2.items() if "pressure" not in name})
    assert reader(root)().cpu_pressure is None
