"""More copies are lost than may be, and for good: nothing happens by itself, and one command goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from tests.e2e import kube, operating
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.kind.context import KUBE_CONTEXT

from aurora_operator.api.base import names

pytestmark = pytest.mark.alone

THREE: dict[str, Any] = dict(SMALL) | {"durability": {"copies": 3}}


def accept(cluster: AuroraCluster, *words: str) -> subprocess.CompletedProcess[str]:
    where = ["--namespace", cluster.namespace, "--context", KUBE_CONTEXT]
    command = [sys.executable, "-m", "aurora_operator.cli.main", "accept-data-loss", cluster.name, *words, *where]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_quorum_lost_for_good(namespace: str, measure: Measure) -> None:
    """Two of three volumes are gone. Nothing happens by itself; one command says what is lost, and goes on."""
    cluster = AuroraCluster("gone", namespace)
    cluster.create(THREE)
    cluster.wait_ready(300)
    refused = accept(cluster)
    assert refused.returncode == 1 and "there is nothing to accept" in refused.stderr
    writer = cluster.leadership()
    cluster.sql(writer.instance, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    survivor, *lost = sorted(cluster.instances(), key=lambda name: name == writer.instance)
    with operating.stopped():
        for instance in lost:
            kube.delete("statefulset", instance, namespace, wait=False)
            kube.delete("pvc", f"data-{instance}", namespace, wait=False)
            kube.delete("pod", names.pod_name(instance), namespace, "--grace-period=0", "--force")
        until(
            "their volumes are gone",
            lambda: not {f"data-{i}" for i in lost} & {c["metadata"]["name"] for c in kube.items("pvc", namespace)},
            timeout=90,
        )
    stated = until("the status states the loss", lambda: cluster.status.get("dataLoss"), timeout=120)
    assert [copy.partition("/")[0] for copy in stated["survivors"]] == [survivor]
    cluster.wait_condition("Available", "False", timeout=60)
    told = accept(cluster)
    assert told.returncode == 0 and survivor in told.stdout and "--yes-lose" in told.stdout, told
    wrong = accept(cluster, "--yes-lose", "0-bytes@0000000000000000")
    assert wrong.returncode == 1 and "not accepted" in wrong.stderr, wrong
    assert cluster.status.get("dataLoss") is not None, "nothing was done yet"
    at = time.time()
    words = told.stdout.rpartition("--yes-lose ")[2].split()[0]
    accepted = accept(cluster, "--yes-lose", words)
    assert accepted.returncode == 0, accepted
    led = cluster.wait_leadership(writer, timeout=120)
    measure("a quorum lost for good: seconds from the command to a writer", time.time() - at)
    assert led.instance == survivor
    # All that had been acknowledged was on the survivor, too.
    assert cluster.sql(survivor, "SELECT count(*) FROM kept") == "1000"
    assert cluster.events("DataLossAccepted")
    cluster.wait_ready(240)
    assert cluster.status["durability"]["alive"] == "3/3"
    cluster.delete()
