"""Files of a repository as streams: they need not fit into memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.pgbackrest.cipher import Decryptor
from aurora_operator.postgres.pgbackrest.commands import PgBackRest, explain

FILE_SECONDS: Final = 24 * 3600.0
_AT_A_TIME: Final = 1 << 20


async def put(repository: PgBackRest, path: str, content: AsyncIterator[bytes]) -> None:
    """Store a file, encrypted as everything else is; nothing, where `content` raises. Raises RepositoryError."""
    async with _in_time(), started(repository, "repo-put", path, stdin=asyncio.subprocess.PIPE) as process:
        said = asyncio.create_task(process.stderr.read())
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it says itself why it has ended
                async for chunk in content:
                    process.stdin.write(chunk)
                    await process.stdin.drain()
                process.stdin.close()
            await _end(process, said)
        finally:
            said.cancel()


async def get(repository: PgBackRest, path: str) -> AsyncGenerator[bytes]:
    """A file that `put` stored, to be closed if it is not read to its end. Raises RepositoryError."""
    passphrase = repository.access.passphrase
    decryptor = None if passphrase is None else Decryptor(passphrase)
    async with started(repository, "repo-get", "--raw", path, stdout=asyncio.subprocess.PIPE) as process:
        said = asyncio.create_task(process.stderr.read())
        try:
            while chunk := await process.stdout.read(_AT_A_TIME):
                yield chunk if decryptor is None else decryptor.update(chunk)
            await _end(process, said)
        finally:
            said.cancel()
    if decryptor is not None:
        yield decryptor.finish()


@contextlib.asynccontextmanager
async def started(repository: PgBackRest, *command: str, **streams: Any) -> AsyncIterator[Any]:
    """pgBackRest with one of its `repo-` commands, killed if it goes on when whoever uses it does not."""
    program, *args = repository.words(*command)
    process = await asyncio.create_subprocess_exec(
        repository.tools.path(program),
        *(arg for arg in args if not arg.startswith("--stanza=")),
        **{"stdin": asyncio.subprocess.DEVNULL, "stdout": asyncio.subprocess.DEVNULL, **streams},
        stderr=asyncio.subprocess.PIPE,
        limit=2 * _AT_A_TIME,
        cwd="/",
        start_new_session=True,
        **repository.tools.process_options(),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _end(process: Any, said: asyncio.Task[bytes]) -> None:
    text = (await said).decode(errors="replace")
    code = await process.wait()
    if code != 0:
        raise explain(text, code)


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(FILE_SECONDS):
            yield
    except TimeoutError as error:
        raise RepositoryError("unreachable", "the destination does not take a file in time") from error
