"""Running PostgreSQL's programs: never through a shell, always with a time limit, cancellable."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aurora_operator.postgres.errors import ToolError

_TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the programs are, and as whom they run.

    `user` is for tests that run as root, which PostgreSQL refuses; the agent leaves it None.
    """

    bin_dir: Path = Path("/usr/lib/postgresql/17/bin")
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Path of a program."""
        return str(self.bin_dir / name)

    def process_options(self, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Arguments for `asyncio.create_subprocess_exec`, besides the program's own."""
        # libpq reads many PG* variables: nothing of our own surroundings may change what a tool does.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        options: dict[str, Any] = {"env": {**clean, "LC_ALL": "C", "LC_MESSAGES": "C", **self.env, **(env or {})}}
        if self.user is not None:
            options |= {"user": self.user, "group": self.user, "extra_groups": []}
        return options

    async def run(
        self,
        name: str,
        *args: str | Path,
        timeout: float,  # noqa: ASYNC109 - it also has to kill the program
        on_line: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        """Run a program to its end; returns its standard output.

        `timeout` is in seconds. `on_line` gets each line (also those that end in a carriage return) of its standard
        error at once. Raises ToolError; the program is killed when it takes too long or the caller is cancelled.
        """
        output = await self.run_bytes(name, *args, timeout=timeout, on_line=on_line, env=env, cwd=cwd)
        return output.decode(errors="replace")

    async def run_bytes(
        self,
        name: str,
        *args: str | Path,
        timeout: float,  # noqa: ASYNC109
        on_line: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bytes | None = None,
    ) -> bytes:
        """The same for output that is no text, and for input."""
        process = await asyncio.create_subprocess_exec(
            self.path(name),
            *map(str, args),
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd or "/",
            start_new_session=True,
            **self.process_options(env),
        )
        assert process.stdout is not None and process.stderr is not None  # noqa: S101
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        try:
            async with asyncio.timeout(timeout):
                output, _, _ = await asyncio.gather(
                    process.stdout.read(), _lines(process.stderr, tail, on_line), _feed(process.stdin, stdin)
                )
                returncode = await process.wait()
        except TimeoutError:
            raise ToolError(name, None, "\n".join(tail)) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)
                await process.wait()
        if returncode != 0:
            raise ToolError(name, returncode, "\n".join(tail), output.decode(errors="replace"))
        return output

    async def version(self) -> str:
        """The server's version, such as `17.12`."""
        text = await self.run("postgres", "--version", timeout=10)
        match = re.search(r"\) (\d+(?:\.\d+|\w+)?)", text)
        if match is None:
            raise ToolError("postgres", 0, text)
        return match[1]

    async def major(self) -> int:
        """The server's major version, such as 17."""
        return int(re.split(r"\D", await self.version())[0])


async def _feed(stream: asyncio.StreamWriter | None, data: bytes | None) -> None:
    if stream is not None and data is not None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it says itself why it has ended
            stream.write(data)
            await stream.drain()
            stream.close()
            await stream.wait_closed()


async def _lines(stream: asyncio.StreamReader, tail: deque[str], on_line: Callable[[str], None] | None) -> None:
    rest = ""
    while chunk := await stream.read(65536):
        *lines, rest = re.split(r"[\r\n]+", rest + chunk.decode(errors="replace"))
        for line in filter(None, lines):
            tail.append(line)
            if on_line is not None:
                on_line(line)
    if rest:
        tail.append(rest)
        if on_line is not None:
            on_line(rest)
