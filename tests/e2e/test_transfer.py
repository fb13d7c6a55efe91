"""A database goes out to a volume and comes in again, by Jobs."""

from __future__ import annotations

import subprocess
import sys

from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.kind.context import KUBE_CONTEXT, kubectl

CLAIM = "exports"


def _aurora(cluster: AuroraCluster, *words: str) -> subprocess.CompletedProcess[str]:
    where = ["--namespace", cluster.namespace, "--context", KUBE_CONTEXT]
    command = [sys.executable, "-m", "aurora_operator.cli.main", *words, *where]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def test_a_database_goes_out_and_comes_in_again(cluster: AuroraCluster) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    metadata = {"name": CLAIM, "namespace": cluster.namespace}
    kube.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    writer = cluster.leadership().instance
    cluster.sql(writer, "DROP DATABASE IF EXISTS again")
    goods = "SET ROLE app; CREATE TABLE goods AS SELECT generate_series(1, 5000) AS id"
    cluster.sql(writer, goods, database="app")
    place = ["--claim", CLAIM, "--path", "app"]
    out = _aurora(cluster, "export", cluster.name, *place)
    assert out.returncode == 0 and "export of app is complete" in out.stdout, out
    back = _aurora(cluster, "import", cluster.name, "--database", "again", *place)
    assert back.returncode == 0, back
    checksum = "SELECT count(*), sum(id) FROM goods"
    assert cluster.sql(writer, checksum, database="again") == cluster.sql(writer, checksum, database="app")
    # Neither overwrites anything; and the Job says why.
    for verb, words, why in (
        ("export", [], "an export never overwrites another one"),
        ("import", ["--database", "again"], "an import begins with an empty one"),
    ):
        refused = _aurora(cluster, verb, cluster.name, *words, *place)
        assert refused.returncode == 1, refused
        job = refused.stdout.split(";")[0]
        assert why in kubectl("--namespace", cluster.namespace, "logs", job)
    cluster.sql(writer, "DROP DATABASE again")
    cluster.sql(writer, "DROP TABLE goods", database="app")
    kube.delete("pvc", CLAIM, cluster.namespace, wait=False)
