"""More of test_serverless.py: too long for every run. `make serverless` runs it; pytest finds this file by its name
only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e import objectstore
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.test_serverless import copies, wait_paused

pytestmark = pytest.mark.alone

SPEC = {
    "instances": 1,
    "durability": {"copies": 1},
    "instanceClass": "db.serverless",
    "serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 1},
    "storage": {"size": "1Gi"},
    "skipFinalSnapshot": True,
}


@pytest.fixture
def store(namespace: str) -> Iterator[str]:
    """The namespace, with an S3 server in it that nobody can reach."""
    objectstore.start(namespace)
    objectstore.publish(namespace, reachable=False)
    yield namespace


def test_a_due_backup_wakes_it(store: str, impatient: None, measure: Measure) -> None:
    """Its first backup fails for as long as it is awake: it is due when the cluster has paused."""
    cluster = AuroraCluster("demo", store)
    cluster.create(SPEC | {"backup": {"destination": objectstore.destination(store)}})
    until("it is about to pause", lambda: cluster.status.get("phase") in ("Stopping", "Paused"), timeout=240, every=0.2)
    objectstore.publish(store)
    woken = until("it is woken", lambda: (cluster.status.get("backup") or {}).get("wokenAt"), timeout=60, every=0.2)
    (event,) = cluster.events("Resuming")
    assert "A backup (full) is due." in event["message"]

    def kinds() -> list[str]:
        return [b["type"] for b in cluster.status["backup"].get("backups") or ()]

    until("the backup is there", lambda: kinds() == ["full"], timeout=90)
    # Nobody uses it, and now nothing is due.
    wait_paused(cluster)
    assert cluster.status["backup"]["wokenAt"] == woken
    assert len(cluster.events("Resuming")) == 1 and copies(cluster) == []
