"""Copies come and go, by compare-and-swap of the record."""

from __future__ import annotations

from tests.integration.agents.cluster import Cluster
from tests.integration.agents.writers import Writers, query


async def test_a_copy_joins_and_another_leaves(three: Cluster) -> None:
    async with Writers(three).at_work() as writers:
        writer = await three.ready()
        fourth = three.add()
        writers.insert_at(fourth)
        await three.tell()
        await fourth.start()
        await three.ready()
        gone = three.others(writer, fourth)[0]
        three.remove(gone)
        await three.tell()
        await three.ready()
        await writers.one_more()
        await gone.close()
        config = three.kubernetes.record.config
        assert config is not None
        assert {v.partition("/")[0] for v in config.voters} == three.pods.keys() - {gone.name}
        # The new voters are enough for a failover.
        await writer.kill()
        await three.writer(but=writer)
        await writer.start()
        await three.ready()
    versions = [(r.config.epoch, r.config.version) for r in three.kubernetes.records if r.config is not None]
    assert versions == sorted(versions)


async def test_a_change_waits_for_the_api(three: Cluster) -> None:
    writer = await three.ready()
    fourth = three.add()
    three.kubernetes.mode = "refuses"
    await three.tell()
    await fourth.start()
    await three.until("it says so", lambda: "membership changes wait for the Kubernetes API" in writer.said())
    await query(writer, "CREATE TABLE t (id int)")
    status = await writer.status()
    assert status is not None and status.config is not None and len(status.config.voters) == 3
    three.kubernetes.mode = "up"
    await three.ready()


async def test_without_a_write_quorum_the_membership_shrinks(three: Cluster) -> None:
    async with Writers(three).at_work() as writers:
        writer = await three.ready()
        fourth = three.add()
        writers.insert_at(fourth)
        await three.tell(write_quorum=3, repair_delay_seconds=1)
        await fourth.start()
        await three.ready()
        lost = three.others(writer)[:2]
        for pod in lost:
            await pod.kill()
        await three.until("the membership has shrunk", lambda: len(_voters(three)) < 4)
        await writers.one_more()
        await three.start(lost)
        await three.ready()


def _voters(cluster: Cluster) -> tuple[str, ...]:
    config = cluster.kubernetes.record.config
    return config.voters if config is not None and not config.next_voters else ("",) * 4


async def test_a_log_copy_hands_on_what_only_it_has(empty: Cluster) -> None:
    first, second = empty.add(), empty.add()
    empty.add("log")
    await empty.tell()
    await empty.start()
    async with Writers(empty).at_work() as writers:
        assert await empty.ready() in (first, second)
        writer = await empty.writer()
        other = second if writer is first else first
        await other.kill()
        # Acknowledged by the writer and the log copy alone.
        await query(writer, "CREATE TABLE rare AS SELECT generate_series(1, 50000) AS id")
        await writers.one_more()
        await writer.kill()
        await other.start()
        assert await empty.writer() is other
        await writers.one_more()
        assert await query(other, "SELECT count(*) FROM rare") == [(50000,)]
        await writer.start()
        await empty.ready()
    assert "fetching from demo-log-1" in other.said()
