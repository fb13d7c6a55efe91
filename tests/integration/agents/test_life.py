"""A cluster begins, stops and comes back; copies lose their data."""

from __future__ import annotations

import asyncio
import shutil
import signal

import psycopg
import pytest
from tests.integration.agents.cluster import Cluster
from tests.integration.agents.writers import Writers, query

from aurora_operator.consensus.types import name_of
from aurora_operator.postgres.server import processes


async def test_one_initialises_and_the_others_clone(empty: Cluster) -> None:
    for _ in range(3):
        empty.add()
    await empty.tell()
    last, *rest = reversed(empty.pods.values())
    await empty.start([last])
    await empty.until("it waits", lambda: "no leader yet to clone from" in last.said())
    await empty.start(rest)
    writer = await empty.ready()
    statuses = await empty.statuses()
    assert len({s.system_identifier for s in statuses.values()}) == 1
    record = empty.kubernetes.record
    assert record.state == "initialised" and record.owner is not None and name_of(record.owner) == "demo-1"
    assert record.system_identifier == statuses[writer.name].system_identifier
    assert [pod.name for pod in empty.pods.values() if "Initialising" in pod.said()] == ["demo-1"]
    assert all("cloned demo-1" in pod.said() for pod in (last, rest[0]))
    roles = {pod.pod_name: "writer" if pod is writer else "reader" for pod in empty.pods.values()}
    await empty.until("the labels are true", lambda: roles == {pod: empty.kubernetes.role(pod) for pod in roles})


async def test_a_commit_waits_for_a_quorum(three: Cluster) -> None:
    writer = await three.ready()
    one, two = three.others(writer)
    await query(writer, "CREATE TABLE t (id int)")
    await one.kill()
    await query(writer, "INSERT INTO t VALUES (1)")
    await two.kill()
    with pytest.raises((TimeoutError, psycopg.Error)):
        await query(writer, "INSERT INTO t VALUES (2)", timeout=10)
    await three.until("it has stepped down", lambda: _role(three, writer.name, "none"))
    await two.start()
    again = await three.writer()
    await query(again, "INSERT INTO t VALUES (3)")
    assert {1, 3} <= {number for (number,) in await query(again, "SELECT id FROM t")}
    await one.start()
    await three.ready()


async def _role(cluster: Cluster, name: str, role: str) -> bool:
    statuses = await cluster.statuses()
    return name in statuses and statuses[name].role == role


@pytest.mark.parametrize("way", ["killed", "terminated"])
async def test_all_end_at_once_and_come_back(three: Cluster, way: str) -> None:
    async with Writers(three).at_work() as writers:
        before = await writers.one_more()
        pods = list(three.pods.values())
        ends = [pod.kill() for pod in pods] if way == "killed" else [pod.terminate() for pod in pods]
        await asyncio.gather(*ends)
        await three.start()
        await three.ready()
        assert (await writers.one_more()).epoch > before.epoch


async def test_stopped_it_stays_down_until_it_is_to_run_again(three: Cluster) -> None:
    async with Writers(three).at_work():
        await three.tell(power="stopped")
        await (await three.writer()).call("POST", "/v1/stop")
        await three.until("all have stopped", lambda: _stopped(three))
        assert not any(pod.postgres() for pod in three.pods.values())
        await asyncio.gather(*(pod.terminate() for pod in three.pods.values()))
        await three.tell(power="on")
        await three.start()
        await three.ready()


async def _stopped(cluster: Cluster) -> bool:
    statuses = (await cluster.statuses()).values()
    return len(statuses) == len(cluster.pods) and all(s.phase == "Stopped" for s in statuses)


@pytest.mark.parametrize("running", [False, True])
async def test_a_reader_that_has_lost_its_data_clones_again(three: Cluster, running: bool) -> None:
    writer = await three.ready()
    reader = three.others(writer)[0]
    before = (await three.statuses())[reader.name].incarnation
    async with Writers(three).at_work():
        if running:
            shutil.rmtree(reader.layout.pgdata)
            processes.send(reader.postgres(), signal.SIGKILL)
            await reader.ended()
        else:
            await reader.kill()
            shutil.rmtree(reader.layout.data)
            reader.layout.data.mkdir()
            reader.own()
        await reader.start()
        await three.ready()
    after = (await three.statuses())[reader.name].incarnation
    assert after != before
    config = (await three.statuses())[writer.name].config
    assert config is not None and f"{reader.name}/{after}" in config.voters


async def test_clients_are_shut_out_of_a_cluster_that_is_to_go_and_all_that_they_wrote_is_known(three: Cluster) -> None:
    writer = await three.ready()
    reader = three.others(writer)[0]
    assert (await three.statuses())[writer.name].closed is False
    async with Writers(three).at_work() as writers:
        await writers.one_more()
        await three.tell(closed=True)
        await three.until("it is closed", lambda: _is_closed(three))
        end = (await three.statuses())[writer.name].lsn
        for _ in range(3):
            with pytest.raises(psycopg.OperationalError, match="is being deleted"):
                await query(writer, "INSERT INTO written VALUES (-1)")
        await three.until("a reader is as far", lambda: _is_at(three, reader.name, end))
        there = {number for (number,) in await query(reader, "SELECT number FROM written")}
        assert there >= {a.number for a in writers.acknowledged}
        assert (await three.statuses())[writer.name].lsn - end < 1 << 20, "nobody writes"
        await writer.kill()
        await three.until("the next writer is closed", lambda: _is_closed(three, but=writer.name))
        await writer.start()
        await three.tell(closed=False)
        await writers.one_more()


async def _is_at(cluster: Cluster, name: str, lsn: int) -> bool:
    return (await cluster.statuses())[name].lsn >= lsn


async def _is_closed(cluster: Cluster, but: str | None = None) -> bool:
    statuses = await cluster.statuses()
    return any(s.role == "writer" and s.closed and s.name != but for s in statuses.values())
