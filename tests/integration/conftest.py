from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.integration import binaries
from tests.integration.certificates import Authority
from tests.integration.copies import Cluster, server_user

from aurora_operator.postgres import disk
from aurora_operator.postgres.config.parameters import GIB
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server.initdb import initdb
from aurora_operator.postgres.tools import Tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The programs of PostgreSQL; an error, never a skip, where there are none."""
    return Tools(binaries.find(), user=server_user())


@pytest.fixture(scope="session")
def major(tools: Tools) -> int:
    return asyncio.run(tools.major())


@pytest.fixture(scope="session")
def door(tools: Tools) -> Path:
    """The library of a copy's door, built for these programs."""
    return binaries.door(tools.bin_dir)


@pytest.fixture
def root(tools: Tools) -> Iterator[Path]:
    """A directory of the server's user, with a path short enough for a socket."""
    yield from _directory(tools)


def _directory(tools: Tools) -> Iterator[Path]:
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and disk.usage(memory).free > 2 * GIB
    path = Path(tempfile.mkdtemp(prefix="aurora-", dir=memory if roomy else None))
    if tools.user is not None:
        shutil.chown(path, tools.user, tools.user)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture(scope="session")
def template(tools: Tools) -> Iterator[Path]:
    """A data directory that initdb made; tests copy it."""
    for path in _directory(tools):
        layout = Layout(data=path)
        asyncio.run(initdb(tools, layout))
        yield layout.pgdata


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture
async def cluster(tools: Tools, root: Path, template: Path, authority: Authority, major: int) -> AsyncIterator[Cluster]:
    """Copies with addresses that nobody else on this host is likely to use at the same time."""
    network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
    async with Cluster(tools, root, authority, template, network, major).closing() as made:
        yield made


_MEASURED: dict[str, float] = {}


@pytest.fixture
def measured() -> Callable[[str, float], None]:
    """Takes a duration in seconds, to be shown at the end."""
    return _MEASURED.__setitem__


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, seconds in sorted(_MEASURED.items()):
        terminalreporter.write_line(f"{name}: {seconds * 1000:.0f} ms")
