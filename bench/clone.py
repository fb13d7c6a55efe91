"""How long a clone takes, by size: `python -m bench.clone [--sizes MIB,MIB] [--types copy-on-write,full-copy]`.

Makes a cluster of two instances in one zone of namespace `bench-clone`, fills it step by step, and at each size clones
it in each way while it is written to: from `kubectl apply` until the clone's writer is open. Each clone must hold all
of the filler, and of what was written meanwhile a beginning without a gap. The longest time between two commits in the
source is told too.
Progress goes to standard error; the last line of standard output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import Any

from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.kind import tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError, say, step

from aurora_operator.api.base import names
from bench import machine

NAMESPACE = "bench-clone"
TYPES = ("copy-on-write", "full-copy")
CHUNK_MIB = 256
_LAG = "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint FROM pg_stat_replication"
_GIVEN_UP = 1800.0  # seconds
_WARM_SECONDS = 3.0


def main() -> int:
    """Measure, and print the figures. 1 when a clone did not come, or was not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m bench.clone", description="How long a clone takes, by size.")
    parser.add_argument("--sizes", default="1024,8192", help="sizes of the data in MiB (1024,8192)")
    parser.add_argument("--types", default=",".join(TYPES), help=f"which ways, of {','.join(TYPES)} (all)")
    arguments = parser.parse_args()
    sizes = sorted(int(word) for word in arguments.sizes.split(","))
    tools.use("kubectl")
    require_own_context()
    result: dict[str, Any] = {"benchmark": "clone", "machine": machine.describe(), "clones": []}
    source = AuroraCluster("source", NAMESPACE)
    storage: dict[str, Any] = {
        "size": f"{max(sizes) // 1024 * 3 // 2 + 6}Gi",
        "volumeRetention": {"whenDeleted": "Delete"},
    }
    # Filling fast would make volumes grow beyond what the test cluster's driver has.
    storage["autoscaling"] = {"enabled": False}
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
            source.sql(writer, "CREATE TABLE busy (i serial, at timestamptz, t text)", database="app")
            source.sql(writer, "CREATE TABLE stop (i int)", database="app")
        for size in sizes:
            with step(f"{size} MiB of data"):
                _fill(source, size)
            for kind in arguments.types.split(","):
                with step(f"clone of {size} MiB, {kind}"):
                    result["clones"].append(_clone(source, spec, kind, size))
    except (AssertionError, HarnessError, KeyboardInterrupt) as error:
        # What was measured before is worth something.
        result["error"] = str(error) or "broken off"
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
        source.sql(writer, insert, database="app", timeout=600)
        # Else the writer's volume fills with the WAL that the reader has not come to.
        kube.until("the reader has caught up", lambda: int(source.sql(writer, _LAG)) < CHUNK_MIB << 20, timeout=600)
    source.sql(writer, "CHECKPOINT", timeout=600)
    source.wait_ready(120)


class _Writing:
    """The source is written to: 20 rows of a KiB a commit, some 50 commits a second, until the block ends."""

    _WORK = """DO $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM stop) LOOP
            INSERT INTO busy (at, t) SELECT clock_timestamp(), repeat(md5(g::text), 31) FROM generate_series(1, 20) g;
            COMMIT;
            PERFORM pg_sleep(0.02);
        END LOOP;
    END $$"""

    def __init__(self, source: AuroraCluster) -> None:
        self._source = source
        self._writer = source.leadership().instance
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> _Writing:
        self._source.sql(self._writer, "TRUNCATE stop, busy RESTART IDENTITY", database="app")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._source.sql(self._writer, "INSERT INTO stop VALUES (1)", database="app")
        self._thread.join(60)

    def _run(self) -> None:
        words = ["psql", "-h", names.RUN_DIR, "-U", "postgres", "-d", "app", "-XAt", "-v", "ON_ERROR_STOP=1"]
        pod = names.pod_name(self._writer)
        try:
            kube.execute(NAMESPACE, pod, names.CONTAINER, *words, "-c", self._WORK, timeout=_GIVEN_UP)
        except (AssertionError, HarnessError) as error:
            self._error = error

    def figures(self) -> dict[str, float]:
        """Commits a second, and the longest time between two. Raises AssertionError when the writing broke off."""
        assert self._error is None, f"the source could not be written to all the time: {self._error}"
        query = (
            "SELECT count(*) / extract(epoch FROM max(at) - min(at)), extract(epoch FROM max(gap)) FROM "
            "(SELECT min(at) AS at, min(at) - lag(min(at)) OVER (ORDER BY min(at)) AS gap FROM busy GROUP BY xmin) c"
        )
        rate, pause = self._source.sql(self._writer, query, database="app").split("|")
        return {"source_commits_per_second": round(float(rate), 1), "source_pause_seconds": round(float(pause), 2)}


def _clone(source: AuroraCluster, spec: dict[str, Any], kind: str, mib: int) -> dict[str, Any]:
    made = AuroraCluster("clone", NAMESPACE)
    with _Writing(source) as writing:
        time.sleep(_WARM_SECONDS)
        begun = time.monotonic()
        made.create(
            spec
            | {"instances": 1, "durability": {"copies": 1, "zones": 1}}
            | {"cloneFrom": {"cluster": source.name, "type": kind}}
        )
        made.wait_condition("Available", "True", timeout=_GIVEN_UP)
        seconds = time.monotonic() - begun
        time.sleep(_WARM_SECONDS)
    figures = writing.figures()
    count = "SELECT count(*) FROM filler"
    here, there = (c.sql(c.leadership().instance, count, database="app", timeout=600) for c in (made, source))
    assert here == there, f"{here} rows in the clone, {there} in its source"
    whole = "SELECT count(*) = max(i) AND count(*) > 0 FROM busy"
    assert made.sql(made.leadership().instance, whole, database="app") == "t", "rows are missing in the middle"
    origin = made.status["origin"]
    say(f"{seconds:.1f} s by {origin['method']}")
    made.delete()
    return {"mib": mib, "type": kind, "method": origin["method"], "seconds": round(seconds, 2), **figures}


if __name__ == "__main__":
    sys.exit(main())
