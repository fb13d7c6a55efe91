"""`python -m aurora_operator.agent.rehearsal`: the process of a rehearsal's Job.

What it is to do is in its environment, what came of it in its termination message; its log shows how far it is. It
talks to nobody but the repository.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aurora_operator.agent.backup.repository import repository_of
from aurora_operator.agent.process.reaper import Reaper
from aurora_operator.api.agent.rehearsal import TASK_VARIABLE, RehearsalReport, RehearsalTask, Step
from aurora_operator.api.base import names
from aurora_operator.postgres import disk
from aurora_operator.postgres.config import parameters
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.restore.rehearsing import Rehearsal, rehearsal_choices
from aurora_operator.postgres.restore.restoring import Restore, restoring
from aurora_operator.postgres.tools import Tools

ANSWER: Final = Path("/dev/termination-log")
QUIET_SECONDS: Final = 5.0


def main() -> int:
    """Do it; 1 when something is wrong with what was restored, or it could not be."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    # The first process of a container ignores what it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    task = RehearsalTask.model_validate_json(os.environ[TASK_VARIABLE])
    report = asyncio.run(_run(task, os.environ))
    ANSWER.write_text(report.to_message())
    _say(report.error or "all is there")
    return 0 if report.step == "done" else 1


async def _run(task: RehearsalTask, environ: Mapping[str, str]) -> RehearsalReport:
    Reaper().install(asyncio.get_running_loop())
    cpu, memory = int(environ["AURORA_CPU_MILLIS"]), int(environ["AURORA_MEMORY_BYTES"])
    tools, layout = Tools(), Layout()
    sizes = parameters.Sizes(
        cpu_millis=cpu,
        memory=memory,
        smallest_memory=memory,
        volume=disk.usage(layout.data).size,
        major=await tools.major(),
    )

    def choices(minimums: Mapping[str, int]) -> tuple[parameters.Choice, ...]:
        return rehearsal_choices(parameters.merge(parameters.compute(sizes), {}, minimums), sizes.major)

    started = said = time.monotonic()

    def progress(step: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= QUIET_SECONDS:
            said = time.monotonic()
            _say(f"{step}: {done} of {total} bytes after {said - started:.0f} s")

    def on_step(step: Step) -> None:
        _say(f"{step} after {time.monotonic() - started:.1f} s")

    repository = repository_of(tools, restoring(layout), task.repository, names.RESTORE_MOUNT, cpu_millis=cpu)
    restore = Restore(tools=tools, layout=layout, pgbackrest=repository, choices=choices, on_progress=progress)
    workers = max(1, min(cpu // 1000, 8))
    return await Rehearsal(restore, task.database, task.query, workers, on_step).run()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
