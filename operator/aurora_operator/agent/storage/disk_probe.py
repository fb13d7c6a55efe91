"""Notices a volume that does not answer: no error, no end. A writer on one would lead on, and commit nothing.

PostgreSQL's processes hang in the kernel then, where no signal reaches them, and what is cached still answers
`SELECT 1`. So the volume itself is asked, from a thread that may hang as well.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from aurora_operator.agent.member.instance import Instance
from aurora_operator.consensus.state import PROMOTED
from aurora_operator.postgres.running_time import ran
from aurora_operator.postgres.server.ailments import SENTENCES, of_error

log = logging.getLogger(__name__)

PERIOD_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 15.0
"""Slow volumes answer later than one would think: under a checkpoint, or throttled by their provider."""
EXIT_SECONDS: Final = 6.0
"""What PostgreSQL has to end in once it was told to: then the agent ends, and with it all that is in its container."""
EXIT_CODE: Final = 74

Verdict = Literal["well", "ill", "resign", "exit"]


def judge(silent: float, *, leads: bool, others: bool) -> Verdict:
    """What to do about a volume that has been silent for so many seconds. Pure.

    `leads`: the writer is here; `others`: somebody else might lead. Another writer takes over within 30 seconds: after
    these two times and a lease.
    """
    if silent < SILENT_SECONDS:
        return "well"
    if not (leads and others):
        return "ill"
    return "resign" if silent < SILENT_SECONDS + EXIT_SECONDS else "exit"


class DiskProbe:
    """Runs for the whole life of an instance's agent."""

    def __init__(
        self,
        copy: Instance,
        stop: Callable[[], None],
        *,
        write: Callable[[Path], None] | None = None,
        end: Callable[[int], object] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stop` stops PostgreSQL at once; `write` writes durably to a file or raises OSError; `end` ends the agent;
        `clock` is monotonic."""
        self._copy = copy
        self._stop = stop
        self._write = write or write_durably
        self._end = end
        self._clock = clock
        self._answers = 0
        self._failed: OSError | None = None
        self._told = False

    async def run(self) -> None:
        """Until cancelled."""
        over = threading.Event()
        # A daemon: what hangs in the kernel must not keep the agent from ending.
        threading.Thread(target=self._ask, args=(over,), name="disk-probe", daemon=True).start()
        silent, heard, looked = 0.0, 0, self._clock()
        try:
            while True:
                await asyncio.sleep(PERIOD_SECONDS)
                # On a node that was paused the volume was asked nothing.
                before, looked = looked, self._clock()
                silent = silent + ran(looked - before, PERIOD_SECONDS) if self._answers == heard else 0.0
                heard = self._answers
                self._act(silent)
        finally:
            over.set()

    def _ask(self, over: threading.Event) -> None:
        path = self._copy.layout.state / "probe"
        while not over.is_set():
            try:
                self._write(path)
            except OSError as error:
                # A volume that is full answers.
                self._failed = error if of_error(error) == "disk" else None
            else:
                self._failed = None
            if self._failed is None:
                self._answers += 1
            over.wait(PERIOD_SECONDS)

    def _act(self, silent: float) -> None:
        copy = self._copy
        state = copy.driver.state
        verdict = judge(silent, leads=state.role in PROMOTED, others=len(state.durable.config.voters) > 1)
        if verdict == "well":
            if self._told:
                log.warning("the volume answers again")
                self._told = False
                if copy.ailment == "disk":
                    copy.ailment = None
            return
        why = self._failed.strerror if self._failed is not None else f"it has not answered for {silent:.0f} s"
        copy.ailment = "disk"
        copy.say("Failed", f"{SENTENCES['disk']} ({why})")
        if verdict == "exit":
            log.critical("PostgreSQL cannot be stopped on a volume that does not answer: ending, so that others lead")
            self._end(EXIT_CODE)
        elif verdict == "resign" and not self._told:
            log.error("the volume does not answer (%s): stopping PostgreSQL, so that another copy leads", why)
            self._stop()
        self._told = True


def write_durably(path: Path) -> None:
    """Write a page in place, and wait until the volume has it. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_DSYNC, 0o600)
    try:
        os.pwrite(fd, os.urandom(4096), 0)
    finally:
        os.close(fd)
