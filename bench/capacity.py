"""Simulate how a serverless instance scales under a load: `python -m bench.capacity TRACE [--v1] [--svg FILE]`.

TRACE is the name of a load below, or a CSV file with the columns `seconds,cores,memory_gib,connections` (what the
load asks for from that second on; with a column `transaction`, 1 while one is open). Prints JSON: capacity each second,
and how much was missing or too much.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from aurora_operator.api.base.load import Load
from aurora_operator.api.spec.capacity import (
    ACU_BYTES,
    ACU_CPU_MILLIS,
    V1_SIZES,
    CapacityRange,
    ScalingPoint,
    TimeoutAction,
    cpu_limit_millis,
)
from aurora_operator.policy import capacity_v1
from aurora_operator.policy.capacity import CPU_TARGET, MEMORY_TARGET, State, decide
from bench.plot import Series, svg

RESIZE_SECONDS = 1
"""From a wish to the new limit in force, on our kind cluster."""
AGENT_MILLIS = 50


@dataclass(frozen=True)
class Asked:
    """What clients would use if nothing held them back."""

    cores: float
    memory_gib: float = 0.2
    connections: int = 4
    transaction: bool = False
    """Whether one is open that lasts: no scaling point for Serverless v1."""

    @property
    def acu(self) -> float:
        """The capacity that is just right for it."""
        cpu = self.cores * 1000 / (CPU_TARGET * ACU_CPU_MILLIS)
        return max(cpu, self.memory_gib * (1 << 30) / MEMORY_TARGET / ACU_BYTES)


def ramp() -> Iterator[Asked]:
    """From nothing to 8 cores in ten minutes, and back."""
    for second in range(1200):
        yield Asked(8 * (1 - abs(second - 600) / 600))


def spike() -> Iterator[Asked]:
    """Six cores for a minute, out of nothing."""
    for second in range(600):
        yield Asked(6.0 if 120 <= second < 180 else 0.02)


def sawtooth() -> Iterator[Asked]:
    """A minute's climb to three cores, again and again."""
    for second in range(900):
        yield Asked(3 * (second % 60) / 60)


def nightly() -> Iterator[Asked]:
    """A day, ten times as fast: office hours, and a batch at night that wants memory too."""
    for second in range(8640):
        hour = second / 360
        if 2 <= hour < 3:
            yield Asked(7.0, 20.0, 8)
        else:
            yield Asked(0.05 + 2 * max(0.0, math.sin((hour - 8) / 10 * math.pi)) if 8 <= hour < 18 else 0.05)


def idle() -> Iterator[Asked]:
    """Nobody, but an autovacuum worker now and then."""
    for second in range(1800):
        yield Asked(0.15 if second % 60 == 0 else 0.01, connections=0)


def held() -> Iterator[Asked]:
    """Two cores for ten minutes, and a transaction that is open for the first three of them."""
    for second in range(3600):
        yield Asked(2.0 if 60 <= second < 660 else 0.02, transaction=60 <= second < 240)


TRACES = {"ramp": ramp, "spike": spike, "sawtooth": sawtooth, "nightly": nightly, "idle": idle, "held": held}


@dataclass(frozen=True)
class Second:
    """One second of a run: what was there, and what would have been right."""

    capacity: float
    right: float


def simulate(trace: Sequence[Asked], limits: CapacityRange) -> list[Second]:
    """Run the decision, v1's or v2's, against an instance whose limits follow after a moment."""
    state, state_v1 = State(), capacity_v1.State()
    on_their_way = [limits.least] * RESIZE_SECONDS
    seconds, recent, running = [], 0.0, 0.0
    for time, asked in enumerate(trace):
        capacity = on_their_way.pop(0)
        load = _observed(asked, capacity)
        old = math.exp(-1 / 10) if time else 0.0
        recent = load.cpu_millis + (recent - load.cpu_millis) * old
        running = load.running + (running - load.running) * old
        load = load.model_copy(update={"cpu_millis_10s": recent, "running_10s": running})
        if limits.scaling_point is None:
            decision = decide(state, load, limits, capacity, float(time))
            state, acu = decision.state, decision.acu
        else:
            point = capacity_v1.Point("a transaction is open" if asked.transaction else None)
            made = capacity_v1.decide(state_v1, load, limits, capacity, float(time), point)
            state_v1, acu = made.state, made.acu
        on_their_way.append(acu)
        seconds.append(Second(capacity, limits.at_least(asked.acu)))
    return seconds


def _observed(asked: Asked, capacity: float) -> Load:
    limit = cpu_limit_millis(capacity)
    wanted = asked.cores * 1000 + AGENT_MILLIS
    fixed = min(asked.memory_gib * (1 << 30), capacity * ACU_BYTES)
    return Load(
        seconds=60,
        cpu_millis=min(wanted, limit),
        cpu_limit_millis=limit,
        cpu_throttled=1.0 if wanted > limit else 0.0,
        running=math.ceil(asked.cores),
        connections=asked.connections,
        memory_bytes=round(fixed),
        memory_limit_bytes=round(capacity * ACU_BYTES),
        memory_anonymous_bytes=round(fixed),
        memory_working_set_bytes=round(fixed),
        memory_pressure=50.0 if asked.memory_gib * (1 << 30) > capacity * ACU_BYTES * 0.95 else 0.0,
    )


def summary(run: Sequence[Second]) -> dict[str, float]:
    """How well it fits: ACU-seconds too few and too many, as shares of what was right; and the slowest response."""
    right = sum(s.right for s in run)
    late = longest = 0
    for second in run:
        late = late + 1 if second.capacity < second.right else 0
        longest = max(longest, late)
    return {
        "under": round(sum(max(s.right - s.capacity, 0) for s in run) / right, 4),
        "over": round(sum(max(s.capacity - s.right, 0) for s in run) / right, 4),
        "seconds_short": sum(s.capacity < s.right for s in run),
        "longest_short": longest,
        "changes": sum(a.capacity != b.capacity for a, b in pairwise(run)),
        "most": max(s.capacity for s in run),
    }


def read(path: Path) -> list[Asked]:
    """A trace from a CSV file. Raises ValueError or KeyError for what is none."""
    rows = [(int(row["seconds"]), _asked(row)) for row in csv.DictReader(path.read_text().splitlines())]
    trace: list[Asked] = []
    for (start, asked), (end, _) in zip(rows, [*rows[1:], (rows[-1][0] + 1, rows[-1][1])], strict=True):
        trace += [asked] * (end - start)
    return trace


def _asked(row: Mapping[str, str]) -> Asked:
    open_ = row.get("transaction", "0") == "1"
    return Asked(float(row["cores"]), float(row["memory_gib"]), int(row["connections"]), open_)


def main(arguments: list[str] | None = None) -> None:
    """Print one run."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description="Simulate serverless scaling.")
    parser.add_argument("trace", help=f"{', '.join(TRACES)}, or a CSV file")
    parser.add_argument("--min", type=float, help="minCapacity (default: 0.5; 2 with --v1)")
    parser.add_argument("--max", type=float, default=64, help="maxCapacity (default: 64)")
    parser.add_argument("--v1", action="store_true", help="by the rules of Serverless v1")
    parser.add_argument("--timeout", type=int, default=300, help="secondsBeforeTimeout of v1 (default: 300)")
    parser.add_argument("--force", action="store_true", help="timeoutAction of v1 is ForceApplyCapacityChange")
    parser.add_argument("--svg", type=Path, help="write a picture, too")
    options = parser.parse_args(arguments)
    trace = list(TRACES[options.trace]()) if options.trace in TRACES else read(Path(options.trace))
    least = options.min if options.min is not None else 2.0 if options.v1 else 0.5
    action: TimeoutAction = "ForceApplyCapacityChange" if options.force else "RollbackCapacityChange"
    point = ScalingPoint(seconds_before_timeout=options.timeout, timeout_action=action) if options.v1 else None
    if options.v1 and not {least, options.max} <= set(V1_SIZES):
        parser.error(f"with --v1, --min and --max must be among {', '.join(f'{size:g}' for size in V1_SIZES)}")
    run = simulate(trace, CapacityRange(least=max(least, 0.5), most=options.max, scaling_point=point))
    if options.svg is not None:
        lines = [
            Series("just right", "#9aa5b1", [s.right for s in run]),
            Series("capacity", "#0b5fff", [s.capacity for s in run]),
        ]
        options.svg.write_text(svg(f"Simulated: {options.trace}", "ACU", lines))
    result: dict[str, Any] = {"trace": options.trace, **summary(run), "capacity": [s.capacity for s in run]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
