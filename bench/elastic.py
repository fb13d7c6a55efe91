"""How fast a serverless cluster grows and wakes: `python -m bench.elastic [--wakes N] [--clients N]`.

Makes a cluster of one instance in namespace `bench`, of 0 to 8 ACU. First sessions compute, and the time from there
to the higher limit in the container's control group is taken; commits that fail meanwhile are counted. Then the
cluster pauses, again and again, and is woken by one client, and once by many at a time: from the connection to the
session. Only pods of the project's own cluster are touched. The last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e import kube, operating
from tests.e2e.aurora import AuroraCluster
from tests.e2e.client import CONTAINER, POD, Client
from tests.e2e.kube import until
from tests.e2e.test_serverless import LIMIT
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError, step

from aurora_operator.api import names
from aurora_operator.api.capacity import ACU_BYTES
from bench import machine
from bench.plot import Series, svg

NAMESPACE = "bench"
PAUSE_SECONDS = 5
MOST_CLIENTS = 2000
SPEC: dict[str, Any] = {
    "instances": 1,
    "durability": {"copies": 1},
    "instanceClass": "db.serverless",
    "serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 8},
    "storage": {"size": "2Gi"},
}
CLIENTS = """
import asyncio, json, sys, time
import psycopg

async def one(target):
    begun = time.monotonic()
    try:
        async with await psycopg.AsyncConnection.connect(target) as connection:
            await connection.execute("SELECT 1")
            took = time.monotonic() - begun
            await asyncio.sleep(1)
            return took
    except psycopg.Error as error:
        return str(error).strip().splitlines()[0]

async def main():
    target = sys.argv[1]
    print(json.dumps(await asyncio.gather(*(one(target) for _ in range(int(sys.argv[2]))))))

asyncio.run(main())
"""
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

until = time.monotonic() + float(sys.argv[2])
threads = [threading.Thread(target=work, args=(sys.argv[1], until)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({"acknowledged": len(done), "failed": failed}))
"""


def main() -> int:
    """Measure, and print the figures. 1 when a commit was lost or failed, or the cluster did not wake."""
    parser = argparse.ArgumentParser(prog="python -m bench.elastic", description="How fast serverless is.")
    parser.add_argument("--wakes", type=int, default=5, help="times that a single client wakes it (5)")
    parser.add_argument("--clients", type=int, default=1000, help=f"clients at once, up to {MOST_CLIENTS} (1000)")
    parser.add_argument("--svg", help="write a picture of the capacity under the load to this file")
    parser.add_argument("--keep", action="store_true", help="leave the cluster when done")
    arguments = parser.parse_args()
    if not 1 <= arguments.clients <= MOST_CLIENTS:
        parser.error(f"--clients must be 1 to {MOST_CLIENTS}")
    tools.use("kubectl")
    require_own_context()
    result: dict[str, Any] = {"benchmark": "elastic", "machine": machine.describe(), "cluster": SPEC}
    cluster = AuroraCluster("bench", NAMESPACE)
    good = True
    try:
        with step("a serverless cluster of one instance"):
            kube.delete_namespace(NAMESPACE)
            kube.make_namespace(NAMESPACE)
            cluster.create(SPEC)
            cluster.wait_ready(300)
        client = Client(cluster)
        client.start()
        with step("a load"):
            result["scaling"] = scaling(cluster, client, arguments.svg)
        operating.set_environment("AURORA_AUTO_PAUSE_SECONDS", str(PAUSE_SECONDS))
        cluster.change({"serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 8}})
        with step(f"{arguments.wakes} wakes by one client"):
            times = [wake(cluster, client, 1) for _ in range(arguments.wakes)]
            result["waking"] = {"1": figures([t for run in times for t in run])}
        with step(f"a wake by {arguments.clients} clients"):
            result["waking"][str(arguments.clients)] = figures(wake(cluster, client, arguments.clients))
        good = not result["scaling"]["failed"] and not result["scaling"]["lost"]
        good = good and not any(run["failed"] for run in result["waking"].values())
    except (AssertionError, HarnessError) as error:
        print(error, file=sys.stderr)
        result["error"], good = str(error).splitlines()[0], False
    finally:
        operating.set_environment("AURORA_AUTO_PAUSE_SECONDS", None)
        if not arguments.keep:
            kube.delete_namespace(NAMESPACE)
    print(json.dumps(result))
    return 0 if good else 1


def run(client: Client, cluster: AuroraCluster, script: str, *words: str, timeout: float) -> Any:
    """A Python script in the client's pod; what it prints as JSON."""
    target = client.conninfo(cluster.name, connect_timeout="120")
    command = ("python3", "-", target, *words)
    return json.loads(kube.execute(cluster.namespace, POD, CONTAINER, *command, stdin=script, timeout=timeout))


def limit(cluster: AuroraCluster) -> float:
    """The capacity in force, by the kernel, in ACU."""
    pod = names.pod_name(names.instance_name(cluster.name, 1))
    text = kube.execute(cluster.namespace, pod, names.CONTAINER, "sh", "-c", LIMIT)
    return int(text) / ACU_BYTES


def scaling(cluster: AuroraCluster, client: Client, picture: str | None) -> dict[str, Any]:
    """Load for 30 s, and what the capacity does until two minutes after it."""
    target = client.conninfo(cluster.name)
    client.psql(target, "CREATE TABLE work (n bigint)")
    before, seen = limit(cluster), []
    begun = time.monotonic()
    with ThreadPoolExecutor() as pool:
        load = pool.submit(run, client, cluster, WORK, "30", timeout=90)
        end = begun + (150 if picture is not None else 30)
        while time.monotonic() < end:
            seen.append((time.monotonic() - begun, limit(cluster)))
            time.sleep(0.1)
        report = load.result()
    rows = int(client.psql(target, "SELECT count(*) FROM work"))
    rises = [at for at, acu in seen if acu > before]
    if picture is not None:
        values, last = [], before
        for second in range(150):
            last = next((acu for at, acu in reversed(seen) if at <= second), last)
            values.append(last)
        with open(picture, "w") as file:  # noqa: PTH123
            file.write(
                svg("A real run: four sessions compute for 30 s", "ACU", [Series("capacity", "#0b5fff", values)])
            )
    return {
        "seconds_from_load_to_limit": round(min(rises), 2) if rises else None,
        "most": max(acu for _, acu in seen),
        "seconds_to_most": round(next(at for at, acu in seen if acu == max(a for _, a in seen)), 2),
        "acknowledged": report["acknowledged"],
        "failed": report["failed"],
        "lost": max(report["acknowledged"] - rows, 0),
    }


def wake(cluster: AuroraCluster, client: Client, clients: int) -> list[float | str]:
    """Seconds from connection to session of each client, after the cluster has paused."""
    until("it is paused", lambda: cluster.status["phase"] == "Paused", timeout=180)
    found: list[float | str] = run(client, cluster, CLIENTS, str(clients), timeout=300)
    cluster.wait_ready(120)
    return found


def figures(times: list[float | str]) -> dict[str, Any]:
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


if __name__ == "__main__":
    sys.exit(main())
