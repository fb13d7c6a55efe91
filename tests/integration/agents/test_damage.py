"""What is on a volume is not what it should be, or too many volumes are gone."""

from __future__ import annotations

import asyncio
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import pytest
from tests.integration.agents.cluster import Cluster
from tests.integration.agents.pod import Pod
from tests.integration.agents.writers import Writers, query

from aurora_operator.api.agent.messages import AcceptDataLoss
from aurora_operator.net.http_client import ClientError
from aurora_operator.postgres.server import processes
from aurora_operator.postgres.sql.session import Session

ROWS: Final = 20_000
PAGE_BYTES: Final = 8192


async def _checkpoint(pod: Pod) -> None:
    async with Session(pod.layout.run) as session:
        await session.rows("CHECKPOINT", timeout=30)


async def _make_precious(cluster: Cluster) -> None:
    """A table whose pages nothing writes to again: not even hint bits, whose full page images would heal a copy."""
    writer = await cluster.ready()
    await query(writer, "CREATE TABLE precious AS SELECT n::bigint FROM generate_series(1, 20000) AS n")
    await query(writer, "VACUUM (FREEZE) precious")
    await _checkpoint(writer)
    for pod in cluster.others(writer):
        await cluster.until(f"{pod.name} has it", partial(_is_whole, pod))
        await _checkpoint(pod)


async def _is_whole(pod: Pod) -> bool:
    """Whether the copy is there, and has all rows."""
    try:
        return await query(pod, "SELECT count(*), sum(n) FROM precious") == [(ROWS, ROWS * (ROWS + 1) // 2)]
    except (psycopg.Error, TimeoutError):
        return False


async def _damage(cluster: Cluster, reader: Pod) -> None:
    """Overwrite a few bytes of a page on the volume of a reader, which then has no page of it in memory."""
    ((name,),) = await query(reader, "SELECT pg_relation_filepath('precious')")
    with (reader.layout.pgdata / Path(str(name))).open("r+b") as file:
        file.seek(PAGE_BYTES + 4000)
        file.write(b"damaged")
    before = reader.postmaster()
    processes.send([before], signal.SIGKILL)
    await cluster.until("it has started again", lambda: _another_postmaster(reader, before))
    await cluster.ready()


def _another_postmaster(pod: Pod, before: int) -> bool:
    try:
        return pod.postmaster() != before
    except (ValueError, OSError, IndexError):
        return False


async def test_a_damaged_reader_is_cloned_again(three: Cluster) -> None:
    await _make_precious(three)
    writer = await three.ready()
    reader = three.others(writer)[0]
    async with Writers(three).at_work():
        await _damage(three, reader)
        with pytest.raises(psycopg.errors.DataCorrupted, match="invalid page"):
            await query(reader, "SELECT sum(n) FROM precious")
        await three.until("it is whole", partial(_is_whole, reader))
        assert await three.ready() is writer
    assert f"cloned {writer.name}" in reader.said()


async def test_a_damaged_writer_hands_over_first(three: Cluster) -> None:
    await _make_precious(three)
    first = await three.ready()
    damaged = three.others(first)[0]
    await _damage(three, damaged)
    await first.call("POST", "/v1/switchover", f'{{"target": "{damaged.name}"}}')
    assert await three.writer(but=first) is damaged
    await three.ready()
    async with Writers(three).at_work():
        with pytest.raises(psycopg.errors.DataCorrupted, match="invalid page"):
            await query(damaged, "SELECT sum(n) FROM precious")
        after = await three.writer(but=damaged)
        assert await _is_whole(after)
        await three.until("it is whole", partial(_is_whole, damaged))
        assert await three.ready() is after


async def test_copies_whose_rewind_broke_off_need_no_leader(three: Cluster) -> None:
    """Without them nobody can be elected, and the leader that they were rewound to comes back as a mere standby."""
    await _make_precious(three)
    writer = await three.ready()
    readers = three.others(writer)
    epoch = (await three.statuses([writer]))[writer.name].epoch
    async with Writers(three).at_work():
        for pod in readers:
            pod.layout.rewinding.write_text(f"{epoch}\n")
        await asyncio.gather(*(pod.kill() for pod in three.pods.values()))
        await three.start()
        await three.ready()
    for pod in three.pods.values():
        await three.until(f"{pod.name} is whole", partial(_is_whole, pod))
        assert not pod.layout.rewinding.exists()


async def test_a_quorum_that_is_lost_for_good_needs_a_person(three: Cluster) -> None:
    writer = await three.ready()
    await query(writer, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    status = (await three.statuses())[writer.name]
    config = status.config
    assert config is not None
    survivor = f"{writer.name}/{status.incarnation}"
    right = AcceptDataLoss(
        survivors=(survivor,),
        lost=tuple(sorted(set(config.voters) - {survivor})),
        config_epoch=config.epoch,
        config_version=config.version,
    )
    with pytest.raises(ClientError, match="409"):
        await writer.call("POST", "/v1/accept-data-loss", right.model_dump_json(by_alias=True))
    lost = three.others(writer)
    for pod in lost:
        await pod.kill()
        shutil.rmtree(pod.layout.data)
        pod.layout.data.mkdir()
        pod.own()
    await three.until("it has stepped down", lambda: _is_closed(three, writer))
    wrong = right.model_copy(update={"config_version": config.version + 1})
    with pytest.raises(ClientError, match="look again at what is lost"):
        await writer.call("POST", "/v1/accept-data-loss", wrong.model_dump_json(by_alias=True))
    await three.until("it is accepted", partial(_accepts, writer, right.model_dump_json(by_alias=True)))
    assert await three.writer() is writer
    assert await query(writer, "SELECT count(*) FROM kept") == [(1000,)]
    await three.start(lost)
    async with Writers(three).at_work():
        assert await three.ready() is writer


async def _is_closed(cluster: Cluster, pod: Pod) -> bool:
    statuses = await cluster.statuses([pod])
    return pod.name in statuses and statuses[pod.name].role == "none"


async def _accepts(pod: Pod, request: str) -> bool:
    try:
        await pod.call("POST", "/v1/accept-data-loss", request)
    except ClientError:
        return False
    return True


@pytest.mark.parametrize("what", ["postgresql", "agent", "all"])
async def test_a_frozen_reader_is_nobodys_loss(three: Cluster, what: str) -> None:
    writer = await three.ready()
    reader = three.others(writer)[0]
    async with Writers(three).at_work() as writers:
        before = await writers.one_more()
        if what == "postgresql":
            processes.send(reader.postgres(), signal.SIGSTOP)
        elif what == "agent":
            reader.signal_agent(signal.SIGSTOP)
        else:
            reader.signal_all(signal.SIGSTOP)
        # Longer than a lease.
        deadline = asyncio.get_running_loop().time() + 5
        while asyncio.get_running_loop().time() < deadline:
            await writers.one_more()
        reader.signal_all(signal.SIGCONT)
        assert await three.ready() is writer
        assert (await writers.one_more()).epoch == before.epoch
