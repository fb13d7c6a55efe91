"""Faults chosen at random, one after the other and two at once, while clients write: `make faults MINUTES=5 SEED=n`.

The seed (printed, and shown by a failure) says which faults come, where and for how long. What the cluster makes of
them depends on the machine's speed, too, so the same seed need not fail twice.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from tests.e2e import faults, kube, outages
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.probe import Probe
from tests.kind.shell import HarnessError, say

from aurora_operator.api.base import names

MINUTES = float(os.environ.get("AURORA_FAULT_MINUTES", "0.7"))
SEED = int(os.environ.get("AURORA_FAULT_SEED", str(random.SystemRandom().randrange(1_000_000))))
pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("healed")]

WAKING = 1.0
"""Seconds in which what was frozen notices what it missed."""


@dataclass(frozen=True)
class Fault:
    """`sudden` happens in a moment, `lasting` for a while; `excused`: PostgreSQL may answer as it wakes up."""

    name: str
    sudden: Callable[[str, str], float] | None = None
    lasting: Callable[[str, str], AbstractContextManager[float]] | None = None
    excused: bool = False


def _pause(namespace: str, pod: str) -> AbstractContextManager[float]:
    return outages.paused_node(kube.need("pod", pod, namespace)["spec"]["nodeName"])


def _zone(namespace: str, pod: str) -> AbstractContextManager[float]:
    return outages.cut_off_zone(kube.need("pod", pod, namespace)["spec"]["nodeName"])


FAULTS = [
    Fault("postmaster-kill", sudden=faults.kill_postmaster),
    Fault("container-kill", sudden=faults.kill_agent),
    Fault("pod-delete-force", sudden=faults.delete_by_force),
    Fault("pod-delete", sudden=faults.delete_gracefully),
    Fault("postgres-frozen", lasting=outages.frozen_postgres),
    Fault("agent-frozen", lasting=outages.frozen_agent),
    Fault("node-paused", lasting=_pause, excused=True),
    Fault("pod-cut-off", lasting=outages.cut_off_pod),
    Fault("pod-cut-off-sending", lasting=lambda n, p: outages.cut_off_pod(n, p, "out")),
    Fault("pod-cut-off-receiving", lasting=lambda n, p: outages.cut_off_pod(n, p, "in")),
    Fault("zone-cut-off", lasting=_zone),
]


@pytest.mark.timeout(600 + 60 * MINUTES)
def test_random_faults(cluster: AuroraCluster, measure: Measure) -> None:
    say(f"seed {SEED}, {MINUTES:g} minutes: repeat with make faults MINUTES={MINUTES:g} SEED={SEED}")
    chance = random.Random(SEED)
    excused: list[tuple[float, float]] = []
    injected = 0
    # The clients' own node is spared: from a node that stands still nobody sees anything.
    safe = cluster.pod(cluster.instances()[-1])["spec"]["nodeName"]
    others = [node["metadata"]["name"] for node in kube.items("nodes", "default") if node["metadata"]["name"] != safe]
    with Probe(cluster, only_node=safe) as probe:
        end = time.monotonic() + MINUTES * 60
        while time.monotonic() < end:
            for fault, instance, seconds in _next(chance, cluster, others):
                injected += _inject(cluster, fault, instance, seconds, excused)
            _write_on(probe, chance.uniform(0.0, 5.0))
        outages.heal()
        probe.wait_acknowledged(200, timeout=120)
        cluster.wait_roles(readers=2, timeout=180)
        report = probe.stop()
    measure(f"random faults, seed {SEED}: injected", injected)
    measure("random faults: longest time without a write, seconds", report.longest_gap())
    measure("random faults: the probe", report.summary())
    report.require_nothing_lost(excused)
    cluster.wait_ready(180)


def _next(chance: random.Random, cluster: AuroraCluster, nodes: list[str]) -> list[tuple[Fault, str, float]]:
    """One fault, at times two at once, mostly on the writer. The same numbers are drawn whatever the cluster does."""
    chosen = []
    for number in range(2):
        fault, on_writer, pick = chance.choice(FAULTS), chance.random() < 0.7, chance.random()
        seconds = chance.uniform(0.2, 8.0)
        if number and chance.random() < 0.7:
            continue
        instances = cluster.instances()
        instance = instances[int(pick * len(instances))]
        if on_writer:
            with contextlib.suppress(AssertionError):
                instance = cluster.leadership().instance
        chosen.append((fault, instance, seconds))
    return [(f, i, s) for f, i, s in chosen if not _whole_node(f) or _node_of(cluster, i) in nodes]


def _whole_node(fault: Fault) -> bool:
    return fault.name in ("node-paused", "zone-cut-off")


def _node_of(cluster: AuroraCluster, instance: str) -> str:
    try:
        return str(cluster.pod(instance)["spec"].get("nodeName", ""))
    except AssertionError:
        return ""


def _inject(
    cluster: AuroraCluster, fault: Fault, instance: str, seconds: float, excused: list[tuple[float, float]]
) -> int:
    """Let it happen; 1 if it did. A pod that is between two lives is left alone."""
    pod = names.pod_name(instance)
    try:
        if fault.sudden is not None:
            at = fault.sudden(cluster.namespace, pod)
            say(f"{time.strftime('%X', time.localtime(at))} {fault.name} of {instance}")
        if fault.lasting is not None:
            with fault.lasting(cluster.namespace, pod) as at:
                say(f"{time.strftime('%X', time.localtime(at))} {fault.name} of {instance} for {seconds:.1f} s")
                time.sleep(seconds)
            if fault.excused:
                excused.append((at, time.time() + WAKING))
    except (AssertionError, HarnessError, StopIteration, KeyError) as error:
        say(f"no {fault.name} of {instance} now: {str(error).splitlines()[0] if str(error) else error!r}")
        return 0
    return 1


def _write_on(probe: Probe, seconds: float) -> None:
    """Let the clients write for a while, if they can."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.1)
        probe.require_running()
