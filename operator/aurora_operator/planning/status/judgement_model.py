"""What the judgement on the state of a cluster is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aurora_operator.api.status import ClusterPhase
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.membership.voting import Votes
from aurora_operator.planning.recovery.lost_copies import NONE as NO_LOSSES
from aurora_operator.planning.recovery.lost_copies import Losses
from aurora_operator.planning.rollout.moving import NONE as NO_MOVES
from aurora_operator.planning.rollout.moving import Moves
from aurora_operator.planning.spec.validation import Verdict


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
    progress: tuple[str, ...] = ()
    """What is under way, a sentence each."""
    switching: bool = False
    """A switchover is being asked for right now."""
    faults: tuple[str, ...] = ()
    """What does not work, a sentence each."""
    decided: tuple[ClusterPhase, str] | None = None
    """Phase and sentence, where a room decides them: of a cluster that sleeps, or is on its way there or back."""
    conditions: tuple[Condition, ...] = ()
    """What rooms state, after the conditions about the whole."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Parts of the status that rooms write."""
    deleting: str | None = None
    """How far deletion is."""
    protected: bool = False
    """Deletion was asked for, and is refused."""
