"""Rehearsals of a restore against a real S3 server: one that passes on its schedule, and one of a damaged backup."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.e2e import kube, objectstore
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.test_backup import BACKUP_HEALTHY, spec, stored

from aurora_operator.api.base import names

REHEARSED = "RestoreRehearsed"
QUERY = "SELECT count(*) = 1000 FROM public.t"


@pytest.fixture(scope="module")
def source(namespace: str) -> Iterator[AuroraCluster]:
    """A cluster with a backup, and rows that were written after it."""
    objectstore.start(namespace)
    cluster = AuroraCluster("rehearsed", namespace)
    cluster.create(spec(namespace, 1))
    cluster.wait_ready(180)
    cluster.wait_condition(BACKUP_HEALTHY, "True", timeout=120)
    cluster.sql(cluster.leadership().instance, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i", database="app")
    stored(cluster, datetime.now(UTC))
    yield cluster
    cluster.delete()


def rehearsal(cluster: AuroraCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.status["backup"].get("rehearsal") or {}
    return found


def nothing_left(namespace: str) -> None:
    """Neither Job nor pod nor volume."""

    def look() -> bool:
        selector = f"{names.LABEL_COMPONENT}=rehearsal"
        kinds = {kind: kube.items(kind, namespace, selector) for kind in ("jobs", "pods")}
        claims = kube.items("pvc", namespace, "app.kubernetes.io/component=rehearsal")
        left = [o["metadata"]["name"] for found in (*kinds.values(), claims) for o in found]
        assert not left, left
        return True

    until("nothing is left of the rehearsal", look, timeout=60)


def test_on_its_schedule_it_passes(source: AuroraCluster, measure: Measure) -> None:
    before, backup = source.leadership(), source.status["backup"]["backups"][-1]["label"]
    source.change({"backup": {"restoreRehearsal": {"schedule": "* * * * *", "query": QUERY}}})
    name = until("it has begun", lambda: rehearsal(source).get("running"), timeout=90)
    started = time.monotonic()
    pod = until(
        "its pod is there",
        lambda: next(iter(kube.items("pods", source.namespace, f"batch.kubernetes.io/job-name={name}")), None),
        timeout=20,
    )
    assert pod["spec"]["automountServiceAccountToken"] is False
    source.change({"backup": {"restoreRehearsal": {"schedule": None}}})
    said = source.wait_condition(REHEARSED, "True", reason="RehearsalPassed", timeout=120)
    measure("rehearsal of a small cluster, seconds", time.monotonic() - started)
    last = rehearsal(source)["last"]
    measure("restore in it, seconds", last["restoreSeconds"])
    assert (last["job"], last["backup"]) == (name, backup) and last["restoredLsn"] in said["message"]
    assert "running" not in rehearsal(source) and "nextAt" not in rehearsal(source)
    nothing_left(source.namespace)
    assert source.events("RehearsalPassed") and source.leadership() == before


def test_a_damaged_backup_is_found_and_said(source: AuroraCluster, measure: Measure) -> None:
    backup = source.status["backup"]
    objectstore.damage(
        source.namespace, f"{backup['path']}/backup/{backup['stanza']}/{backup['backups'][-1]['label']}/bundle"
    )
    started = time.monotonic()
    source.annotate(names.ANNOTATION_REHEARSAL, "now")
    said = source.wait_condition(REHEARSED, "False", reason="BackupDamaged", timeout=180)
    measure("rehearsal of a damaged backup, seconds", time.monotonic() - started)
    assert f"{names.ANNOTATION_BACKUP}=full" in said["message"]
    assert rehearsal(source)["last"]["result"] == "Failed" and rehearsal(source)["lastPassedAt"]
    assert names.ANNOTATION_REHEARSAL not in source.read()["metadata"].get("annotations", {})
    nothing_left(source.namespace)
    assert source.events("RehearsalFailed")
    source.wait_condition("Ready", "True", timeout=10)
