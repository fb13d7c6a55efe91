from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.copies import Cluster, Copy
from tests.integration.drivers.made import DATABASE, PASSWORD, USER, Made

from aurora_operator.postgres.sql import roles
from aurora_operator.postgres.tools import Tools


@pytest.fixture(scope="session")
def made() -> Made:
    return Made.make()


@pytest.fixture
async def server(tools: Tools, root: Path, template: Path, made: Made, major: int) -> AsyncIterator[Copy]:
    """A writer with the certificate that the operator makes, and the user and database of the Secret."""
    network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
    async with Cluster(tools, root, made, template, network, major).closing() as cluster:
        copy = cluster.first()
        await copy.start()
        await roles.ensure_roles(copy.session, master=USER, password=PASSWORD, database=DATABASE)
        yield copy
