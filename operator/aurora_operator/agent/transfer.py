"""`python -m aurora_operator.agent.transfer export|import`: the process of a transfer's Job.

It knows the cluster from the mounted connection Secret, and prints how far it is, a line at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from aurora_operator.api import names
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.transfer import Server, export_database, import_database

QUIET_SECONDS = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Do it; 1 and a sentence when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m aurora_operator.agent.transfer")
    parser.add_argument("verb", choices=("export", "import"))
    parser.add_argument("--database", required=True)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options.verb, options.host, options.database, options.path, options.jobs))
    except (PostgresError, OSError) as error:
        print(f"{options.verb} of {options.database} failed: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


async def _run(verb: str, host: str, database: str, path: Path, jobs: int) -> None:
    folder = Path(names.APP_MOUNT)
    server = Server(host, (folder / "username").read_text(), (folder / "password").read_text(), folder / "ca.crt")
    started = said = time.monotonic()

    def progress(done: int, total: int, table: str) -> None:
        nonlocal said
        if done == total or time.monotonic() - said >= QUIET_SECONDS:
            said = time.monotonic()
            print(f"{done} of {total} tables in {said - started:.0f} s; the last one: {table}", flush=True)

    print(f"{verb} of database {database} by {host}, {path}", flush=True)
    work = export_database if verb == "export" else import_database
    await work(Tools(), server, database, path, jobs=jobs, on_progress=progress)
    print(f"complete after {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
