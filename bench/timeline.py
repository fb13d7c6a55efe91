"""What a failover's time is spent on, by the log of the instance that took over."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from tests.kind.context import kubectl

STAGES = {
    "noticed": ("-> prevoting",),
    "elected": ("-> promoting",),
    "promoted": ("promoted onto timeline",),
    "open": ("open for clients",),
}
"""The line that ends each stage; the first one that is logged after the one before."""


def log(namespace: str, pod: str, at: float) -> list[str]:
    """What an instance has logged since then (of time.time())."""
    since = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return kubectl("--namespace", namespace, "logs", pod, f"--since-time={since}", timeout=30).splitlines()


def parse(lines: Iterable[str], at: float, outage: tuple[float, float]) -> dict[str, float] | None:
    """Seconds that each stage took, from the fault to the first write after the outage; None when the log does not
    tell, and when that outage was another one, later than the failover.

    An election that failed counts as noticing.
    """
    stopped, written = outage
    begun, moments = at, dict.fromkeys(STAGES, 0.0)
    for line in lines:
        message, when = _entry(line)
        if not at <= when <= written:
            continue
        for stage, words in STAGES.items():
            if any(word in message for word in words):
                moments[stage] = when
    found: dict[str, float] = {}
    for stage, when in moments.items():
        if when == 0 or when < begun:
            return None
        found[stage] = round(when - begun, 3)
        begun = when
    if stopped > begun:
        return None
    return found | {"client": round(written - begun, 3)}


def _entry(line: str) -> tuple[str, float]:
    """Message and time of a line that an agent logged; others are of no time."""
    try:
        entry = json.loads(line)
        at = datetime.strptime(entry["asctime"], "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
    except (ValueError, KeyError, TypeError):
        return "", 0.0
    return str(entry.get("message", "")), at.timestamp()


def medians(runs: Iterable[Mapping[str, float] | None]) -> dict[str, float]:
    """The median of each stage over the runs that are known."""
    known = [run for run in runs if run is not None]
    stages = known[0].keys() if known else ()
    return {stage: round(statistics.median(run[stage] for run in known), 3) for stage in stages}
