"""The server process: started, watched and stopped as a direct child."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from aurora_operator.postgres.errors import CannotRewind, ServerError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server import log_line, processes
from aurora_operator.postgres.tools import Tools

StopMode = Literal["smart", "fast", "immediate"]
State = Literal["down", "starting", "standby", "ready", "stopping"]
"""As postmaster.pid tells: `standby` has started recovery and takes no sessions yet, `ready` takes them."""

_SIGNALS: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_STATUS_LINE: Final = 7
_POLL: Final = 0.01
_PIPE_BYTES: Final = 1024 * 1024
_TAIL_LINES: Final = 40
_LINE_CHARACTERS: Final = 1000


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


class Server:
    """One PostgreSQL server over one data directory. Not reusable across event loops."""

    def __init__(
        self,
        tools: Tools,
        layout: Layout,
        *,
        sink: Callable[[bytes], None] = _to_stdout,
        inherit_fds: Sequence[int] = (),
    ) -> None:
        """`sink` gets each line that the server writes; `inherit_fds` are open in it as long as it lives."""
        self._tools = tools
        self._layout = layout
        self._sink = sink
        self._inherit = tuple(inherit_fds)
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._own: deque[str] = deque(maxlen=_TAIL_LINES)
        self._configured = False

    @property
    def inherited(self) -> tuple[int, ...]:
        """What is open in it as long as it lives."""
        return self._inherit

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def alive(self) -> bool:
        """Whether the postmaster lives. Its backends may outlive it by a moment: `wait` waits for them too."""
        return self.pid is not None

    @property
    def returncode(self) -> int | None:
        """How the last postmaster ended; negative for a signal."""
        return None if self._process is None else self._process.returncode

    @property
    def last_words(self) -> tuple[str, ...]:
        """The newest lines of the server's log, oldest first; its own processes' last. For people, and as a hint."""
        return (*self._tail, *self._own)

    def complaint(self) -> str:
        """The newest FATAL or PANIC message of the server's own processes, or their newest line, for a status.

        No client's session is heard; but a name that holds a line's end can forge a line, so nobody may decide by it.
        """
        return log_line.complaint(self._own)

    async def start(self, *, leftovers_patience: float = 2, overrides: Mapping[str, str] | None = None) -> None:
        """Start the server and return at once; see `wait_ready`.

        First makes sure that nothing of an earlier life runs: waits `leftovers_patience` seconds, then kills.
        `overrides` are parameters for this life only. Raises ServerError, VolumeInUse, CannotRewind.
        """
        if self.alive:
            raise ServerError("PostgreSQL runs already")
        if self._layout.rewinding.exists():
            raise CannotRewind("a rewind of this copy broke off; it must be cloned again")
        await self._settle()
        pgdata = self._layout.pgdata
        await processes.wait_gone(pgdata, leftovers_patience)
        # Of another container's life: in this one its process id may be another process's or thread's, which
        # PostgreSQL would take for a running postmaster. The volume's lock and the line above have shown that none
        # runs.
        for stale in (pgdata / "postmaster.pid", *self._layout.run.glob(".s.PGSQL.*.lock")):
            stale.unlink(missing_ok=True)
        self._tail.clear()
        self._own.clear()
        self._configured = False
        args = [arg for name, value in (overrides or {}).items() for arg in ("-c", f"{name}={value}")]
        read_end, write_end = os.pipe()
        # A backend that logs must not wait for us when we are busy for a moment.
        with contextlib.suppress(OSError):
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._output = asyncio.create_task(self._pass_on(read_end), name="postgres-output")
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._tools.path("postgres"),
                "-D",
                str(pgdata),
                *args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                cwd=pgdata,
                start_new_session=True,
                pass_fds=self._inherit,
                **self._tools.process_options(),
            )
        except OSError as error:
            raise ServerError(f"cannot start PostgreSQL: {error}") from error
        finally:
            os.close(write_end)

    def state(self) -> State:
        """What the server is doing, without connecting to it: costs one small read."""
        if not self.alive:
            return "down"
        try:
            # Asked often: reading text takes three more system calls.
            lines = (self._layout.pgdata / "postmaster.pid").read_bytes().decode().splitlines()
        except OSError:
            return "starting"
        if not lines or lines[0].strip() != str(self.pid) or len(lines) <= _STATUS_LINE:
            return "starting"
        word = lines[_STATUS_LINE].strip()
        known: dict[str, State] = {"standby": "standby", "ready": "ready", "stopping": "stopping"}
        return known.get(word, "starting")

    async def wait_ready(self, timeout: float) -> None:  # noqa: ASYNC109
        """Wait until it takes sessions (as a standby: is consistent). Raises ServerError when it ends or is late."""
        deadline = time.monotonic() + timeout
        while (state := self.state()) != "ready":
            if state == "down":
                await self._settle()
                raise ServerError(f"PostgreSQL ended with {self.returncode} as it started: {self.complaint()}")
            if time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL does not take connections after {timeout:g} s; it is {state}")
            await asyncio.sleep(_POLL)

    def reload(self) -> None:
        """Have it read its files again. Raises ServerError when it does not run."""
        self._signal(signal.SIGHUP)

    async def stop(self, mode: StopMode, deadline: float) -> bool:
        """Stop it, harder as time passes; returns whether it stopped in the way that was asked for.

        `smart` waits for clients, `fast` ends their sessions and lets standbys receive everything, `immediate`
        does neither and leaves recovery to the next start. When `deadline` (seconds) is over: immediate; two
        seconds later SIGKILL for every process of it. No server process is left afterwards. Raises VolumeInUse.
        """
        if not self.alive:
            await self.wait()
            return True
        steps: list[tuple[signal.Signals, float]] = [(_SIGNALS[mode], deadline)]
        if mode != "immediate":
            steps.append((signal.SIGQUIT, 2))
        steps.append((signal.SIGKILL, 5))
        for index, (number, seconds) in enumerate(steps):
            if number is signal.SIGKILL:
                processes.send(processes.of_data_directory(self._layout.pgdata), number)
            with contextlib.suppress(ServerError):
                self._signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.wait()
                    return index == 0
        raise ServerError("PostgreSQL cannot be killed")

    async def wait(self) -> int:
        """Wait until the postmaster has ended and no process of it is left; returns how it ended."""
        if self._process is None:
            return 0
        await self._process.wait()
        # Whoever outlives the postmaster could still acknowledge a commit, and has nothing left to finish.
        await processes.wait_gone(self._layout.pgdata, patience=0.02)
        await self._settle()
        return self._process.returncode or 0

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            raise ServerError("PostgreSQL does not run")
        try:
            os.kill(pid, number)
        except ProcessLookupError as error:
            raise ServerError("PostgreSQL does not run") from error

    async def _settle(self) -> None:
        """Take in what an ended server said last."""
        output = self._output
        if output is not None and not self.alive:
            # An orphan (a user's archive command, say) may hold the pipe open: do not wait for it for long. Several
            # tasks may wait here at once, and the server may have been started again when they are done.
            await asyncio.wait({output}, timeout=1)
            output.cancel()
            if self._output is output:
                self._output = None

    async def _pass_on(self, read_end: int) -> None:
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
        )
        try:
            rest = b""
            while chunk := await stream.read(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._pass_line(line)
                if len(rest) > _PIPE_BYTES:
                    self._pass_line(rest)
                    rest = b""
            if rest:
                self._pass_line(rest)
        finally:
            transport.close()

    def _pass_line(self, line: bytes) -> None:
        text = line.decode(errors="replace")[:_LINE_CHARACTERS]
        (self._own if log_line.is_own(text, configured=self._configured) else self._tail).append(text)
        self._configured |= log_line.kind(text) is not None
        self._sink(line + b"\n")
