"""How fast a serverless cluster grows and wakes: `python -m bench.elastic [--parts PART,…] [--wakes N] [--clients N]`.

Makes a cluster of one instance in namespace `bench`, of 0.5 to 8 ACU, and measures in these parts (`six` with a
cluster of its own):

scaling: four sessions compute and commit for 30 s; the time from there to the higher limit in the container's control
    group, and the commits that failed or were lost meanwhile.
burst: pgbench with 16 clients for 60 s out of nothing, and what becomes of the capacity in 150 s after it.
waking: the cluster pauses again and again and is woken by one client: from the connection to the session.
crowd: a thousand clients connect at once while it is awake.
many: the same while it has paused.
six: as waking, of a cluster of six copies: three instances and three log copies.

Only pods of the project's own cluster are touched. The last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import kube, operating
from tests.e2e.aurora import AuroraCluster
from tests.e2e.client import CONTAINER, POD, Client
from tests.e2e.kube import until
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError, step

from aurora_operator.api.base import names
from aurora_operator.api.spec.capacity import ACU_BYTES, ACU_CPU_MILLIS
from aurora_operator.policy.capacity import CPU_TARGET
from bench import machine
from bench.plot import Series, svg
from bench.wakes import Wake, crowd, figures, run, wake, where

NAMESPACE = "bench"
PAUSE_SECONDS = 5
LEAD_SECONDS, BURST_SECONDS, AFTER_SECONDS = 10, 60, 150
TOLD = {
    "transactions": r"number of transactions actually processed: (\d+)",
    "failed": r"number of failed transactions: (\d+)",
    "tps": r"tps = ([\d.]+)",
}
"""What pgbench says of itself."""
MOST_CLIENTS = 2000
SPEC: dict[str, Any] = {
    "instances": 1,
    "durability": {"copies": 1},
    "instanceClass": "db.serverless",
    "serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 8},
    "storage": {"size": "2Gi"},
}
SIX: dict[str, Any] = {name: value for name, value in SPEC.items() if name != "durability"} | {"instances": 3}
WORK = """
import json, sys, threading, time
import psycopg

done, failed = [], []

def work(target, until):
    while time.monotonic() < until:
        try:
            with psycopg.connect(target, autocommit=True) as connection:
                while time.monotonic() < until:
                    connection.execute("SELECT sum(i) FROM generate_series(1, 100000) i")
                    connection.execute("INSERT INTO work VALUES (1)")
                    done.append(1)
        except psycopg.Error as error:
            failed.append(str(error).strip().splitlines()[0])

begun, until = time.time(), time.monotonic() + float(sys.argv[2])
threads = [threading.Thread(target=work, args=(sys.argv[1], until)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({"begun": begun, "acknowledged": len(done), "failed": failed}))
"""
SAMPLE = """
import json, sys, time
from pathlib import Path

root = Path("/sys/fs/cgroup")
if (root / "memory.max").exists():
    limit = lambda: (root / "memory.max").read_text()
    used = lambda: int((root / "cpu.stat").read_text().split()[1]) / 1e6
else:
    limit = lambda: (root / "memory/memory.limit_in_bytes").read_text()
    used = lambda: int((root / "cpuacct/cpuacct.usage").read_text()) / 1e9
seen, end = [], time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    seen.append((time.time(), int(limit()), used()))
    time.sleep(0.1)
print(json.dumps(seen))
"""
PARTS = ("scaling", "burst", "crowd", "waking", "many", "six")


@dataclass(frozen=True)
class Sample:
    """What the kernel had for the instance at a time: seconds since the epoch, ACU, and seconds of CPU time ever."""

    at: float
    acu: float
    cpu: float


def main() -> int:
    """Measure, and print the figures. 1 when a commit was lost or failed, or the cluster did not wake."""
    parser = argparse.ArgumentParser(prog="python -m bench.elastic", description="How fast serverless is.")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"what to measure ({','.join(PARTS)})")
    parser.add_argument("--wakes", type=int, default=5, help="times that a single client wakes it (5)")
    parser.add_argument("--clients", type=int, default=1000, help=f"clients at once, up to {MOST_CLIENTS} (1000)")
    parser.add_argument("--svg", type=Path, help="write a picture of the capacity under the burst to this file")
    parser.add_argument("--keep", action="store_true", help="leave the cluster when done")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts must be among {', '.join(PARTS)}")
    if not 1 <= arguments.clients <= MOST_CLIENTS:
        parser.error(f"--clients must be 1 to {MOST_CLIENTS}")
    tools.use("kubectl")
    require_own_context()
    result: dict[str, Any] = {"benchmark": "elastic", "machine": machine.describe(), "cluster": SPEC}
    good = True
    try:
        for what, spec, own in (("one instance", SPEC, set(PARTS) - {"six"}), ("six copies", SIX, {"six"})):
            wanted = [part for part in parts if part in own]
            if wanted:
                of_cluster(what, spec, wanted, arguments, result)
    except (AssertionError, HarnessError) as error:
        print(error, file=sys.stderr)
        result["error"], good = str(error).splitlines()[0], False
    finally:
        if {"waking", "many", "six"} & set(parts):
            operating.set_environment("AURORA_AUTO_PAUSE_SECONDS", None)
        if not arguments.keep:
            kube.delete_namespace(NAMESPACE)
    found = [result.get(part, {}) for part in parts]
    good = good and not any(one.get("failed") or one.get("lost") for one in found)
    print(json.dumps(result))
    return 0 if good else 1


def of_cluster(
    what: str, spec: dict[str, Any], parts: list[str], arguments: argparse.Namespace, result: dict[str, Any]
) -> None:
    """Add these parts to the result, of a new cluster."""
    cluster = AuroraCluster("bench", NAMESPACE)
    with step(f"a serverless cluster of {what}"):
        kube.delete_namespace(NAMESPACE)
        kube.make_namespace(NAMESPACE)
        cluster.create(spec)
        cluster.wait_ready(300)
    client = Client(cluster)
    client.start()
    for part in parts:
        with step(part):
            result[part] = measure(part, cluster, client, arguments)


def measure(part: str, cluster: AuroraCluster, client: Client, arguments: argparse.Namespace) -> dict[str, Any]:
    """One part."""
    if part == "scaling":
        return scaling(cluster, client)
    if part == "burst":
        return burst(cluster, client, arguments.svg)
    if part == "crowd":
        return told(crowd(cluster, client, arguments.clients))
    operating.set_environment("AURORA_AUTO_PAUSE_SECONDS", str(PAUSE_SECONDS))
    cluster.change({"serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 8}})
    if part == "many":
        return told(wake(cluster, client, arguments.clients))
    wakes = [wake(cluster, client, 1) for _ in range(arguments.wakes)]
    return {**figures([seconds for one in wakes for seconds in one.sessions]), "where": where(wakes)}


def told(one: Wake) -> dict[str, Any]:
    """A crowd's figures."""
    return {**figures(one.sessions), "where": where([one]), "cpu_seconds": one.cpu}


def watch(cluster: AuroraCluster, seconds: float) -> list[Sample]:
    """What the kernel has for the instance, ten times a second; read in its own container."""
    pod = names.pod_name(names.instance_name(cluster.name, 1))
    command = ("python3", "-", str(seconds))
    text = kube.execute(cluster.namespace, pod, names.CONTAINER, *command, stdin=SAMPLE, timeout=seconds + 60)
    return [Sample(at, limit / ACU_BYTES, cpu) for at, limit, cpu in json.loads(text)]


def scaling(cluster: AuroraCluster, client: Client) -> dict[str, Any]:
    """Load for 30 s, and what the capacity does meanwhile."""
    target = client.conninfo(cluster.name)
    client.psql(target, "CREATE TABLE work (n bigint)")
    with ThreadPoolExecutor() as pool:
        watched = pool.submit(watch, cluster, 45)
        report = run(client, cluster, WORK, "30", timeout=90)
        seen = watched.result()
    rows = int(client.psql(target, "SELECT count(*) FROM work"))
    return {
        **growth(seen, report["begun"]),
        "acknowledged": report["acknowledged"],
        "failed": report["failed"],
        "lost": max(report["acknowledged"] - rows, 0),
    }


def growth(seen: list[Sample], begun: float) -> dict[str, Any]:
    """From the load's begin to a higher limit, and to the highest."""
    before, most = seen[0].acu, max(s.acu for s in seen)
    rises = [s.at - begun for s in seen if s.acu > before]
    return {
        "from": before,
        "most": most,
        "seconds_from_load_to_limit": round(min(rises), 2) if rises else None,
        "seconds_to_most": round(next(s.at for s in seen if s.acu == most) - begun, 2),
    }


def burst(cluster: AuroraCluster, client: Client, picture: Path | None) -> dict[str, Any]:
    """pgbench out of nothing, and what becomes of the capacity after it."""
    target = client.conninfo(cluster.name)

    def pgbench(*words: str) -> str:
        return kube.execute(cluster.namespace, POD, CONTAINER, "pgbench", *words, target, timeout=300)

    pgbench("--initialize", "--quiet", "--scale=5")
    # What that took has been forgotten, and the least is there again.
    until("the least capacity", lambda: cluster.status["members"][0].get("capacity") == 0.5, timeout=240, every=1)
    with ThreadPoolExecutor() as pool:
        watched = pool.submit(watch, cluster, BURST_SECONDS + 20 + AFTER_SECONDS)
        time.sleep(LEAD_SECONDS)
        begun = time.time()
        clients = ("--client=16", "--jobs=2", f"--time={BURST_SECONDS}", "--progress=5", "--no-vacuum")
        text = pgbench(*clients)
        seen = watched.result()
    found = {name: float(match[1]) for name, match in ((n, re.search(p, text)) for n, p in TOLD.items()) if match}
    if picture is not None:
        picture.write_text(drawn(seen))
    lows = [s.at - begun for s in seen if s.at > begun + BURST_SECONDS and s.acu == seen[0].acu]
    return {
        **growth(seen, begun),
        **found,
        "seconds_from_end_to_least": round(min(lows) - BURST_SECONDS, 1) if lows else None,
    }


def drawn(seen: list[Sample]) -> str:
    """The run as a picture, by seconds: the capacity, and what the CPU that was used corresponds to."""
    first, capacity, used = seen[0].at, [], []
    for second in range(int(seen[-1].at - first)):
        of_it = [s for s in seen if second <= s.at - first < second + 1]
        if len(of_it) > 1:
            capacity.append(of_it[-1].acu)
            cores = (of_it[-1].cpu - of_it[0].cpu) / (of_it[-1].at - of_it[0].at)
            used.append(cores * 1000 / (CPU_TARGET * ACU_CPU_MILLIS))
    title = f"A real run: pgbench with 16 clients for {BURST_SECONDS} s"
    lines = [Series("CPU use asks for", "#9aa5b1", used), Series("capacity", "#0b5fff", capacity)]
    return svg(title, "ACU", lines)


if __name__ == "__main__":
    sys.exit(main())
