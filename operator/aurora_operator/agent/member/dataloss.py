"""Accepting data loss: the one command that lets survivors go on without a read quorum."""

from __future__ import annotations

import logging

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.member.driver import Driver
from aurora_operator.agent.member.kubeapi import KubeError, config_of
from aurora_operator.agent.ports import Clock, RecordStore, clock
from aurora_operator.api.agent.messages import AcceptDataLoss
from aurora_operator.consensus import forced
from aurora_operator.consensus.events import ForceMembership
from aurora_operator.consensus.types import NO_CONFIG, ConfigKey

log = logging.getLogger(__name__)


async def accept(driver: Driver, store: RecordStore, request: AcceptDataLoss, now: Clock = clock) -> None:
    """Take the survivors' membership. Raises Refused where that cannot be, or is not what was stated."""
    try:
        record, _ = await store.read_record()
        held = config_of(record.config) if record.config is not None else NO_CONFIG
    except (KubeError, ValueError) as error:
        raise Refused(f"the cluster's record, which may know of a later writer, cannot be read: {error}") from error
    config = forced.newest(driver.state, held)
    if ConfigKey(request.config_epoch, request.config_version) != config.key:
        raise Refused(f"the membership is {config.key.epoch}.{config.key.version} now: look again at what is lost")
    lost = config.voters - frozenset(request.survivors)
    if frozenset(request.lost) != lost:
        raise Refused(f"not what was stated: these survivors give up {', '.join(sorted(lost)) or 'nobody'}")
    wish = ForceMembership(frozenset(request.survivors), record.epoch, held)
    if refusal := forced.refusal(driver.state, now(), wish):
        raise Refused(refusal)
    log.critical("data loss accepted by command: %s go on without %s", sorted(wish.survivors), sorted(lost))
    driver.post(wish)
