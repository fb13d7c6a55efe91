"""What the judgement on the state of a cluster is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aurora_operator.api.base.conditions import ConditionStatus
from aurora_operator.api.status import (
    BackupStatus,
    ClusterPhase,
    DataLossStatus,
    OriginStatus,
    ReaderAutoscalingStatus,
    StorageStatus,
)
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.recovery.lost_copies import NONE as NO_LOSSES
from aurora_operator.planning.recovery.lost_copies import Losses
from aurora_operator.planning.rollout.moving import NONE as NO_MOVES
from aurora_operator.planning.rollout.moving import Moves
from aurora_operator.planning.spec.validation import Verdict

Said = tuple[str, ConditionStatus, str, str]
"""A condition: type, status, reason, message."""


@dataclass(frozen=True)
class Picture:
    """What planning decided, as far as the status tells of it."""

    verdict: Verdict
    wanted: tuple[int, ...] = ()
    present: tuple[int, ...] = ()
    zones: Mapping[int, str | None] = field(default_factory=dict)
    voters: tuple[str, ...] = ()
    votes: Votes | None = None
    losses: Losses = NO_LOSSES
    moves: Moves = NO_MOVES
    data_loss: DataLossStatus | None = None
    progress: tuple[str, ...] = ()
    """What is under way, a sentence each."""
    switching: bool = False
    """A switchover is being asked for right now."""
    faults: tuple[str, ...] = ()
    """What does not work, a sentence each."""
    readers: ReaderAutoscalingStatus | None = None
    storage: StorageStatus | None = None
    storage_said: Said | None = None
    asleep: tuple[ClusterPhase, str] | None = None
    """Phase and sentence of a cluster that sleeps, or is on its way there or back."""
    power_said: tuple[Said, ...] = ()
    backup: BackupStatus | None = None
    backup_said: Said | None = None
    rehearsal_said: Said | None = None
    deleting: str | None = None
    """How far deletion is."""
    protected: bool = False
    """Deletion was asked for, and is refused."""
    origin: OriginStatus | None = None
    """How the cluster got, or gets, its first data; None: as it was said before."""
