"""What a quorum commit costs: `python -m bench.commit [--rounds N] [--seconds N] [--systems A,B]`.

Runs pgbench (its simple-update script: no two clients want the same row) with 1, 8 and 64 clients, in turn against
clusters of ours with 3 and with 6 copies, and against plain PostgreSQL of the same image, size and parameters with one
synchronous standby and with none. Each round runs all of them, so that a slow minute of the machine hits all alike.
Progress goes to standard error; the last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.client import execute_with
from tests.e2e.probe import restricted_pod
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError, say, step

from bench import machine
from bench.plain import CONNECTIONS, Plain

NAMESPACE = "bench-commit"
CLIENTS = (1, 8, 64)
SCALE = 10
BASELINE = "plain-1-standby"
_POD = "pgbench"
_FIGURES = {
    "tps": re.compile(r"^tps = ([\d.]+)", re.MULTILINE),
    "latency_ms": re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE),
    "latency_stddev_ms": re.compile(r"^latency stddev = ([\d.]+) ms", re.MULTILINE),
}


@dataclass(frozen=True)
class Target:
    """Where pgbench goes. `conninfo` is asked for each time: a writer may move."""

    create: Callable[[], None]
    conninfo: Callable[[], str]
    checkpoint: Callable[[], object]
    password: Callable[[], str] = lambda: ""


def _aurora(copies: int) -> Target:
    cluster = AuroraCluster(f"copies-{copies}", NAMESPACE)

    def create() -> None:
        parameters = {"max_connections": str(CONNECTIONS)}
        cluster.create(dict(SMALL) | {"durability": {"copies": copies}, "parameters": parameters})
        cluster.wait_ready(300)

    def conninfo() -> str:
        secret = cluster.secret()
        words = {
            "host": cluster.leadership().address,
            "dbname": secret["dbname"],
            "user": secret["username"],
            "sslmode": "require",
        }
        return " ".join(f"{key}={value}" for key, value in words.items())

    def checkpoint() -> object:
        return cluster.sql(cluster.leadership().instance, "CHECKPOINT")

    return Target(create, conninfo, checkpoint, lambda: cluster.secret()["password"])


def _plain(name: str, standbys: int) -> Target:
    plain = Plain(name, NAMESPACE, standbys=standbys)
    return Target(
        plain.create,
        lambda: f"host={plain.address()} dbname=postgres user=postgres sslmode=require",
        lambda: plain.sql("CHECKPOINT"),
    )


TARGETS: dict[str, Target] = {
    "aurora-3-copies": _aurora(3),
    "aurora-6-copies": _aurora(6),
    BASELINE: _plain(BASELINE, 1),
    "plain-no-standby": _plain("plain-no-standby", 0),
}


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.commit", description="What a quorum commit costs.")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is measured (5)")
    parser.add_argument("--seconds", type=int, default=10, help="how long each time (10)")
    parser.add_argument("--systems", default=",".join(TARGETS), help=f"which ones, of {','.join(TARGETS)} (all)")
    parser.add_argument("--keep", action="store_true", help="leave the clusters when done")
    arguments = parser.parse_args()
    names = arguments.systems.split(",")
    if unknown := set(names) - set(TARGETS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    tools.use("kubectl")
    require_own_context()
    minutes = (len(names) * (len(CLIENTS) * arguments.rounds * (arguments.seconds + 2) + 40)) / 60
    say(f"{len(names)} systems, {arguments.rounds} rounds, {len(CLIENTS)} numbers of clients: {minutes:.0f} minutes")
    result: dict[str, Any] = {
        "benchmark": "commit",
        "machine": machine.describe(),
        "pgbench": {"script": "simple-update", "scale": SCALE, "seconds": arguments.seconds, "tls": True},
        "rounds": arguments.rounds,
    }
    try:
        _create(names)
        measured = _measure(names, arguments.rounds, arguments.seconds)
        result["clients"] = {str(clients): _summary(measured, names, clients) for clients in CLIENTS}
    except (AssertionError, HarnessError) as error:
        result["error"] = str(error)
    finally:
        if not arguments.keep:
            kube.delete_namespace(NAMESPACE)
    print(json.dumps(result), flush=True)
    return 1 if "error" in result else 0


def _create(names: list[str]) -> None:
    kube.delete_namespace(NAMESPACE)
    kube.make_namespace(NAMESPACE)
    kube.apply(restricted_pod(_POD, NAMESPACE, command=["sleep", "infinity"], container=_POD))
    kube.until(
        "the client pod runs",
        lambda: kube.need("pod", _POD, NAMESPACE)["status"].get("phase") == "Running",
        timeout=60,
    )
    for name in names:
        with step(f"make and fill {name}"):
            TARGETS[name].create()
            _pgbench(TARGETS[name], "--initialize", "--quiet", f"--scale={SCALE}")


def _measure(names: list[str], rounds: int, seconds: int) -> dict[tuple[str, int], list[dict[str, float]]]:
    measured: dict[tuple[str, int], list[dict[str, float]]] = {}
    for number in range(1, rounds + 1):
        for clients in CLIENTS:
            for name in names:
                TARGETS[name].checkpoint()
                options = [f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={seconds}"]
                # Progress is what makes pgbench tell how latency varies.
                text = _pgbench(TARGETS[name], "--builtin=simple-update", "--no-vacuum", "--progress=3600", *options)
                figures = parse(text)
                measured.setdefault((name, clients), []).append(figures)
                say(f"round {number}, {clients} clients, {name}: {figures['tps']:.0f} tps, {figures['latency_ms']} ms")
    return measured


def _pgbench(target: Target, *options: str) -> str:
    words = ("pgbench", *options, target.conninfo())
    return execute_with(target.password(), NAMESPACE, _POD, _POD, *words, timeout=300)


def parse(text: str) -> dict[str, float]:
    """Throughput (transactions a second) and latency (ms) from pgbench's account. Raises AssertionError."""
    found = {name: pattern.search(text) for name, pattern in _FIGURES.items()}
    assert found["tps"] is not None and found["latency_ms"] is not None, f"pgbench did not finish: {text}"
    return {name: float(match[1]) for name, match in found.items() if match is not None}


def _summary(
    measured: dict[tuple[str, int], list[dict[str, float]]], names: list[str], clients: int
) -> dict[str, dict[str, Any]]:
    """Medians over the rounds, and the median of each round's ratio to the baseline's throughput."""
    base = [figures["tps"] for figures in measured.get((BASELINE, clients), [])]
    summary = {}
    for name in names:
        rounds = measured[name, clients]
        entry: dict[str, Any] = {
            figure: round(statistics.median(one[figure] for one in rounds), 2) for figure in rounds[0]
        }
        entry["tps_of_rounds"] = [round(one["tps"], 1) for one in rounds]
        if base:
            ratios = [one["tps"] / tps for one, tps in zip(rounds, base, strict=True)]
            entry["of_one_standby"] = round(statistics.median(ratios), 3)
        summary[name] = entry
    return summary


if __name__ == "__main__":
    sys.exit(main())
