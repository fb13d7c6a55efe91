"""What one room adds to a plan, and the sum of all that rooms add: the contract between a feature and the planner.

`planning.plan` chooses first (`planning.choices`: who is there, where, who votes, what may be interrupted), and then
asks each room of its list `ROOMS` for a `Contribution`. A room is a function

    contribute(view: Facts, choices: Needs) -> Contribution

where `view` is what was observed, and `Needs` is a protocol that names the choices which the room reads, and no others.
A room does not know of the other rooms. It says what is to be so in all; what is there already is left out by the plan.

Contributions are added with `+`, which is associative and has `NOTHING` as its identity: sequences follow one another,
of keys that both have the right one's value counts, and of single values the right one's if it has any. No two rooms
use the same key of a status, the same annotation, or the same object (the tests check it). `in_order` decides in what
order a plan names objects and calls, so that this does not depend on the order of rooms.

To add a feature:

1. its field in `aurora_operator.api.spec`, and what is said of it in `aurora_operator.api.status`;
2. a room, a folder here whose `contribute.py` has the function above (`autoscaling/contribute.py` is a short one); its
   name is added to the layers "Rooms of planning" in `pyproject.toml`;
3. one line in `planning.plan.ROOMS`. Its place there is the place of its sentences in messages.

What other rooms must know before they can contribute is a choice: it is made in `planning.choices`, in the order that
stands there. A room that interrupts a copy that serves must be a choice, too: `planning.disruptions` says what counts,
and no plan may hold two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final, NamedTuple

from aurora_operator.api.base.conditions import ConditionStatus
from aurora_operator.api.status import ClusterPhase
from aurora_operator.planning.model.plan_model import (
    AcceptLoss,
    AgentCall,
    CheckParameters,
    EventSpec,
    ObjectRef,
    PushSettings,
    Restart,
    StopWriter,
    Switchover,
    TakeBackup,
    TakeSnapshot,
)


class Condition(NamedTuple):
    """A condition as a room states it; `api.base.conditions.Condition` is what the status stores."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


@dataclass(frozen=True)
class Contribution:
    """What one room, or several together, add to a plan. All fields but the last five are those of `Plan`."""

    apply: tuple[dict[str, Any], ...] = ()
    """Objects as they should be. The plan leaves out those that are so already."""
    create: tuple[dict[str, Any], ...] = ()
    """Objects that are missing, and that are never changed once they are there."""
    delete: tuple[ObjectRef, ...] = ()
    calls: tuple[AgentCall, ...] = ()
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    wakes: str | None = None
    finalizers: tuple[str, ...] | None = None
    events: tuple[EventSpec, ...] = ()
    why: tuple[str, ...] = ()
    """A sentence for each step that does not speak for itself: that objects are applied or created is said by the
    plan."""
    progress: tuple[str, ...] = ()
    """What is under way, a sentence each: the cluster is not Ready before it is done."""
    faults: tuple[str, ...] = ()
    """What does not work, a sentence each: the cluster is Degraded."""
    conditions: tuple[Condition, ...] = ()
    phase: tuple[ClusterPhase, str] | None = None
    """Phase and message of a cluster, where the room decides them whatever the copies do."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `AuroraClusterStatus`, by their names in Python."""

    def __add__(self, other: Contribution) -> Contribution:
        return Contribution(
            apply=(*self.apply, *other.apply),
            create=(*self.create, *other.create),
            delete=(*self.delete, *other.delete),
            calls=(*self.calls, *other.calls),
            annotations={**self.annotations, **other.annotations},
            wakes=self.wakes if other.wakes is None else other.wakes,
            finalizers=self.finalizers if other.finalizers is None else other.finalizers,
            events=(*self.events, *other.events),
            why=(*self.why, *other.why),
            progress=(*self.progress, *other.progress),
            faults=(*self.faults, *other.faults),
            conditions=(*self.conditions, *other.conditions),
            phase=self.phase if other.phase is None else other.phase,
            status={**self.status, **other.status},
        )


NOTHING: Final = Contribution()
"""The identity of `+`."""


def total(contributions: Iterable[Contribution]) -> Contribution:
    """The sum."""
    return reduce(Contribution.__add__, contributions, NOTHING)


KINDS: Final = (
    "Secret",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "Service",
    "EndpointSlice",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ConfigMap",
    "VolumeSnapshot",
    "PersistentVolumeClaim",
    "StatefulSet",
    "Deployment",
    "Pod",
    "Job",
    "AuroraSnapshot",
)
"""What others need comes first."""
CALLS: Final = (
    CheckParameters,
    PushSettings,
    StopWriter,
    AcceptLoss,
    Restart,
    Switchover,
    TakeBackup,
    TakeSnapshot,
)
"""Everybody hears of new settings before anything is asked of them."""


def in_order(objects: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Objects to write, in the order in which they need each other, whichever rooms they come from."""
    return tuple(sorted(objects, key=lambda obj: (KINDS.index(obj["kind"]), obj["metadata"]["name"])))


def deletions_in_order(references: Iterable[ObjectRef]) -> tuple[ObjectRef, ...]:
    """Objects to delete: what needs others goes before them."""
    return tuple(sorted(references, key=lambda ref: (-KINDS.index(ref.kind), ref.name)))


def calls_in_order(calls: Iterable[AgentCall]) -> tuple[AgentCall, ...]:
    """Calls by what they ask for, then by who is asked."""

    def key(call: AgentCall) -> tuple[int, str]:
        return CALLS.index(type(call)), call.leader if isinstance(call, Switchover) else call.instance

    return tuple(sorted(calls, key=key))
