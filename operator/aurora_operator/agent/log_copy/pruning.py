"""Removing WAL that no candidate could need any more."""

from __future__ import annotations

import logging
import time

from aurora_operator.agent.log_copy.volume import Volume
from aurora_operator.agent.member.member import Member
from aurora_operator.agent.peers.agent_client import status_of
from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.api.agent.settings import Settings
from aurora_operator.consensus.types import CopyId
from aurora_operator.net.http_client import ClientError
from aurora_operator.postgres import disk
from aurora_operator.postgres.config.conf import Source
from aurora_operator.postgres.wal.received import needed_by

log = logging.getLogger(__name__)

PERIOD_SECONDS = 10.0
TIGHT = 0.75
"""Above this use of the volume, instances that are not there are not waited for: their WAL is the leader's to keep,
and they can be cloned, while a full log copy acknowledges nothing to anybody."""


def needed(leader: AgentStatus, settings: Settings, *, tight: bool) -> int:
    """The LSN from which on WAL must be kept, as the leader's status shows its replicas. Pure."""
    flushed = {r.name: r.flush_lsn for r in leader.replicas if r.state == "streaming"} | {leader.name: leader.lsn}
    instances = [m.name for m in settings.members if m.kind == "instance"]
    if tight:
        instances = [name for name in instances if name in flushed]
    return min(needed_by(flushed, instances, leader.lsn), leader.lsn)


class Pruning:
    """Asks the leader how far each instance is, now and then."""

    def __init__(self, copy: Member, volume: Volume) -> None:
        self._copy = copy
        self._volume = volume
        self._last = time.monotonic()

    async def run(self, leader: CopyId, epoch: int, *, at_once: bool = False) -> None:
        """Prune if it is time. What does not work now will later. Raises OSError."""
        if time.monotonic() - self._last < PERIOD_SECONDS and not at_once:
            return
        self._last = time.monotonic()
        copy = self._copy
        if self._volume.small() and not at_once:
            return
        usage = disk.usage(copy.layout.data)
        tight = usage.used > TIGHT * usage.size
        address = copy.peers.address(leader)
        if address is None or address[1] is None:
            return
        try:
            status = await status_of(copy.certificates.client, Source(address[0], address[1]))
        except ClientError as error:
            log.info("cannot ask %s how far the instances are: %s", leader, error)
            return
        if status.role != "writer" or status.epoch != epoch:
            return
        removed = await self._volume.prune(min(needed(status, copy.settings, tight=tight), copy.position_lsn))
        position = copy.driver.state.position
        if position is not None and position.epoch == epoch:
            await self._volume.prune_kept(0 if tight else 3)
        if removed:
            log.info("removed %d WAL files that every instance has", removed)
