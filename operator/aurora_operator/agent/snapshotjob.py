"""`python -m aurora_operator.agent.snapshotjob copy|remove`: the process of the Jobs of AuroraSnapshots.

Repositories come as JSON in the environment, their Secrets as files. It prints how far it is; what it could not do, it
leaves as the container's message.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from aurora_operator.agent.backup.repository import repository_in_job
from aurora_operator.api.base import names
from aurora_operator.postgres.backup import repository_copy
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.tools import Tools

MESSAGE = Path("/dev/termination-log")
QUIET_SECONDS = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Do it; 1 and a sentence when it cannot be done."""
    (verb,) = sys.argv[1:] if arguments is None else arguments
    try:
        asyncio.run({"copy": _copy, "remove": _remove}[verb]())
    except (PostgresError, OSError) as error:
        print(error, file=sys.stderr, flush=True)
        MESSAGE.write_text(str(error)[:1000])
        return 1
    return 0


async def _copy() -> None:
    source, target = (
        repository_in_job(Tools(), names.ENV_SOURCE, names.RESTORE_MOUNT),
        repository_in_job(Tools(), names.ENV_TARGET, names.BACKUP_MOUNT),
    )
    started = said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if done == total or time.monotonic() - said >= QUIET_SECONDS:
            said = time.monotonic()
            print(f"{done} of {total} bytes in {said - started:.0f} s", flush=True)

    kept = await repository_copy.copy(source, target, on_progress=progress)
    print(f"{kept.label} is complete after {time.monotonic() - started:.1f} s", flush=True)


async def _remove() -> None:
    await repository_copy.remove(repository_in_job(Tools(), names.ENV_TARGET, names.BACKUP_MOUNT))
    print("removed", flush=True)


if __name__ == "__main__":
    sys.exit(main())
