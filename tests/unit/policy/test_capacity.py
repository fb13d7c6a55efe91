"""The decision about capacity: bounds on too little and too much for each kind of load, and what holds for all."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from bench.capacity import TRACES, Asked, main, read, simulate, summary
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.base.load import Load
from aurora_operator.api.spec.capacity import ACU_BYTES, CapacityRange
from aurora_operator.policy.capacity import DOWN_SECONDS, State, decide, needs, start_capacity

WIDE = CapacityRange(least=0.5, most=64)
BOUNDS = {
    # trace: (ACU-seconds missing, ACU-seconds too many, as shares of what was right; longest time short; changes)
    "ramp": (0.01, 0.15, 3, 200),
    "spike": (0.08, 1.2, 6, 20),
    "sawtooth": (0.01, 1.0, 12, 40),
    "nightly": (0.01, 0.1, 25, 80),
    "idle": (0.02, 0.05, 1, 4),
    "held": (0.01, 0.15, 8, 15),
}


@pytest.mark.parametrize("trace", TRACES)
def test_bounds(trace: str) -> None:
    missing, too_much, longest, changes = BOUNDS[trace]
    found = summary(simulate(list(TRACES[trace]()), WIDE))
    assert found["under"] <= missing
    assert found["over"] <= too_much
    assert found["longest_short"] <= longest
    assert found["changes"] <= changes


def test_a_spike_is_met_in_growing_steps() -> None:
    run = [s.capacity for s in simulate(list(TRACES["spike"]()), WIDE)]
    ups = [b - a for a, b in pairwise(run) if b > a]
    assert ups[0] == 2.0
    assert ups[1] > ups[0]
    assert run[121] > run[120], "a second after the load, and a second for the resize"


def test_what_was_needed_within_a_minute_stays() -> None:
    run = [s.capacity for s in simulate(list(TRACES["spike"]()), WIDE)]
    assert min(run[180:235]) == max(run)
    assert run[-1] == WIDE.least


loads = st.builds(
    Load,
    cpu_millis=st.floats(0, 64_000),
    cpu_millis_10s=st.floats(0, 64_000),
    cpu_limit_millis=st.integers(1000, 128_000),
    cpu_throttled=st.floats(0, 1),
    running=st.integers(0, 500),
    connections=st.none() | st.integers(0, 5000),
    memory_bytes=st.integers(0, 512 << 30),
    memory_limit_bytes=st.integers(1 << 30, 512 << 30),
    memory_anonymous_bytes=st.integers(0, 256 << 30),
    memory_shared_bytes=st.integers(0, 64 << 30),
    memory_working_set_bytes=st.integers(0, 512 << 30),
    memory_refaults_10s=st.floats(0, 10_000),
    memory_pressure=st.none() | st.floats(0, 100),
    cache_reads_60s=st.floats(0, 1e6),
)
halves = st.integers(1, 512).map(lambda n: n / 2)


@st.composite
def ranges(draw: st.DrawFn) -> CapacityRange:
    ends = sorted((draw(halves), draw(halves)))
    return CapacityRange(least=ends[0], most=ends[1])


@given(limits=ranges(), series=st.lists(st.tuples(loads, st.floats(0, 64)), min_size=1, max_size=20), begin=halves)
def test_always_within_the_range_and_in_steps(
    limits: CapacityRange, series: list[tuple[Load, float]], begin: float
) -> None:
    state, capacity = State(), begin
    for second, (load, floor) in enumerate(series):
        decision = decide(state, load, limits, capacity, float(second), floor)
        assert limits.least <= decision.acu <= limits.most
        assert (decision.acu * 2).is_integer()
        assert decision.acu <= max(2 * capacity, capacity + 2, limits.least), "never more than as much again"
        if limits.least <= capacity <= limits.most:
            assert decision.acu >= capacity, "nothing goes down within the first minute"
        assert len(decision.state.wishes) <= DOWN_SECONDS
        state, capacity = decision.state, decision.acu


@given(load=loads, capacity=halves, more=st.floats(0, 64_000))
def test_more_use_never_needs_less(load: Load, capacity: float, more: float) -> None:
    higher = load.model_copy(
        update={"cpu_millis": load.cpu_millis + more, "cpu_millis_10s": load.cpu_millis_10s + more}
    )
    assert needs(higher, capacity).acu >= needs(load, capacity).acu - 1e-9


def test_a_cache_that_is_read_keeps_its_memory_and_one_that_is_not_goes() -> None:
    full = 14 << 30
    base = Load(
        cpu_limit_millis=4000,
        memory_bytes=full,
        memory_limit_bytes=16 << 30,
        memory_anonymous_bytes=200 << 20,
        memory_shared_bytes=256 << 20,
        memory_working_set_bytes=full,
        connections=2,
    )
    used = base.model_copy(update={"cache_reads_60s": 50_000.0})
    assert needs(used, 8).acu > 6
    assert needs(base, 8).acu < 0.5


def test_pressure_asks_for_half_as_much_again_only_when_memory_is_full() -> None:
    load = Load(memory_limit_bytes=4 * ACU_BYTES, memory_bytes=4 * ACU_BYTES, memory_pressure=30.0)
    assert (needs(load, 4).acu, needs(load, 4).reason) == (6, "memory pressure")
    assert needs(load.model_copy(update={"memory_bytes": ACU_BYTES}), 4).acu < 1
    refaulting = load.model_copy(update={"memory_pressure": None, "memory_refaults_10s": 2000.0})
    assert needs(refaulting, 4).acu == 6


def test_who_follows_the_writer_is_as_large() -> None:
    decision = decide(State(), Load(cpu_limit_millis=1000), WIDE, 4.0, 0.0, floor=6.0)
    assert (decision.acu, decision.reason) == (6.0, "the writer's capacity")


def test_a_single_busy_second_below_half_the_limit_decides_nothing() -> None:
    load = Load(cpu_millis=400, cpu_millis_10s=40, cpu_limit_millis=1000)
    assert needs(load, 0.5).acu < 0.5


@pytest.mark.parametrize(
    ("before", "seen", "expected"),
    [(None, None, 0.5), (2.0, None, 2.0), (2.0, 3.5, 2.0), (2.0, 4.5, 4.5), (8.0, 3.0, 3.0), (128.0, None, 64.0)],
)
def test_a_new_pod_starts_with_about_what_the_old_one_had(
    before: float | None, seen: float | None, expected: float
) -> None:
    assert start_capacity(before, seen, WIDE) == expected


def test_a_trace_from_a_file_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, picture = tmp_path / "trace.csv", tmp_path / "run.svg"
    file.write_text("seconds,cores,memory_gib,connections\n0,0.1,0.2,1\n5,3,0.2,8\n9,0.1,0.2,1\n")
    assert read(file) == [Asked(0.1, 0.2, 1)] * 5 + [Asked(3.0, 0.2, 8)] * 4 + [Asked(0.1, 0.2, 1)]
    main([str(file), "--max", "8", "--svg", str(picture)])
    assert '"trace"' in capsys.readouterr().out
    assert picture.read_text().startswith("<svg")
