"""Scales this copy, if it is serverless: decides once a second, and resizes its own pod in place.

Not the operator's work: it must be quick, and go on while the operator is away. The pod's service account may resize
the pods of its own cluster that scale, and no others.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aurora_operator.agent.member.configuration import Configuration
from aurora_operator.agent.member.instance import Instance, Size
from aurora_operator.agent.member.kubeapi import KubeError
from aurora_operator.agent.scaling import page_cache
from aurora_operator.agent.scaling.cgroup import reader
from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base.load import Load
from aurora_operator.api.base.names import API_PORT
from aurora_operator.api.spec.capacity import ACU_BYTES, STEP, CapacityRange, CapacityStatus, cpu_limit_millis
from aurora_operator.consensus.types import name_of
from aurora_operator.net.http_client import Client, ClientError
from aurora_operator.policy import capacity_v1
from aurora_operator.policy.capacity import State, decide
from aurora_operator.postgres.errors import PostgresError
from aurora_operator.postgres.sql.scaling_point import obstacle

log = logging.getLogger(__name__)

ROOM: Final = 0.9
"""How much of a lower limit may be in use for it to be asked for."""
SLOW_SECONDS: Final = 2.0
"""A resize that takes longer is asked after."""
PENDING_SECONDS: Final = 4.0
"""A node that has no room for this long has none: less is tried."""
SHRINK_AGAIN_SECONDS: Final = 20.0
"""When to try again after more was in use than could be dropped."""
CEILING_SECONDS: Final = 60.0
"""How long what the node had no room for is not tried again."""


@dataclass(frozen=True, slots=True)
class _Asked:
    acu: float
    at: float


class Scaler:
    """Keeps the pod's size as the load asks."""

    def __init__(
        self, copy: Instance, configuration: Configuration, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._copy = copy
        self._configuration = configuration
        self._read = reader()
        self._state = State()
        self._state_v1 = capacity_v1.State()
        self._asked: _Asked | None = None
        self._ceiling: tuple[float, float] | None = None
        """What is more than the node had room for, and until when that is believed."""
        self._obstacle: str | None = None
        self._shrink_again = 0.0
        self._writer = (0.0, -math.inf)
        self._client: tuple[str, Client] | None = None
        """Of the writer's agent, with the writer's host."""
        self._said = self._told = ""
        self._measured = asyncio.Event()

    def measured(self) -> None:
        """There is a new measurement of the load."""
        self._measured.set()

    async def run(self) -> None:
        """Until cancelled; once for each new measurement."""
        copy = self._copy
        try:
            while True:
                await self._measured.wait()
                self._measured.clear()
                if copy.load is None:
                    continue
                try:
                    await self._second(copy.load)
                except (KubeError, PostgresError, OSError) as error:
                    if str(error) != self._said:
                        log.warning("scaling: %s", error)
                        self._said = str(error)
        finally:
            if self._client is not None:
                await self._client[1].close()

    async def _second(self, load: Load) -> None:
        copy = self._copy
        member = copy.settings.member(copy.environment.instance)
        limits = member.capacity if member is not None else None
        if limits is None or not load.memory_limit_bytes:
            copy.capacity = copy.size = None
            return
        now = self._clock()
        actual = load.memory_limit_bytes / ACU_BYTES
        if copy.role == "none":
            # What starting takes says nothing about the load to come.
            copy.capacity = CapacityStatus(now=actual, wanted=actual, most=limits.most)
            return
        if self._asked is not None and self._asked.acu == actual:
            log.info("capacity is %g ACU, %.1f s after it was asked for", actual, now - self._asked.at)
            self._asked = None
            if self._ceiling is None:
                self._obstacle = None
        basis = self._asked.acu if self._asked is not None else actual
        decision = await self._decide(load, limits, basis, now)
        wanted = decision.acu
        allowed = self._allowed(wanted, actual, now, limits)
        if self._asked is None:
            await self._fit(actual)
            if allowed != actual:
                await self._ask(allowed, actual, load, now, decision.reason)
        elif allowed > self._asked.acu and (self._obstacle is None or self._asked.acu < actual):
            await self._ask(allowed, actual, load, now, decision.reason)
        elif now - self._asked.at > SLOW_SECONDS:
            await self._look_after(actual, now, limits)
        if wanted <= actual and self._asked is None:
            self._obstacle = None
        copy.capacity = CapacityStatus(
            now=actual,
            wanted=decision.wanted,
            reason=decision.reason,
            obstacle=self._obstacle,
            most=limits.most,
            change=decision.change,
        )

    async def _decide(self, load: Load, limits: CapacityRange, basis: float, now: float) -> capacity_v1.Decision:
        """By the rules of v1 or v2. Raises PostgresError."""
        floor = await self._floor(limits, now)
        if limits.scaling_point is None:
            made = decide(self._state, load, limits, basis, now, floor)
            self._state, self._state_v1 = made.state, capacity_v1.State()
            return capacity_v1.Decision(made.acu, made.acu, made.reason, self._state_v1)
        if self._copy.role != "writer":
            decision = capacity_v1.follow(self._state_v1, limits, basis, now, floor or None)
        else:
            decision = capacity_v1.decide(self._state_v1, load, limits, basis, now, None)
            if decision.state.attempt is not None:
                point = capacity_v1.Point(await obstacle(self._copy.watching, self._copy.layout.pgdata))
                decision = capacity_v1.decide(self._state_v1, load, limits, basis, now, point)
            if decision.change is not None and decision.reason != self._told:
                log.info("capacity is to be %g ACU: %s", decision.wanted, decision.reason)
                self._told = decision.reason
        self._state_v1 = decision.state
        return decision

    def _allowed(self, wanted: float, actual: float, now: float, limits: CapacityRange) -> float:
        if self._ceiling is not None and now > self._ceiling[1]:
            self._ceiling = None
        if self._ceiling is None or wanted <= actual:
            return wanted
        return max(min(wanted, limits.at_most(self._ceiling[0] - STEP)), actual)

    async def _floor(self, limits: CapacityRange, now: float) -> float:
        """The writer's wish, for who follows it: who can have it shows that there is room."""
        copy = self._copy
        leader = copy.leader_id() if limits.follows_writer else None
        if leader is None or leader == copy.id:
            return 0.0
        member = copy.settings.member(name_of(leader))
        if member is None or member.capacity is None:
            return 0.0
        if self._client is None or self._client[0] != member.host:
            if self._client is not None:
                await self._client[1].close()
            self._client = member.host, Client(member.host, API_PORT, copy.certificates.client, timeout=1.0)
        try:
            answer = await self._client[1].request("GET", "/v1/status")
            capacity = AgentStatus.model_validate_json(answer.body).capacity
            if capacity is not None:
                # One that waits for a scaling point may never get there.
                wanted = capacity.now if capacity.change is not None else capacity.wanted
                self._writer = (max(capacity.now, wanted), now)
        except (ClientError, ValueError) as error:
            log.debug("the writer's capacity is not known: %s", error)
        known, at = self._writer
        return min(known, limits.most) if now - at < 2 * PENDING_SECONDS else 0.0

    async def _ask(self, acu: float, actual: float, load: Load, now: float, reason: str) -> None:
        copy = self._copy
        if acu < actual:
            if now < self._shrink_again or not await self._make_room(int(ROOM * acu * ACU_BYTES), load, now):
                return
            # PostgreSQL plans for less before there is less.
            await self._fit(acu)
        log.info("capacity from %g to %g ACU: %s", actual, acu, reason)
        await copy.kube.resize(acu)
        self._asked = _Asked(acu, now)

    async def _make_room(self, until: int, load: Load, now: float) -> bool:
        """Have no more than `until` bytes in use, page cache included."""
        if load.memory_bytes <= until:
            return True
        pgdata = self._copy.layout.pgdata
        used = await asyncio.to_thread(page_cache.drop, pgdata, lambda: self._read().memory, until)
        log.info("let page cache go: of %d MiB, %d are in use now", load.memory_bytes >> 20, used >> 20)
        if used > until:
            self._shrink_again = now + SHRINK_AGAIN_SECONDS
        return used <= until

    async def _fit(self, acu: float) -> None:
        """Have PostgreSQL use a size."""
        copy = self._copy
        size = Size(cpu_limit_millis(acu), int(acu * ACU_BYTES))
        if copy.size == size:
            return
        copy.size = size
        if copy.server.alive and copy.layout.initialised():
            await self._configuration.take_parameters()

    async def _look_after(self, actual: float, now: float, limits: CapacityRange) -> None:
        """A resize is not in force yet: hear why, and make do with less if the node has no more."""
        copy, asked = self._copy, self._asked
        if asked is None:
            return
        why = await copy.kube.resize_obstacle()
        if why is not None:
            self._obstacle = f"{asked.acu:g} ACU cannot be had: {why}"
        elif self._ceiling is None:
            self._obstacle = None
        if why is None or now - asked.at < PENDING_SECONDS or asked.acu < actual:
            return
        log.warning("%s", self._obstacle)
        self._ceiling = (asked.acu, now + CEILING_SECONDS)
        half = limits.at_most((actual + asked.acu) / 2)
        await copy.kube.resize(half)
        self._asked = None if half <= actual else _Asked(half, now)
