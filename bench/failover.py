"""How long clients cannot write when the writer is lost: `python -m bench.failover [--runs N] [--faults A,B]`.

Makes a cluster of three instances in namespace `bench` and, after it, one of Patroni with the same image. Four
clients write through the writer's Service without pause while each fault is injected several times: into ours, and
when that is gone, into Patroni with its default timings and with its tightest. For each the benchmark tells the longest
time without an acknowledged write of any client, and how many acknowledged rows were missing afterwards; for ours also
what the time was spent on. Progress goes to standard error; the last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tests.e2e import faults, kube, outages
from tests.e2e.probe import Probe, Report
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError, say, step

from bench import machine, systems, timeline
from bench.patroni.cluster import build_image
from bench.systems import System

NAMESPACE = "bench"
HELD, FRESH = 2, 2
PATIENCE = 90.0  # seconds after which an outage ends though nobody can write; what is measured then is "at least"
_SETTLE = 3.0  # seconds of writing between one recovery and the next fault
_SHOWS = 0.3  # seconds without a write that show that a fault has come through
_SECONDS = {"aurora": 17, "patroni-default": 45, "patroni-tightest": 35}
"""How long a run takes, about, for saying beforehand when the benchmark will be done."""


@dataclass(frozen=True)
class Fault:
    """Something that happens to the writer: a moment, or an outage that ends when writing goes on."""

    inject: Callable[[System, str], float] | None = None
    outage: Callable[[str, str], AbstractContextManager[float]] | None = None


def _sudden(inject: Callable[[str, str], float]) -> Fault:
    return Fault(inject=lambda system, pod: inject(system.database.namespace, pod))


def _node_of(namespace: str, pod: str) -> str:
    return str(kube.need("pod", pod, namespace)["spec"]["nodeName"])


FAULTS: dict[str, Fault] = {
    "postmaster-kill": _sudden(faults.kill_postmaster),
    "container-kill": _sudden(faults.kill_agent),
    "pod-delete-force": _sudden(faults.delete_by_force),
    "pod-delete": _sudden(faults.delete_gracefully),
    "switchover": Fault(inject=lambda system, _: system.switch_over()),
    "postgres-frozen": Fault(outage=outages.frozen_postgres),
    "agent-frozen": Fault(outage=outages.frozen_agent),
    "node-paused": Fault(outage=lambda namespace, pod: outages.paused_node(_node_of(namespace, pod))),
    "pod-cut-off": Fault(outage=outages.cut_off_pod),
    "pod-cut-off-sending": Fault(outage=lambda namespace, pod: outages.cut_off_pod(namespace, pod, "out")),
    "pod-cut-off-receiving": Fault(outage=lambda namespace, pod: outages.cut_off_pod(namespace, pod, "in")),
    "zone-cut-off": Fault(outage=lambda namespace, pod: outages.cut_off_zone(_node_of(namespace, pod))),
}


def main() -> int:
    """Measure, and print the figures. 1 when a row of ours was lost or our cluster did not recover."""
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description="How long clients cannot write.")
    parser.add_argument("--runs", type=int, default=5, help="times that each fault is injected (5)")
    parser.add_argument("--peer-runs", type=int, help="the same for Patroni, which takes longer (as many)")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"which ones, of {','.join(FAULTS)} (all)")
    parser.add_argument(
        "--systems", default=",".join(systems.LABELS), help=f"which ones, of {','.join(systems.LABELS)} (all)"
    )
    parser.add_argument("--copies", type=int, default=3, help="copies of our cluster's data (3)")
    parser.add_argument("--keep", action="store_true", help="leave the clusters when done")
    arguments = parser.parse_args()
    peer_runs = arguments.peer_runs or arguments.runs
    named, labels = arguments.faults.split(","), arguments.systems.split(",")
    if unknown := (set(named) - set(FAULTS)) | (set(labels) - set(systems.LABELS)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    tools.use("kubectl")
    require_own_context()
    outages.heal()
    result: dict[str, Any] = {
        "benchmark": "failover",
        "machine": machine.describe(),
        "cluster": {"instances": 3, "copies": arguments.copies, "zones": 3},
        "clients": {"held": HELD, "fresh": FRESH},
        "runs": arguments.runs,
        "peer_runs": peer_runs,
        "faults": {},
    }
    runs = {label: arguments.runs if label == "aurora" else peer_runs for label in labels}
    seconds = sum(_SECONDS[label] * runs[label] for label in labels) * len(named) + 120
    say(f"{len(named)} faults, {len(labels)} systems: about {seconds / 60:.0f} minutes")
    try:
        kube.delete_namespace(NAMESPACE)
        kube.make_namespace(NAMESPACE)
        # One after the other: what one does to Services costs kube-proxy time that the other waits for.
        for system in systems.chosen(labels, NAMESPACE, arguments.copies):
            if system.label.startswith("patroni"):
                build_image()
            with step(f"a cluster for {system.label}"):
                system.create()
            for number, name in enumerate(named, 1):
                with step(f"{system.label}, {number} of {len(named)}: {name}, {runs[system.label]} times"):
                    measured = _measure_or_say(system, name, runs[system.label])
                    result["faults"].setdefault(name, {})[system.label] = measured
            if system.label == "aurora" and system.label != labels[-1]:
                kube.delete("auroracluster", system.database.name, NAMESPACE)
    except (AssertionError, HarnessError) as error:
        result["error"] = str(error)
    finally:
        outages.heal()
        if not arguments.keep:
            kube.delete("auroracluster", "bench", NAMESPACE, wait=False)
            kube.delete_namespace(NAMESPACE)
    print(json.dumps(result), flush=True)
    ours = [measured["aurora"] for measured in result["faults"].values() if "aurora" in measured]
    good = "error" not in result and not any("error" in one or one["lost"] for one in ours)
    return 0 if good else 1


def _measure_or_say(system: System, name: str, runs: int) -> dict[str, Any]:
    """One that does not recover is a result too, and the next one's turn comes all the same."""
    try:
        return _measure(system, FAULTS[name], runs)
    except (AssertionError, HarnessError) as error:
        say(f"{system.label} did not get through it: {error}")
        outages.heal()
        return {"error": str(error)}


def _measure(system: System, fault: Fault, runs: int) -> dict[str, Any]:
    system.prepare()
    database = system.database
    moments: list[float] = []
    logs: list[list[str]] = []
    place = _away_from_writer(system)
    with Probe(database, held=HELD, fresh=FRESH, only_node=place) as probe:
        for run in range(1, runs + 1):
            _move_writer_off(system, place)
            _settle(probe)
            before = database.leadership()
            pod = system.pod_of(before.instance)
            with _injected(system, fault, pod) as at:
                _wait_recovered(probe, at)
                written = probe.last_acknowledged()
            moments.append(at)
            database.wait_roles(readers=2, timeout=180)
            after = database.leadership()
            say(f"run {run}: {before.instance} -> {after.instance}, writing within {written - at:.1f} s")
            if system.label == "aurora":
                logs.append(timeline.log(database.namespace, system.pod_of(after.instance), at))
        _settle(probe)
        report = probe.stop()
    longest = _longest(report, moments)
    gaps = [round(end - begin, 3) for begin, end in longest]
    say(f"longest times without a write: {', '.join(f'{gap:.2f} s' for gap in gaps)}; {report.lost} rows lost")
    result: dict[str, Any] = {
        "seconds_without_writes": {"median": statistics.median(gaps), "max": max(gaps), "values": gaps},
        "acknowledged": report.acknowledged,
        "lost": report.lost,
        "unknown": report.unknown,
        "stale_reads": len(report.stale),
        "reads": report.reads,
    }
    spent = [timeline.parse(lines, at, gap) for lines, at, gap in zip(logs, moments, longest, strict=False)]
    if stages := timeline.medians(spent):
        result["seconds_spent"] = stages
    return result


@contextlib.contextmanager
def _injected(system: System, fault: Fault, pod: str) -> Iterator[float]:
    if fault.inject is not None:
        yield fault.inject(system, pod)
    elif fault.outage is not None:
        with fault.outage(system.database.namespace, pod) as at:
            yield at


def _wait_recovered(probe: Probe, at: float) -> None:
    """Wait until the fault has shown, and writing has gone on after it, for so long as the patience lasts."""
    with contextlib.suppress(kube.NotSo):
        kube.until("the fault shows", lambda: probe.interrupted(at) > _SHOWS, timeout=10, every=0.1)
    with contextlib.suppress(kube.NotSo):
        probe.wait_acknowledged(100, timeout=PATIENCE)


def _away_from_writer(system: System) -> str:
    """A node for the clients on which the writer is not: they must outlive its node."""
    writer = system.pod_of(system.database.leadership().instance)
    pods = [pod for pod in system.database.pods() if pod["metadata"]["name"] != writer]
    return str(pods[-1]["spec"]["nodeName"])


def _move_writer_off(system: System, node: str) -> None:
    database = system.database
    before = database.leadership()
    if _node_of(database.namespace, system.pod_of(before.instance)) != node:
        return
    system.switch_over()

    def moved() -> bool:
        return _node_of(database.namespace, system.pod_of(database.leadership().instance)) != node

    kube.until(f"the writer of {system.label} has left {node}", moved, timeout=60)
    database.wait_roles(readers=2, timeout=120)


def _longest(report: Report, moments: list[float]) -> list[tuple[float, float]]:
    """The longest gap of each run, from its fault to the next; the fault's own moment twice where there was none."""
    ends = [*moments[1:], report.stopped]
    found = []
    for at, end in zip(moments, ends, strict=True):
        gaps = [(a, b) for a, b in report.gaps if b > at and a < end]
        found.append(max(gaps, key=lambda gap: gap[1] - gap[0], default=(at, at)))
    return found


def _settle(probe: Probe) -> None:
    """Let the clients write undisturbed for a while."""
    deadline = time.monotonic() + _SETTLE
    while time.monotonic() < deadline:
        probe.wait_acknowledged(1, timeout=PATIENCE)
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
