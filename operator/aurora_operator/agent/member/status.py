"""The copy as the operator sees it."""

from __future__ import annotations

import time
from typing import Literal, cast

from aurora_operator.agent.member.kubeapi import config_status
from aurora_operator.agent.member.member import Member
from aurora_operator.api.agent.messages import AgentStatus
from aurora_operator.consensus.state import PROMOTED
from aurora_operator.consensus.types import Position, name_of
from aurora_operator.postgres import disk


def build(copy: Member) -> AgentStatus:
    """The status as of now."""
    state = copy.driver.state
    leading = state.role in PROMOTED
    leader = copy.leader_id()
    position = state.position or Position(0, 0)
    if state.leadership is not None:
        position = Position(state.leadership.epoch, state.leadership.lsn)
    usage = disk.usage(copy.layout.data)
    return AgentStatus(
        name=copy.environment.instance,
        kind=copy.environment.kind,
        incarnation=copy.incarnation,
        pod_uid=copy.environment.pod_uid,
        pod_ip=copy.environment.pod_ip,
        zone=copy.environment.zone,
        phase=copy.phase,
        message=copy.message,
        ailment=copy.ailment,
        role=cast(Literal["writer", "reader", "log", "none"], copy.role),
        epoch=copy.leader_epoch(),
        leader=name_of(leader) if leader else None,
        promised=state.durable.promised,
        lsn=copy.position_lsn,
        position_epoch=position.epoch,
        position_lsn=position.lsn,
        lag_bytes=0 if leading else copy.lag_bytes,
        lag_seconds=0.0 if leading else copy.lag_seconds,
        settings_revision=copy.settings.revision,
        applied_parameters=copy.applied_parameters,
        raised_parameters=copy.raised_parameters,
        parameters_error=copy.parameters_error,
        pending_restart=copy.pending_restart,
        server_version=copy.server_version,
        system_identifier=copy.system_identifier,
        config=config_status(state.durable.config) if state.durable.config.voters else None,
        closed=copy.closed if leading else None,
        replicas=copy.replicas if leading else (),
        commits_wait_seconds=round(copy.commits.stalled(time.monotonic()), 1) if leading else None,
        slowed=round(copy.slowed, 2) if leading else 0,
        task=copy.task,
        backup=copy.backup_report,
        backup_run=copy.backup_run,
        snapshot_run=copy.snapshot_run,
        holds_data=state.durable.promised > 0 or bool(state.durable.config.voters) or copy.layout.holds_data(),
        volume_bytes=usage.size,
        volume_used_bytes=copy.volume.used_bytes if copy.volume is not None else usage.used,
        load=copy.load,
        volume=copy.volume,
        idle_seconds=None if copy.idle_since is None else round(time.monotonic() - copy.idle_since, 1),
        pause_refused=copy.pause_refused,
        capacity=copy.capacity,
        left_slots=copy.left_slots if copy.role == "reader" else (),
        tls_not_after=copy.certificates.not_after().isoformat(),
    )
