"""More of test_serverless.py: too long for every run. `make serverless` runs it; pytest finds this file by its name
only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.e2e import objectstore
from tests.e2e.aurora import RESOURCE, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.test_serverless import wait_paused
from tests.kind.context import kubectl

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
    """Its first backup cannot be taken while it is awake. Hours are not waited for, but written into its status."""
    cluster = AuroraCluster("demo", store)
    cluster.create(SPEC | {"backup": {"destination": objectstore.destination(store)}})
    until("it stays awake for it", lambda: (cluster.status.get("backup") or {}).get("wokenAt"), timeout=120)
    assert cluster.status["phase"] == "Ready"
    _woken_before(cluster, timedelta(minutes=5))
    wait_paused(cluster)
    objectstore.publish(store)
    assert not cluster.events("Resuming"), "it was woken less than an hour ago"
    _woken_before(cluster, timedelta(hours=2))
    begun = time.monotonic()

    def kinds() -> list[str]:
        return [b["type"] for b in cluster.status["backup"].get("backups") or ()]

    until("the backup is there", lambda: kinds() == ["full"], timeout=90)
    measure("serverless: seconds from a backup being due at zero to its end", time.monotonic() - begun)
    (event,) = cluster.events("Resuming")
    assert "A backup (full) is due." in (event.get("message") or event.get("note", ""))
    # Nobody uses it, and now nothing is due.
    wait_paused(cluster)
    assert len(cluster.events("Resuming")) == 1


def _woken_before(cluster: AuroraCluster, ago: timedelta) -> None:
    at = (datetime.now(UTC) - ago).isoformat(timespec="seconds")
    _change_status(cluster, {"backup": {"wokenAt": at}})


def _change_status(cluster: AuroraCluster, change: dict[str, Any]) -> None:
    patch = json.dumps({"status": change})
    words = ["patch", RESOURCE, cluster.name, "--subresource=status", "--type=merge", f"--patch={patch}"]
    kubectl("--namespace", cluster.namespace, *words, timeout=30)
