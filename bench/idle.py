"""What agents and operator cost when nothing happens: `python -m bench.idle [--seconds N]`.

Makes a cluster of three instances, waits until it is quiet, and measures the processor time of each agent (with its
watchdog), of each container, and of the operator, and how much memory they hold. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from typing import Any

from tests.e2e import faults, kube, operating
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.faults import Container
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.docker import docker
from tests.kind.shell import HarnessError, say, step

from aurora_operator.api.base import names
from bench import machine

NAMESPACE = "bench-idle"
_QUIET = 20.0
_POSTGRES = re.compile(r"\S*postgres( |:|$)")

# Of the processes in the pid namespace of process $1: number there, clock ticks, resident and proportional kB, name.
_PROCESSES = r"""
space=$(readlink "/proc/$1/ns/pid")
for folder in /proc/[0-9]*; do
  [ "$(readlink "$folder/ns/pid" 2>/dev/null)" = "$space" ] || continue
  awk -v ticks="$(sed 's/.*) //' "$folder/stat" | awk '{print $12 + $13}')" \
      -v inside="$(awk '/^NSpid/ {print $NF}' "$folder/status")" \
      -v name="$(tr '\0\n' '  ' < "$folder/cmdline" | cut -c 1-80)" \
      '/^Rss/ {rss = $2} /^Pss:/ {pss = $2} END {print inside, ticks, rss, pss, name}' \
      "$folder/smaps_rollup" 2>/dev/null
done
true
"""


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description="What an idle cluster costs.")
    parser.add_argument("--seconds", type=float, default=60, help="how long to look (60)")
    parser.add_argument("--copies", type=int, default=3, help="copies of the cluster's data (3)")
    arguments = parser.parse_args()
    tools.use("kubectl")
    require_own_context()
    result: dict[str, Any] = {"benchmark": "idle", "machine": machine.describe(), "seconds": arguments.seconds}
    cluster = AuroraCluster("bench", NAMESPACE)
    say(f"about {(arguments.seconds + 60) / 60:.0f} minutes")
    try:
        with step("a cluster of three instances"):
            kube.delete_namespace(NAMESPACE)
            kube.make_namespace(NAMESPACE)
            cluster.create(dict(SMALL) | {"durability": {"copies": arguments.copies}})
            cluster.wait_ready(300)
        time.sleep(_QUIET)  # what a creation leaves behind: checkpoints, image caches
        with step(f"measure for {arguments.seconds:g} s"):
            result |= _measure(cluster, arguments.seconds)
    except (AssertionError, HarnessError) as error:
        result["error"] = str(error)
    finally:
        cluster.delete(wait=False)
        kube.delete_namespace(NAMESPACE)
    print(json.dumps(result), flush=True)
    return 1 if "error" in result else 0


def _measure(cluster: AuroraCluster, seconds: float) -> dict[str, Any]:
    roles = cluster.serving()
    found = kube.items("pods", NAMESPACE, f"{names.LABEL_CLUSTER}={cluster.name}")
    first: dict[str, Container] = {
        str(pod["metadata"]["name"]): faults.container(NAMESPACE, pod["metadata"]["name"]) for pod in found
    }
    (operator,) = operating.pods()
    first["operator"] = faults.first_process(operator, operator["spec"]["containers"][0]["name"])
    before = {name: _processes(container) for name, container in first.items()}
    begun = time.monotonic()
    time.sleep(seconds)
    after = {name: _processes(container) for name, container in first.items()}
    took = time.monotonic() - begun
    agents = {}
    for name in sorted(first.keys() - {"operator"}):
        role = roles.get(name.removesuffix("-0"), "log")
        agents[f"{name} ({role})"] = {
            "agent": _cost(before[name], after[name], took, lambda pid, _: pid == 1),
            "watchdog": _cost(before[name], after[name], took, lambda _, command: command.startswith("bash ")),
            "postgres": _cost(before[name], after[name], took, lambda _, command: _POSTGRES.match(command)),
        }
    return {"copies": agents, "operator": _cost(before["operator"], after["operator"], took, lambda *_: True)}


Processes = dict[int, tuple[int, int, int, str]]


def _processes(container: Container) -> Processes:
    """By number in the container: clock ticks, resident and proportional kB, command."""
    text = docker("exec", container.node, "sh", "-c", _PROCESSES, "sh", str(container.pid), timeout=60)
    found: Processes = {}
    for line in text.splitlines():
        inside, ticks, rss, pss, command = [*line.split(" ", 4), ""][:5]
        found[int(inside)] = (int(ticks), int(rss or 0), int(pss or 0), command)
    return found


def _cost(before: Processes, after: Processes, seconds: float, chosen: Any) -> dict[str, float]:
    """Of the chosen processes that were there all the time: share of one core, and MiB."""
    pids = [pid for pid in before.keys() & after.keys() if chosen(pid, after[pid][3])]
    ticks = sum(after[pid][0] - before[pid][0] for pid in pids)
    return {
        "core_percent": round(ticks / 100 / seconds * 100, 2),
        "resident_mib": round(sum(after[pid][1] for pid in pids) / 1024, 1),
        "proportional_mib": round(sum(after[pid][2] for pid in pids) / 1024, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
