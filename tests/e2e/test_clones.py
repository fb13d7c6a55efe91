"""Clones: of a cluster that is being written to, of a clone, and by copying everything."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.e2e import kube
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.client import Client, Refused
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.kind.context import KUBE_CONTEXT

from aurora_operator.api.base import names

SIZE_MIB = 1024
SOURCE = dict(SMALL) | {"instances": 2, "storage": {"size": "5Gi"}, "durability": {"copies": 2, "zones": 1}}
ALONE = SOURCE | {"instances": 1, "durability": {"copies": 1}}
_WRITING = """DO $$ BEGIN LOOP
  INSERT INTO written DEFAULT VALUES; COMMIT; PERFORM pg_sleep(0.002);
END LOOP; END $$"""

# In this order: each goes on where the one before ended.


@contextlib.contextmanager
def writing(cluster: AuroraCluster) -> Iterator[None]:
    """One commit after the other, meanwhile."""
    pod = names.pod_name(cluster.leadership().instance)
    words = ["psql", "-h", names.RUN_DIR, "-U", "postgres", "-d", "app", "-c", _WRITING]
    place = ["--context", KUBE_CONTEXT, "--namespace", cluster.namespace, "exec", pod, "-c", names.CONTAINER, "--"]
    stream = subprocess.Popen(["kubectl", *place, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("rows are being written", lambda: int(_app(cluster, "SELECT count(*) FROM written")) > 100, timeout=30)
        yield
        assert stream.poll() is None, "the writing broke off"
    finally:
        stop = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %'"
        cluster.sql(cluster.leadership().instance, stop)
        try:
            stream.wait(10)
        except subprocess.TimeoutExpired:
            stream.kill()
            stream.wait()


def _app(cluster: AuroraCluster, statement: str) -> str:
    return cluster.sql(cluster.leadership().instance, statement, database="app")


def _clone(name: str, of: AuroraCluster, **more: object) -> tuple[AuroraCluster, float]:
    """A clone of one instance, and the seconds until its writer was open."""
    made = AuroraCluster(name, of.namespace)
    begun = time.monotonic()
    made.create(ALONE | {"cloneFrom": {"cluster": of.name} | more})
    made.wait_condition("Available", "True", timeout=240)
    return made, time.monotonic() - begun


def test_a_clone_under_writing_has_every_row_from_before_it(namespace: str, measure: Measure) -> None:
    source = AuroraCluster("demo", namespace)
    source.create(SOURCE)
    source.wait_ready(240)
    _app(
        source,
        "CREATE TABLE written (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT clock_timestamp())",
    )
    rows = SIZE_MIB * 1000
    _app(source, f"CREATE TABLE filler AS SELECT g, repeat(md5(g::text), 31) AS t FROM generate_series(1, {rows}) g")
    with writing(source):
        before, at = _app(source, "SELECT max(id), clock_timestamp() FROM written").split("|")
        made, seconds = _clone("copy", source)
        after = _app(source, "SELECT max(id) FROM written")
    measure("clone_1_gib_seconds", seconds)
    origin = made.status["origin"]
    assert origin["method"] == "VolumeSnapshot" and origin["source"] == "cluster demo", origin
    found, highest = _app(made, "SELECT count(*), max(id) FROM written").split("|")
    assert int(before) <= int(highest) < int(after)
    assert found == highest, "a row is missing in the middle"
    assert _app(made, "SELECT count(*) FROM filler") == str(rows)
    pause = _app(
        source,
        "SELECT max(extract(epoch FROM next - at)) FROM (SELECT at, lead(at) OVER (ORDER BY id) AS next FROM written"
        f" WHERE at > '{at}') AS s",
    )
    measure("clone_longest_pause_of_writing_seconds", float(pause))
    assert float(pause) < 5 * kube.PATIENCE


def test_a_new_reader_begins_with_a_snapshot_of_its_zone(namespace: str, measure: Measure) -> None:
    source = AuroraCluster("demo", namespace)
    begun = time.monotonic()
    source.change({"instances": 3})
    source.wait_ready(180)
    measure("new_reader_1_gib_seconds", time.monotonic() - begun)
    claim = kube.need("pvc", "data-demo-3", namespace)
    assert claim["spec"]["dataSource"]["name"] == "demo-3.seed"
    writer = source.leadership().instance
    count = "SELECT count(*) FROM filler"
    assert source.sql("demo-3", count, database="app") == source.sql(writer, count, database="app")
    voters = {member["name"] for member in source.status["members"]}
    assert voters == {"demo-1", "demo-2", "demo-3"}
    source.change({"instances": 2})
    source.wait_ready(120)


def test_a_clone_is_a_cluster_of_its_own(namespace: str) -> None:
    source, made = AuroraCluster("demo", namespace), AuroraCluster("copy", namespace)
    assert source.secret()["password"] != made.secret()["password"]
    assert source.secret()["ca.crt"] != made.secret()["ca.crt"]
    client = Client(made)
    client.start()
    assert client.psql(client.conninfo("copy"), "SELECT current_user") == "app"
    with pytest.raises(Refused, match="password authentication failed"):
        client.psql(client.conninfo("copy"), "SELECT 1", password=source.secret()["password"])
    # The source knows nothing of it, and the clone does not look back.
    writer = source.leadership().instance
    assert source.sql(writer, "SELECT count(*) FROM pg_stat_replication") == "1"
    assert made.sql(made.leadership().instance, "SELECT count(*) FROM pg_replication_slots") == "0"
    _app(made, "DROP TABLE filler")
    assert int(_app(source, "SELECT count(*) FROM filler")) > 0
    # What led there is gone.
    until("the snapshot is gone", lambda: not kube.items("volumesnapshot", namespace), timeout=60)
    source.wait_ready(30)


def test_a_clone_of_a_clone(namespace: str, measure: Measure) -> None:
    made, again = AuroraCluster("copy", namespace), AuroraCluster("again", namespace)
    mark = _app(made, "INSERT INTO written DEFAULT VALUES RETURNING id").splitlines()[0]
    again, seconds = _clone("again", made)
    measure("clone_of_a_clone_seconds", seconds)
    assert again.status["origin"]["method"] == "VolumeSnapshot"
    assert _app(again, "SELECT max(id) FROM written") == mark
    again.delete()


def test_a_full_copy_when_it_is_asked_for(namespace: str, measure: Measure) -> None:
    made = AuroraCluster("copy", namespace)
    full, seconds = _clone("full", made, type="full-copy")
    measure("full_copy_seconds", seconds)
    assert full.status["origin"]["method"] == "FullCopy"
    assert _app(full, "SELECT max(id) FROM written") == _app(made, "SELECT max(id) FROM written")
    # The credentials at the source were for this alone.
    until("the credentials are gone", lambda: not any(_credentials(namespace).values()), timeout=60)
    claim = kube.need("pvc", "data-full-1", namespace)
    assert "dataSource" not in claim["spec"]


def _credentials(namespace: str) -> dict[str, str]:
    found: dict[str, str] = kube.need("secret", names.origin_secret("full"), namespace)["data"]
    return found


def test_a_clone_that_cannot_be_says_why(namespace: str) -> None:
    wrong = AuroraCluster("wrong", namespace)
    wrong.create(ALONE | {"cloneFrom": {"cluster": "nobody"}})
    found = wrong.wait_condition("SpecAccepted", "False", timeout=60)
    assert f"there is no AuroraCluster nobody in namespace {namespace}" in found["message"]
    wrong.delete()
