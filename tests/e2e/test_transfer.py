"""A database goes out and comes in again, by Jobs: by a volume, and by the destination of backups."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.e2e import kube, objectstore
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.conftest import Measure
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
    # Neither overwrites anything; and the user sees why.
    for verb, words, why in (
        ("export", [], "an export never overwrites another one"),
        ("import", ["--database", "again"], "an import begins with an empty one"),
    ):
        refused = _aurora(cluster, verb, cluster.name, *words, *place)
        assert refused.returncode == 1, refused
        assert why in refused.stderr
    cluster.sql(writer, "DROP DATABASE again")
    cluster.sql(writer, "DROP TABLE goods", database="app")
    kube.delete("pvc", CLAIM, cluster.namespace, wait=False)


def test_a_database_goes_to_the_destination_of_backups_and_comes_back(namespace: str, measure: Measure) -> None:
    objectstore.start(namespace)
    source = AuroraCluster("source", namespace)
    backup = {
        "destination": objectstore.destination(namespace),
        "encryption": {"secret": {"name": "s3-passphrase"}},
    }
    alone = {"instances": 1, "durability": {"copies": 1}, "skipFinalSnapshot": True}
    source.create(dict(SMALL) | alone | {"backup": backup})
    source.wait_condition("BackupHealthy", "True", timeout=180)
    taken = _aurora(source, "backup", source.name, "--type", "incr")
    assert taken.returncode == 0 and "is complete" in taken.stdout, taken
    assert [b["type"] for b in source.status["backup"]["backups"]] == ["full", "incr"]

    writer = source.leadership().instance
    source.sql(writer, "SET ROLE app; CREATE TABLE goods AS SELECT generate_series(1, 5000) AS id", database="app")
    started = time.monotonic()
    out = _aurora(source, "export", source.name, "--name", "monday")
    assert out.returncode == 0 and "export of app is complete as monday" in out.stdout, out
    log = kubectl("--namespace", namespace, "logs", out.stdout.split(";")[0])
    assert "1 of 1 tables" in log and "uploaded 0 of 1 MiB" in log
    listed = _aurora(source, "exports", source.name)
    assert listed.returncode == 0 and "monday" in listed.stdout and "app" in listed.stdout, listed
    back = _aurora(source, "import", source.name, "--name", "monday", "--database", "again")
    assert back.returncode == 0, back
    measure("export to S3 and import, seconds", time.monotonic() - started)
    checksum = "SELECT count(*), sum(id) FROM goods"
    assert source.sql(writer, checksum, database="again") == source.sql(writer, checksum, database="app")
    refused = _aurora(source, "export", source.name, "--name", "monday")
    assert refused.returncode == 1 and "an export never overwrites another one" in refused.stderr, refused
    removed = _aurora(source, "exports", source.name, "--remove", "monday")
    assert removed.returncode == 0, removed
    gone = _aurora(source, "import", source.name, "--name", "monday")
    assert gone.returncode == 1 and "there is no export monday" in gone.stderr, gone
    source.delete(wait=False)
