"""What the kernel counts for this container: control groups, version 1 and 2, as a container sees its own.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
_NO_LIMIT: Final = 1 << 60
"""Version 1 has no word for it: anything larger is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters and gauges at one moment. Counters only make sense compared with an earlier reading."""

    cpu_ns: int
    """CPU time used, ever."""
    periods: int
    """Scheduling periods with a limit in force, ever."""
    throttled: int
    """Of these, the ones in which the limit was hit."""
    cpu_limit_millis: int | None
    memory: int
    memory_limit: int | None
    inactive_file: int
    anonymous: int
    shared: int
    refaults: int
    """Pages read again soon after they were dropped, ever."""
    cpu_pressure: float | None = None
    memory_pressure: float | None = None


def reader(root: Path = ROOT) -> Callable[[], Reading]:
    """A function that reads the counters under `root`; it raises OSError or ValueError where they are not."""
    version = _read_v2 if (root / "cgroup.controllers").exists() else _read_v1
    return lambda: version(root)


def _read_v2(root: Path) -> Reading:
    cpu, memory = _table(root / "cpu.stat"), _table(root / "memory.stat")
    quota, _, period = (root / "cpu.max").read_text().strip().partition(" ")
    limit = (root / "memory.max").read_text().strip()
    return Reading(
        cpu_ns=cpu["usage_usec"] * 1000,
        periods=cpu.get("nr_periods", 0),
        throttled=cpu.get("nr_throttled", 0),
        cpu_limit_millis=None if quota == "max" else 1000 * int(quota) // int(period),
        memory=int((root / "memory.current").read_text()),
        memory_limit=None if limit == "max" else int(limit),
        inactive_file=memory["inactive_file"],
        anonymous=memory["anon"],
        shared=memory["shmem"],
        refaults=memory.get("workingset_refault_file", 0) + memory.get("workingset_refault_anon", 0),
        cpu_pressure=_pressure(root / "cpu.pressure"),
        memory_pressure=_pressure(root / "memory.pressure"),
    )


def _read_v1(root: Path) -> Reading:
    throttling, memory = _table(root / "cpu" / "cpu.stat"), _table(root / "memory" / "memory.stat")
    quota = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
    period = int((root / "cpu" / "cpu.cfs_period_us").read_text())
    limit = int((root / "memory" / "memory.limit_in_bytes").read_text())
    return Reading(
        cpu_ns=int((root / "cpuacct" / "cpuacct.usage").read_text()),
        periods=throttling.get("nr_periods", 0),
        throttled=throttling.get("nr_throttled", 0),
        cpu_limit_millis=None if quota <= 0 else 1000 * quota // period,
        memory=int((root / "memory" / "memory.usage_in_bytes").read_text()),
        memory_limit=None if limit >= _NO_LIMIT else limit,
        inactive_file=memory["total_inactive_file"],
        anonymous=memory["total_rss"],
        shared=memory.get("total_shmem", 0),
        refaults=memory.get("total_workingset_refault_file", 0) + memory.get("total_workingset_refault_anon", 0),
    )


def _table(path: Path) -> Mapping[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _pressure(path: Path) -> float | None:
    """`avg10` of the line `some`; None where the kernel does not measure it."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    some = next((line for line in lines if line.startswith("some ")), "")
    fields = dict(part.split("=", 1) for part in some.split()[1:])
    return float(fields["avg10"]) if "avg10" in fields else None
