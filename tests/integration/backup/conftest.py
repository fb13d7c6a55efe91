from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.integration import pgbackrest
from tests.integration.backup.database import Database
from tests.integration.certificates import Authority
from tests.integration.copies import Cluster
from tests.integration.objects import ObjectStore
from tests.integration.stores.store import serving


@pytest.fixture(scope="session")
def program() -> str:
    """pgBackRest; an error, never a skip, where there is none."""
    return pgbackrest.find()


@pytest.fixture
def store(tmp_path: Path, authority: Authority) -> Iterator[ObjectStore]:
    served = ObjectStore(tmp_path / "s3", authority)
    with serving(served):
        yield served


@pytest.fixture
async def database(cluster: Cluster, store: ObjectStore, program: str) -> AsyncIterator[Database]:
    made = Database(cluster, store, program)
    try:
        yield made
    finally:
        for server in made.servers:
            await server.stop()
