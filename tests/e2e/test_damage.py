"""What is on a volume is not what it should be: the copy is cloned again, and a damaged writer hands over first."""

from __future__ import annotations

import time

import pytest
from tests.e2e import faults
from tests.e2e.aurora import AuroraCluster
from tests.e2e.conftest import Measure
from tests.e2e.kube import until
from tests.e2e.probe import Probe
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import names

COUNT = "SELECT count(*), sum(n) FROM precious"
ALL = "20000|200010000"
MARK = "/data/aurora/rewinding"
"""Is there while the data are of two histories."""
KEPT = "/data/kept"


def make_precious(cluster: AuroraCluster) -> None:
    """A table whose pages nothing writes to again: not even hint bits, whose full page images would heal a copy."""
    writer = cluster.leadership().instance
    cluster.sql(writer, "DROP TABLE IF EXISTS precious")
    cluster.sql(writer, "CREATE TABLE precious AS SELECT n::bigint FROM generate_series(1, 20000) AS n")
    cluster.sql(writer, "VACUUM (FREEZE) precious")
    cluster.sql(writer, "CHECKPOINT")
    target = cluster.sql(writer, "SELECT pg_current_wal_flush_lsn()")
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{target}'"
    readers = cluster.readers()
    until("it is replayed", lambda: {cluster.sql(reader, replayed) for reader in readers} == {"t"}, timeout=30)
    for reader in readers:
        cluster.sql(reader, "CHECKPOINT")


def damage(cluster: AuroraCluster, reader: str) -> None:
    """Overwrite a few bytes of a page on the volume of a reader, which then has no page of it in memory."""
    file = cluster.sql(reader, "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('precious')")
    overwrite = 'printf damaged | dd of="$0" bs=1 seek=12192 conv=notrunc,fsync status=none'
    cluster.execute(reader, "sh", "-c", overwrite, file)
    started = cluster.started(reader)
    faults.kill_postmaster(cluster.namespace, names.pod_name(reader))
    until(f"{reader} is there again", lambda: cluster.started(reader) != started, timeout=60)
    cluster.wait_roles(readers=2)


def wait_whole(cluster: AuroraCluster, instance: str) -> None:
    """Wait until a copy has all rows again, and nothing is wrong with it."""
    until(f"{instance} has all rows", lambda: cluster.sql(instance, COUNT) == ALL, timeout=120)
    cluster.wait_roles(readers=2)
    cluster.wait_ready()
    assert cluster.sql(instance, "SELECT sum(checksum_failures) FROM pg_stat_database") == "0"
    assert cluster.sql(instance, "SELECT pg_is_in_recovery()") == "t"


def test_a_damaged_reader_is_cloned_again(cluster: AuroraCluster, measure: Measure) -> None:
    make_precious(cluster)
    reader, writer = cluster.readers()[0], cluster.leadership()
    with Probe(cluster) as probe:
        damage(cluster, reader)
        with pytest.raises(CommandFailed, match="invalid page"):
            cluster.sql(reader, COUNT)
        wait_whole(cluster, reader)
        report = probe.stop()
    assert cluster.leadership() == writer
    measure("a damaged reader is cloned again: longest time without a write, seconds", report.longest_gap())
    report.require_nothing_lost()


def test_copies_whose_rewind_broke_off_need_no_leader(cluster: AuroraCluster, measure: Measure) -> None:
    """Without them nobody can be elected, and the leader that they were rewound to comes back as a mere standby."""
    make_precious(cluster)
    writer, readers = cluster.leadership(), cluster.readers()
    for reader in readers:
        cluster.execute(reader, "sh", "-c", 'echo "$0" > "$1"', str(writer.epoch), MARK)
    began = time.monotonic()
    for instance in (writer.instance, *readers):
        faults.delete_by_force(cluster.namespace, names.pod_name(instance))
    cluster.wait_leadership(writer)
    measure("copies whose rewind broke off are cloned from a standby, seconds", round(time.monotonic() - began, 1))
    cluster.wait_ready()
    instances = (writer.instance, *readers)
    until("all have all rows", lambda: {cluster.sql(instance, COUNT) for instance in instances} == {ALL}, timeout=60)
    for reader in readers:
        cluster.execute(reader, "test", "!", "-e", MARK)
    gone = "what was replaced is gone"
    until(gone, lambda: not any(cluster.execute(reader, "ls", KEPT) for reader in readers), timeout=30)


def test_a_damaged_writer_hands_over_first(cluster: AuroraCluster, measure: Measure) -> None:
    writer, damaged = cluster.leadership(), cluster.readers()[0]
    damage(cluster, damaged)
    cluster.annotate(names.ANNOTATION_SWITCHOVER, damaged)
    led = cluster.wait_leadership(writer)
    assert led.instance == damaged
    cluster.wait_roles(readers=2)
    with Probe(cluster) as probe:
        with pytest.raises(CommandFailed, match="invalid page"):
            cluster.sql(damaged, COUNT)
        after = cluster.wait_leadership(led)
        assert after.instance != damaged
        wait_whole(cluster, damaged)
        report = probe.stop()
    assert cluster.sql(after.instance, COUNT) == ALL
    measure("a damaged writer hands over: longest time without a write, seconds", report.longest_gap())
    report.require_nothing_lost()
    cluster.sql(after.instance, "DROP TABLE precious")
