from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from tests.integration import pgbackrest
from tests.integration.backup.database import Database
from tests.integration.certificates import Authority
from tests.integration.copies import Cluster, give
from tests.integration.objects import ObjectStore
from tests.integration.stores.store import serving

from aurora_operator.postgres.files import make_directory, remove_tree
from aurora_operator.postgres.tools import Tools

Databases = Callable[[], AbstractAsyncContextManager[Database]]


@pytest.fixture
def databases(
    tools: Tools, root: Path, template: Path, authority: Authority, major: int, tmp_path: Path
) -> Iterator[Databases]:
    """Makes one after the other, with a destination for backups; nothing is left of the one before."""
    program = pgbackrest.find()
    count = 0

    @contextlib.asynccontextmanager
    async def make() -> AsyncIterator[Database]:
        nonlocal count
        count += 1
        place = root / str(count)
        make_directory(place)
        give(tools, place)
        store = ObjectStore(tmp_path / f"s3-{count}", authority)
        network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        with serving(store):
            async with Cluster(tools, place, authority, template, network, major).closing() as cluster:
                database = Database(cluster, store, program)
                try:
                    yield database
                finally:
                    for server in database.servers:
                        await server.stop()
        remove_tree(place)

    yield make
