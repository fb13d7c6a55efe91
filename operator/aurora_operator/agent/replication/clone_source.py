"""Whom to clone from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from aurora_operator.agent.member.instance import Instance
from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.base.names import API_PORT
from aurora_operator.consensus.types import CopyId, name_of
from aurora_operator.net.http_client import Client, ClientError

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
NEAR_BYTES = 64 << 20
"""A reader further behind than this would hand its lag on."""

_UP: Final = frozenset({"Following", "Detached", "Electing", "Promoting", "Leading", "Resigning"})
"""Phases in which a copy's position is that of a PostgreSQL that runs."""


def nearest(statuses: Iterable[AgentStatus], leader: CopyId, zone: str | None) -> CopyId:
    """A healthy reader of our own zone; else the leader. Pure."""
    for status in sorted(statuses, key=lambda s: (s.lag_bytes or 0, s.name)):
        near = zone is not None and status.zone == zone
        fresh = status.phase == "Following" and not status.message and (status.lag_bytes or 0) <= NEAR_BYTES
        if near and fresh and status.leader == name_of(leader):
            return status.copy_id
    return leader


def holder(statuses: Iterable[AgentStatus], epoch: int) -> CopyId | None:
    """The furthest copy that has passed the start of `epoch`, and so has all that was committed before it. Pure."""
    there = [s for s in statuses if s.position_epoch >= epoch and s.phase in _UP]
    furthest = max(there, key=lambda s: (s.position_epoch, s.position_lsn, s.name), default=None)
    return None if furthest is None else furthest.copy_id


async def choose_source(copy: Instance, leader: CopyId) -> CopyId:
    """Ask the members how they are, and choose."""
    return nearest(await _ask_all(copy), leader, copy.environment.zone)


async def choose_holder(copy: Instance, epoch: int) -> CopyId | None:
    """Ask the other members, whether one has what was committed before `epoch`."""
    return holder(await _ask_all(copy), epoch)


async def _ask_all(copy: Instance) -> list[AgentStatus]:
    others = [m for m in copy.settings.members if m.name != copy.environment.instance and m.kind == "instance"]
    answers = await asyncio.gather(*(_ask(copy, m.host) for m in others))
    return [a for a in answers if a is not None]


async def _ask(copy: Instance, host: str) -> AgentStatus | None:
    try:
        async with Client(host, API_PORT, copy.certificates.client, timeout=ASK_SECONDS) as client:
            answer = await client.request("GET", "/v1/status")
            return AgentStatus.model_validate_json(answer.body) if answer.ok else None
    except (ClientError, ValueError) as error:
        log.debug("no status from %s: %s", host, error)
        return None
