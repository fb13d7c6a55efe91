"""The last release's agents and operator with this tree's, in every pairing: processes, not documents alone."""

from __future__ import annotations

import pytest
from tests.integration.agents import earlier
from tests.integration.agents.cluster import Cluster
from tests.integration.agents.pod import Pod, Program
from tests.integration.agents.writers import Writers, query

OURS = Program()


async def _roll(pod: Pod, program: Program) -> None:
    """The pod is made anew from another image."""
    assert await pod.terminate() == 0
    pod.program = program
    await pod.start()


async def _in_force(cluster: Cluster, work_mem: str) -> None:
    """Everybody has taken the settings: PostgreSQL goes by them."""

    async def look() -> bool:
        return all([await query(pod, "SHOW work_mem") == [(work_mem,)] for pod in cluster.pods.values()])

    await cluster.until(f"work_mem is {work_mem} everywhere", look)


async def test_each_release_leads_follows_and_takes_the_others_settings(empty: Cluster) -> None:
    """An upgrade, the operator first, and its taking back: copy by copy, under load, with a leader of either release
    that dies, and nothing is lost."""
    last = earlier.provide()
    assert last.program.root != OURS.root
    ours = empty.say
    for _ in range(3):
        empty.add().program = last.program
    empty.say = last.say
    await empty.tell()
    await empty.start()
    first = await empty.ready()
    second, third = empty.others(first)
    async with Writers(empty).at_work() as writers:
        # This operator, the last release's agents.
        empty.say = ours
        await empty.tell(parameters={"work_mem": "5MB"})
        await _in_force(empty, "5MB")
        # One reader of ours; the leader of the last release dies, and then whoever follows it.
        await _roll(second, OURS)
        await empty.ready()
        await first.call("POST", "/v1/switchover", f'{{"target": "{second.name}"}}')
        assert await empty.writer(but=first) is second
        await empty.ready()
        await second.kill()
        assert (await empty.writer(but=second)).program is last.program
        await second.start()
        writer = await empty.ready()
        # This tree's agents are two, and the operator is taken back.
        await _roll(next(pod for pod in (first, third) if pod is not writer), OURS)
        await empty.ready()
        empty.say = last.say
        await empty.tell(parameters={"work_mem": "6MB"})
        await _in_force(empty, "6MB")
        await writer.kill()
        assert (await empty.writer(but=writer)).program is OURS
        await writer.start()
        await empty.ready()
        await writers.one_more()
    assert {pod.program for pod in empty.pods.values()} == {OURS, last.program}


def test_a_checkout_without_the_last_release_is_told_so() -> None:
    with pytest.raises(AssertionError, match="git fetch --unshallow"):
        earlier.provide("0" * 40)
