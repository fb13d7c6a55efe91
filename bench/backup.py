"""What backups cost and what they save: `python -m bench.backup [--sizes MIB,MIB] [--trials N]`.

Runs PostgreSQL, pgBackRest and an S3 server (versitygw, TLS, encrypted) as processes of this machine, as the
integration tests do: no Kubernetes. At each size it takes a full and an incremental backup and a snapshot, restores,
and compares the writes of two clients while a backup runs with those while none does. At random moments it takes
everything away but the S3 server, and restores, to see how many seconds of acknowledged writes are gone. Progress goes
to standard error; the last line of standard output is one JSON document. How long clones take, `bench.clone` measures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from tests.integration import binaries, pgbackrest
from tests.integration.backup.database import Database, archived, beside, ids
from tests.integration.certificates import Authority
from tests.integration.copies import Cluster, Copy, server_user
from tests.integration.objects import ObjectStore
from tests.integration.stores.store import serving

from aurora_operator.postgres.backup.archiver import Archiver
from aurora_operator.postgres.backup.snapshot import keep
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server.initdb import initdb
from aurora_operator.postgres.tools import Tools
from bench import machine

EPOCH = 34
RECOVERY_POINT_SECONDS = 2.0
"""As `spec.backup.recoveryPointSeconds` is by default."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make_root(tools: Tools) -> Path:
    """A folder on the disk, which PostgreSQL's user may enter."""
    root = Path(tempfile.mkdtemp(prefix="aurora-bench-"))
    root.chmod(0o755)
    if tools.user is not None:
        shutil.chown(root, tools.user, tools.user)
    return root


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[Database]:
    """A new one, with a store of its own; gone afterwards."""
    tools = Tools(binaries.find(), user=server_user())
    root = make_root(tools)
    network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
    authority = Authority.make()
    try:
        template = Layout(data=root)
        await initdb(tools, template)
        store = ObjectStore(root / "s3", authority)
        with serving(store):
            cluster = Cluster(tools, root, authority, template.pgdata, network, await tools.major())
            async with cluster.closing() as made:
                yield Database(made, store, pgbackrest.find())
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def timed(what: str, doing: Awaitable[Any]) -> float:
    started = time.monotonic()
    await doing
    seconds = round(time.monotonic() - started, 2)
    say(f"  {what}: {seconds} s")
    return seconds


async def fill(copy: Copy, mib: int) -> None:
    """Text that compresses about as well as people's data."""
    rows = mib * 1024 * 1024 // 232
    await copy.session.rows("CREATE TABLE IF NOT EXISTS public.filler (i int, a text, b text)")
    await copy.session.rows(
        "INSERT INTO public.filler SELECT i, md5(i::text) || md5((i / 7)::text), repeat(md5((i / 50)::text), 4) "
        "FROM generate_series(1, %s) i",
        [rows],
        timeout=1800,
    )


async def clients(copy: Copy, stop: asyncio.Event, counts: list[int]) -> None:
    async def one() -> None:
        connection = await psycopg.AsyncConnection.connect(
            host=str(copy.layout.run), user="postgres", dbname="postgres", autocommit=True
        )
        async with connection:
            while not stop.is_set():
                await connection.execute("INSERT INTO public.t (id) VALUES (nextval('public.s'))")
                counts[0] += 1

    await asyncio.gather(one(), one())


async def writes(copy: Copy, during: Awaitable[Any]) -> float:
    """Commits a second of two clients while something goes on."""
    stop, counts, started = asyncio.Event(), [0], time.monotonic()
    work = asyncio.create_task(clients(copy, stop, counts))
    await during
    seconds = time.monotonic() - started
    stop.set()
    await work
    return round(counts[0] / seconds, 1)


async def keep_storing(archiver: Archiver) -> None:
    while True:
        started = time.monotonic()
        await archiver.store(datetime.now(UTC))
        await archiver.tidy(await archiver.state())
        await asyncio.sleep(max(RECOVERY_POINT_SECONDS - (time.monotonic() - started), 0))


async def by_size(size: int) -> dict[str, Any]:
    say(f"{size} MiB")
    async with database() as base:
        leader = await base.leader(EPOCH)
        await leader.session.rows("CREATE SEQUENCE public.s")
        archiver = await base.archiving(leader, EPOCH)
        await fill(leader, size)
        await archived(archiver, 600)
        quiet = await writes(leader, asyncio.sleep(5))
        result: dict[str, Any] = {"mib": size, "writes_per_second": quiet}
        started = time.monotonic()
        result["writes_per_second_during_backup"] = await writes(leader, archiver.pgbackrest.backup("full"))
        result["full_seconds"] = round(time.monotonic() - started, 2)
        say(f"  full, while two clients write: {result['full_seconds']} s")
        await leader.session.rows("UPDATE public.filler SET b = a WHERE mod(i, 500) = 0", timeout=600)
        result["incremental_seconds"] = await timed("incremental", archiver.pgbackrest.backup("incr"))
        full, incremental = (await archiver.pgbackrest.info()).backups
        result |= {"full_stored_bytes": full.stored, "incremental_stored_bytes": incremental.stored}
        await archiver.store(datetime.now(UTC))
        result["snapshot_seconds"] = await timed(
            "snapshot", keep(archiver.pgbackrest, beside(base, leader), leader.layout.data / "snapshot")
        )
        result["restore_seconds"] = await timed("restore, until it is open", base.restore())
        return result


async def lost(trial: int) -> float:
    """Seconds of acknowledged writes that are gone when all copies vanish at a random moment."""
    async with database() as base:
        leader = await base.leader(EPOCH)
        archiver = await base.archiving(leader, EPOCH)
        await archiver.pgbackrest.backup("full")
        storing = asyncio.create_task(keep_storing(archiver))
        acknowledged: dict[int, float] = {}
        end, number = time.monotonic() + 6 + random.random() * 4, 0
        while time.monotonic() < end:
            number += 1
            await leader.session.rows("INSERT INTO public.t (id) VALUES (%s)", [number])
            acknowledged[number] = time.monotonic()
        await leader.server.stop("immediate", 3)
        gone = time.monotonic()
        storing.cancel()
        await asyncio.gather(storing, return_exceptions=True)
        copy, _ = await base.restore()
        kept = await ids(copy)
        missing = [at for i, at in acknowledged.items() if i > max(kept, default=0)]
        if kept != sorted(range(1, len(kept) + 1)):
            raise AssertionError("rows are missing in the middle")
        seconds = round(gone - min(missing), 2) if missing else 0.0
        say(f"trial {trial}: {len(kept)} of {number} rows, {seconds} s lost")
        return seconds


async def measure(sizes: list[int], trials: int) -> dict[str, Any]:
    losses = [await lost(number) for number in range(1, trials + 1)]
    return {
        "benchmark": "backup",
        "machine": machine.describe(),
        "recovery_point_seconds": RECOVERY_POINT_SECONDS,
        "seconds_lost": losses,
        "sizes": [await by_size(size) for size in sizes],
    }


def main() -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.backup", description="What backups cost and save.")
    parser.add_argument("--sizes", default="1024,8192", help="sizes of the data in MiB (1024,8192)")
    parser.add_argument("--trials", type=int, default=5, help="how often everything is lost (5)")
    given = parser.parse_args()
    result = asyncio.run(measure([int(word) for word in given.sizes.split(",")], given.trials))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
