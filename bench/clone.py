"""How long a clone takes, by size: `python -m bench.clone [--sizes MIB,MIB] [--types copy-on-write,full-copy]`.

Makes a cluster of two instances in one zone of namespace `bench`, fills it step by step, and at each size clones it in
each way: from `kubectl apply` until the clone's writer is open, and until the first query by the network's way in.
Progress goes to standard error; the last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError, say, step

from bench import machine

NAMESPACE = "bench"
TYPES = ("copy-on-write", "full-copy")
CHUNK_MIB = 256
_GIVEN_UP = 1800.0  # seconds


def main() -> int:
    """Measure, and print the figures. 1 when a clone did not come, or was not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m bench.clone", description="How long a clone takes, by size.")
    parser.add_argument("--sizes", default="128,1024,8192", help="sizes of the data in MiB (128,1024,8192)")
    parser.add_argument("--types", default=",".join(TYPES), help=f"which ways, of {','.join(TYPES)} (all)")
    arguments = parser.parse_args()
    sizes = sorted(int(word) for word in arguments.sizes.split(","))
    tools.use("kubectl")
    require_own_context()
    result: dict[str, Any] = {"benchmark": "clone", "machine": machine.describe(), "clones": []}
    source = AuroraCluster("source", NAMESPACE)
    storage = {"size": f"{max(sizes) // 1024 * 5 // 4 + 4}Gi", "volumeRetention": {"whenDeleted": "Delete"}}
    spec = dict(SMALL) | {"storage": storage, "skipFinalSnapshot": True}
    good = True
    try:
        with step("a cluster of two instances"):
            kube.delete_namespace(NAMESPACE)
            kube.make_namespace(NAMESPACE)
            source.create(spec | {"instances": 2, "durability": {"copies": 2, "zones": 1}})
            source.wait_ready(300)
            writer = source.leadership().instance
            source.sql(writer, "CREATE TABLE filler (g bigint, t text)", database="app")
        for size in sizes:
            with step(f"{size} MiB of data"):
                _fill(source, size)
            for kind in arguments.types.split(","):
                with step(f"clone of {size} MiB, {kind}"):
                    result["clones"].append(_clone(source, spec, kind, size))
    except (AssertionError, HarnessError) as error:
        result["error"] = str(error)
        good = False
    finally:
        source.delete(wait=False)
        kube.delete_namespace(NAMESPACE)
    print(json.dumps(result), flush=True)
    return 0 if good else 1


def _fill(source: AuroraCluster, mib: int) -> None:
    """Write until the database has this size, and let the reader have it."""
    writer = source.leadership().instance
    while (missing := (mib << 20) - int(source.sql(writer, "SELECT pg_database_size('app')"))) > 1 << 20:
        rows = min(missing, CHUNK_MIB << 20) // 1048  # what one takes with its header
        insert = f"INSERT INTO filler SELECT g, repeat(md5(g::text), 31) FROM generate_series(1, {rows}) g"
        source.sql(writer, insert, database="app")
    source.sql(writer, "CHECKPOINT")
    source.wait_ready(120)


def _clone(source: AuroraCluster, spec: dict[str, Any], kind: str, mib: int) -> dict[str, Any]:
    made = AuroraCluster("clone", NAMESPACE)
    begun = time.monotonic()
    made.create(
        spec
        | {"instances": 1, "durability": {"copies": 1, "zones": 1}}
        | {"cloneFrom": {"cluster": source.name, "type": kind}}
    )
    made.wait_condition("Available", "True", timeout=_GIVEN_UP)
    seconds = time.monotonic() - begun
    count = "SELECT count(*) FROM filler"
    here, there = (c.sql(c.leadership().instance, count, database="app") for c in (made, source))
    assert here == there, f"{here} rows in the clone, {there} in its source"
    origin = made.status["origin"]
    say(f"{seconds:.1f} s by {origin['method']}")
    made.delete()
    return {"mib": mib, "type": kind, "method": origin["method"], "seconds": round(seconds, 2)}


if __name__ == "__main__":
    sys.exit(main())
