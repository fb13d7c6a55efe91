"""How long clients cannot write when the writer is lost: `python -m bench.failover [--runs N] [--faults A,B]`.

Makes a cluster of three instances in namespace `bench`, lets four clients write through its writer Service without
pause, and injects each fault several times. For each it tells the longest time without an acknowledged write of any
client, and how many acknowledged rows were missing afterwards. Progress goes to standard error; the last line of
standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.e2e import faults, kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.probe import Probe, Report
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError, say, step

from aurora_operator.api import names
from bench import machine

NAMESPACE = "bench"
HELD, FRESH = 2, 2
PATIENCE = 90.0  # seconds after which a cluster that has not recovered counts as broken
_SETTLE = 3.0  # seconds of writing between one recovery and the next fault

Fault = Callable[[AuroraCluster, str], float]


def _on_pod(inject: Callable[[str, str], float]) -> Fault:
    return lambda cluster, writer: inject(cluster.namespace, names.pod_name(writer))


def _switchover(cluster: AuroraCluster, writer: str) -> float:
    at = time.time()
    cluster.annotate(names.ANNOTATION_SWITCHOVER, "any")
    return at


FAULTS: dict[str, Fault] = {
    "postmaster-kill": _on_pod(faults.kill_postmaster),
    "container-kill": _on_pod(faults.kill_agent),
    "pod-delete-force": _on_pod(faults.delete_by_force),
    "pod-delete": _on_pod(faults.delete_gracefully),
    "switchover": _switchover,
}


def main() -> int:
    """Measure, and print the figures. 1 when a row was lost or the cluster did not recover."""
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description="How long clients cannot write.")
    parser.add_argument("--runs", type=int, default=5, help="times that each fault is injected (5)")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"which ones, of {','.join(FAULTS)} (all)")
    parser.add_argument("--keep", action="store_true", help="leave the cluster when done")
    arguments = parser.parse_args()
    chosen = arguments.faults.split(",")
    if unknown := set(chosen) - set(FAULTS):
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    tools.use("kubectl")
    require_own_context()
    result: dict[str, Any] = {
        "benchmark": "failover",
        "machine": machine.describe(),
        "cluster": {"instances": SMALL["instances"], "writeQuorum": 2, "zones": 3},
        "clients": {"held": HELD, "fresh": FRESH},
        "runs": arguments.runs,
        "faults": {},
    }
    cluster = AuroraCluster("bench", NAMESPACE)
    good = True
    try:
        with step("a cluster of three instances"):
            kube.delete_namespace(NAMESPACE)
            kube.make_namespace(NAMESPACE)
            cluster.create()
            cluster.wait_ready(300)
        for name in chosen:
            with step(f"{name}, {arguments.runs} times"):
                result["faults"][name] = _measure(cluster, FAULTS[name], arguments.runs)
    except (AssertionError, HarnessError) as error:
        result["error"] = str(error)
        good = False
    finally:
        if not arguments.keep:
            cluster.delete(wait=False)
            kube.delete_namespace(NAMESPACE)
    print(json.dumps(result), flush=True)
    return 0 if good and not any(fault["lost"] for fault in result["faults"].values()) else 1


def _measure(cluster: AuroraCluster, inject: Fault, runs: int) -> dict[str, Any]:
    moments: list[float] = []
    with Probe(cluster, held=HELD, fresh=FRESH) as probe:
        for run in range(1, runs + 1):
            before = cluster.leadership()
            moments.append(inject(cluster, before.instance))
            after = cluster.wait_leadership(before, timeout=PATIENCE)
            probe.wait_acknowledged(100, timeout=PATIENCE)
            seconds = probe.last_acknowledged() - moments[-1]
            cluster.wait_roles(readers=2, timeout=PATIENCE)
            say(f"run {run}: {before.instance} -> {after.instance}, epoch {after.epoch}, writes within {seconds:.1f} s")
            _settle(probe)
        report = probe.stop()
    gaps = _gaps(report, moments)
    say(f"longest times without a write: {', '.join(f'{gap:.2f} s' for gap in gaps)}; {report.lost} rows lost")
    return {
        "seconds_without_writes": {"median": statistics.median(gaps), "max": max(gaps), "values": gaps},
        "acknowledged": report.acknowledged,
        "lost": report.lost,
        "unknown": report.unknown,
        "stale_reads": len(report.stale),
        "reads": report.reads,
        "errors": report.errors,
    }


def _gaps(report: Report, moments: list[float]) -> list[float]:
    """The longest gap of each run: from its fault to the next."""
    ends = [*moments[1:], report.stopped]
    return [round(report.longest_gap(at, end), 3) for at, end in zip(moments, ends, strict=True)]


def _settle(probe: Probe) -> None:
    """Let the clients write undisturbed for a while."""
    deadline = time.monotonic() + _SETTLE
    while time.monotonic() < deadline:
        probe.wait_acknowledged(1, timeout=PATIENCE)
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
