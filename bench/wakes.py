"""Waking a cluster that has paused: from the connection to the session, and where the time goes."""

from __future__ import annotations

import contextlib
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.client import CONTAINER, POD, Client
from tests.e2e.kube import until
from tests.kind.context import kubectl
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import names
from bench import crowdclient

CLIENTS: Final = Path(crowdclient.__file__).read_text()
CPU = """
from pathlib import Path

root = Path("/sys/fs/cgroup")
if (root / "cpu.stat").exists():
    print(int((root / "cpu.stat").read_text().split()[1]) / 1e6)
else:
    print(int((root / "cpuacct/cpuacct.usage").read_text()) / 1e9)
"""
"""Seconds of CPU time that a container has used."""
STARTED = """
import os, time
from pathlib import Path

ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
print(time.time() - age)
"""
"""When the container's first process began, by the kernel."""
LINES: Final = {
    "PostgreSQL started": "starting PostgreSQL",
    "elected": "-> promoting",
    "promoted": "promoted onto timeline",
    "open for clients": "open for clients as the writer",
}


@dataclass(frozen=True)
class Wake:
    """One: seconds to each session or what failed; moments in seconds since the first connection, and seconds of CPU
    time that it took, by name."""

    sessions: list[float | str]
    moments: dict[str, float]
    cpu: dict[str, float] = field(default_factory=dict)


def run(client: Client, cluster: AuroraCluster, script: str, *words: str, timeout: float) -> Any:
    """A Python script in the client's pod; what it prints as JSON."""
    target = client.conninfo(cluster.name, connect_timeout="120")
    command = ("python3", "-", target, *words)
    return json.loads(kube.execute(cluster.namespace, POD, CONTAINER, *command, stdin=script, timeout=timeout))


def wake(cluster: AuroraCluster, client: Client, clients: int) -> Wake:
    """Let so many clients connect once the cluster has paused."""
    until("it is paused", lambda: cluster.status["phase"] == "Paused", timeout=180)
    pods = {"clients": (POD, CONTAINER), "gateway": (names.pod_name(names.gateway(cluster.name)), "gateway")}
    before = cpu(cluster, pods)
    found = run(client, cluster, CLIENTS, str(clients), timeout=300)
    # The gateway goes when it has nobody left.
    used = {name: seconds - before[name] for name, seconds in cpu(cluster, pods).items()}
    pod = names.pod_name(cluster.leadership().instance)
    used |= cpu(cluster, {"instance, its start included": (pod, names.CONTAINER)})
    cluster.wait_ready(120)
    started = kube.execute(cluster.namespace, pod, names.CONTAINER, "python3", "-", stdin=STARTED)
    log = kubectl("--namespace", cluster.namespace, "logs", "--timestamps", pod, timeout=30)
    moments = {"process started": float(started), **moments_in(log)}
    return Wake(found["sessions"], {name: at - found["begun"] for name, at in moments.items()}, used)


def crowd(cluster: AuroraCluster, client: Client, clients: int) -> Wake:
    """Let so many clients connect at once while it is awake: what a wake is to be compared with."""
    pods = {
        "clients": (POD, CONTAINER),
        "instance": (names.pod_name(names.instance_name(cluster.name, 1)), names.CONTAINER),
    }
    before = cpu(cluster, pods)
    found = run(client, cluster, CLIENTS, str(clients), timeout=300)
    used = {name: seconds - before[name] for name, seconds in cpu(cluster, pods).items()}
    return Wake(found["sessions"], {}, used)


def cpu(cluster: AuroraCluster, containers: Mapping[str, tuple[str, str]]) -> dict[str, float]:
    """Seconds of CPU time that containers have used, by name; without those that are gone."""
    found: dict[str, float] = {}
    for name, (pod, container) in containers.items():
        with contextlib.suppress(CommandFailed):
            text = kube.execute(cluster.namespace, pod, container, "python3", "-", stdin=CPU)
            found[name] = round(float(text), 2)
    return found


def moments_in(log: str) -> dict[str, float]:
    """When the first line of each kind was written, in seconds since the epoch."""
    found: dict[str, float] = {}
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        for name, words in LINES.items():
            if name not in found and words in text:
                # Nanoseconds are more than Python reads.
                found[name] = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z", r"\1+00:00", stamp)).timestamp()
    return found


def where(wakes: Sequence[Wake]) -> dict[str, float]:
    """Medians of the moments, in seconds since the connection."""
    names_ = sorted({name for one in wakes for name in one.moments})
    found = {name: statistics.median(one.moments[name] for one in wakes if name in one.moments) for name in names_}
    return {name: round(at, 2) for name, at in sorted(found.items(), key=lambda item: item[1])}


def figures(times: Sequence[float | str]) -> dict[str, Any]:
    """Percentiles, and what failed."""
    good = sorted(t for t in times if not isinstance(t, str))
    failed = [t for t in times if isinstance(t, str)]
    if not good:
        return {"sessions": 0, "failed": len(failed), "errors": sorted(set(failed))[:3]}
    return {
        "sessions": len(good),
        "p50": round(statistics.median(good), 2),
        "p99": round(good[min(len(good) * 99 // 100, len(good) - 1)], 2),
        "max": round(good[-1], 2),
        "failed": len(failed),
        "errors": sorted(set(failed))[:3],
    }
