"""What somebody else has damaged ends no agent, and stops no election."""

from __future__ import annotations

import pytest
from tests.integration.agents.cluster import Cluster
from tests.integration.agents.writers import Writers

from aurora_operator.api.agent.record import RECORD_KEY


@pytest.mark.parametrize("data", [{}, {RECORD_KEY: "{}"}, {RECORD_KEY: '{"state": "initialised", "epoch": -1}'}])
async def test_with_a_damaged_record_a_failover_goes_as_ever(three: Cluster, data: dict[str, str]) -> None:
    first = await three.ready()
    held = three.kubernetes.damage_record(data)
    async with Writers(three).at_work() as writers:
        before = await writers.one_more()
        await first.kill()
        await three.until("another one takes writes", lambda: any(a.epoch > before.epoch for a in writers.acknowledged))
        await three.until(
            "its leader says so", lambda: any("is damaged: " in pod.said() for pod in three.others(first))
        )
        await writers.one_more()
        assert all(pod.running for pod in three.others(first))
        three.kubernetes.damage_record(held)
        await first.start()
        writer = await three.ready()
        await writers.one_more()
        leader = three.kubernetes.record.leader
        assert leader is not None and leader.startswith(f"{writer.name}/"), "it has written the record in the end"
