"""What age costs: `python -m bench.aged [--leaderships 10000] [--failed 100000] [--times 20]`.

Runs PostgreSQL as a process of this machine, with the history files of so many leaderships, as every leader used to
leave them (of the ancestors' own, the newest 200: all would be gigabytes). It promises, is promoted and starts: young,
aged as it is found, and when the files are gone that nobody needs: young and then each as often as `--times` says, of
which the median and the 99th percentile are told. Then it is promoted over as many numbers as failed elections may have
taken. Progress goes to standard error; standard output is one line of JSON, times in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.integration import binaries
from tests.integration.aging import STRIDE, age_by_promotion, tidy_all
from tests.integration.certificates import Authority
from tests.integration.copies import Cluster, Copy, server_user
from tests.integration.rows import first_of

from aurora_operator.postgres.config.conf import Runtime
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server.initdb import initdb
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal import pg_wal

REAL = 200


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def lead(copy: Copy, epoch: int) -> dict[str, float]:
    """Stop, start as a standby, promise, be promoted: how long each took."""
    await copy.session.rows("CHECKPOINT")
    await copy.session.close()
    await copy.server.stop("fast", 60)
    copy.configure(Runtime(sync=(0, ())))
    start = time.monotonic()
    await pg_wal.clean_future_histories(copy.tools, copy.layout.pgdata)
    await copy.start()
    started = time.monotonic()
    await copy.standby.stop_receiving()
    promised = time.monotonic()
    await copy.standby.promote(epoch, 120)
    done = time.monotonic()
    times = {"start": started - start, "promise": promised - started, "promote": done - promised}
    return {what: round(seconds, 3) for what, seconds in times.items()}


async def lead_often(copy: Copy, epoch: int, times: int) -> tuple[int, dict[str, dict[str, float]]]:
    """One leadership after another from `epoch` on; the newest epoch, and median and 99th percentile of each time."""
    seen = [await lead(copy, epoch + STRIDE * number) for number in range(times)]
    told = {
        what: {"p50": round(statistics.median(values), 3), "p99": round(percentile(values, 99), 3)}
        for what in seen[0]
        if (values := [each[what] for each in seen])
    }
    return epoch + STRIDE * (times - 1), told


def percentile(values: list[float], percent: int) -> float:
    """The least of these values that so many of them do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def files(copy: Copy) -> dict[str, Any]:
    """How many files there are in pg_wal, and how large the histories."""
    histories = [path.stat().st_size for path in copy.layout.wal.glob("*.history")]
    return {"histories": len(histories), "bytes": sum(histories)}


async def measure(copy: Copy, leaderships: int, failed: int, times: int) -> dict[str, Any]:
    found: dict[str, Any] = {"leaderships": leaderships, "times": times}
    epoch, seen = await lead_often(copy, 34, times)
    found["young"] = {**seen, **files(copy)}
    say(f"young: {found['young']}")
    base = epoch + STRIDE * leaderships
    await lead(copy, base)
    history = await age_by_promotion(copy, base, REAL)
    epoch = history.timeline + STRIDE
    found["aged"] = {**files(copy), **await lead(copy, epoch)}
    say(f"aged: {found['aged']}")
    await copy.session.rows("CHECKPOINT")
    begun = time.monotonic()
    removed = await tidy_all(copy, epoch)
    found["tidy"] = {"removed": removed, "seconds": round(time.monotonic() - begun, 3)}
    epoch, seen = await lead_often(copy, epoch + STRIDE, times)
    found["tidied"] = {**seen, **files(copy), "history_bytes": history_bytes(copy, epoch)}
    say(f"tidied: {found['tidied']}")
    if failed:
        found["failed"] = {"numbers": failed, **await lead(copy, epoch + failed)}
        await copy.session.rows("CHECKPOINT")
        found["failed"] |= {"removed": await tidy_all(copy, epoch + failed), **files(copy)}
    return found


def history_bytes(copy: Copy, timeline: int) -> int:
    return (copy.layout.wal / f"{timeline:08X}.history").stat().st_size


async def run(leaderships: int, failed: int, times: int) -> dict[str, Any]:
    tools = Tools(binaries.find(), user=server_user())
    root = Path(tempfile.mkdtemp(prefix="aurora-bench-"))
    root.chmod(0o755)  # noqa: ASYNC240
    if tools.user is not None:
        shutil.chown(root, tools.user, tools.user)
    try:
        template = Layout(data=root / "template")
        template.data.mkdir()
        if tools.user is not None:
            shutil.chown(template.data, tools.user, tools.user)
        await initdb(tools, template)
        network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        cluster = Cluster(tools, root, Authority.make(), template.pgdata, network, await tools.major())
        async with cluster.closing():
            first = await first_of(cluster)
            return {
                "cpus": os.cpu_count(),
                "load_before": round(os.getloadavg()[0], 2),
                **await measure(first, leaderships, failed, times),
            }
    finally:
        shutil.rmtree(root)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.aged", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--leaderships", type=int, default=10_000)
    parser.add_argument("--failed", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=20)
    arguments = parser.parse_args()
    found = asyncio.run(run(arguments.leaderships, arguments.failed, arguments.times))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
