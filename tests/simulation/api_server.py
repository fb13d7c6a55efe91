"""The Kubernetes API server: the cluster's record, and how one pod reaches it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aurora_operator.agent.member.kubeapi import Conflict, KubeError
from aurora_operator.api.agent.record import Record

if TYPE_CHECKING:
    from tests.simulation.node import Node

TIMEOUT_SECONDS = 0.8


class ApiServer:
    """As one pod sees it (`agent.ports.RecordStore`): it answers late, or not at all, which says nothing.

    While it is out of reach, a read gets through now and then, and so does a write, whose answer does not.
    """

    def __init__(self, node: Node) -> None:
        self._world = node.world
        self._node = node

    async def read_record(self) -> tuple[Record, str]:
        world, random = self._world, self._world.rng.random
        await asyncio.sleep((2 + 20 * random()) / 1000)
        if world.api_lost(self._node) and random() < 0.8:
            await self._no_answer()
        found = world.kept_record, str(world.record_version)
        if random() < 0.4:
            await asyncio.sleep(0.6 * random())
        return found

    async def write_record(self, record: Record, version: str) -> None:
        world, random = self._world, self._world.rng.random
        await asyncio.sleep((2 + 20 * random()) / 1000)
        lost = world.api_lost(self._node)
        if lost and random() < 0.7:
            await self._no_answer()
        if str(world.record_version) != version:
            if lost:
                await self._no_answer()
            raise Conflict("the record has changed")
        world.keep_record(record)
        if lost:
            await self._no_answer()

    async def _no_answer(self) -> None:
        await asyncio.sleep(TIMEOUT_SECONDS)
        raise KubeError("no answer")
