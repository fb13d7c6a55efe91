from __future__ import annotations

import random
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
from tests.integration.agents.cluster import Cluster, making
from tests.integration.certificates import Authority

from aurora_operator.postgres.tools import Tools

SHOWN_BYTES = 20_000


@pytest.fixture
async def empty(tools: Tools, root: Path, authority: Authority, door: Path) -> AsyncIterator[Cluster]:
    """A cluster without copies, at addresses that nobody else on this host is likely to use at the same time."""
    network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
    async with making(tools, root, network, authority, door) as made:
        yield made


@pytest.fixture
async def three(empty: Cluster) -> Cluster:
    """A cluster of three instances that are all there."""
    for _ in range(3):
        empty.add()
    await empty.tell()
    await empty.start()
    await empty.ready()
    return empty


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test that failed: what its agents and their servers said."""
    report = yield
    made = getattr(item, "funcargs", {}).get("empty")
    if report.failed and isinstance(made, Cluster):
        for pod in made.pods.values():
            report.sections.append((f"log of {pod.name}", pod.said()[-SHOWN_BYTES:]))
    return report
