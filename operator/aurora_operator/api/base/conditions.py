"""Conditions, in the standard form of KEP-1623, and how they change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import Field

from aurora_operator.api.base.base import WireModel

ConditionStatus = Literal["True", "False", "Unknown"]

READY: Final = "Ready"
"""The cluster is as its spec says: all instances serve, nothing is under way, and writes have their quorum."""
AVAILABLE: Final = "Available"
"""Writes are possible now."""
PROGRESSING: Final = "Progressing"
"""The operator or an agent is changing something."""
DEGRADED: Final = "Degraded"
"""Something that should work does not."""
SPEC_ACCEPTED: Final = "SpecAccepted"
"""What the spec asks for can be done here. While it is False, the cluster goes on as it was."""
AUTO_PAUSE: Final = "AutoPause"
"""The cluster pauses when nobody uses it. Only there with minCapacity 0."""
CAPACITY_MET: Final = "CapacityMet"
"""Serverless instances have the capacity that their load asks for. Only there where instances scale."""
DURABILITY_MET: Final = "DurabilityMet"
"""As many copies, in as many zones, as the spec asks for."""
RECONCILED: Final = "Reconciled"
"""False while the operator cannot carry out what it planned; else it is not there."""
STORAGE_HEALTHY: Final = "StorageHealthy"
"""Every volume has room left, or is growing, and nothing piles up on one."""

PROXY_READY: Final = "ProxyReady"
"""All pods of the proxy take clients. Only there with `spec.proxy`."""

NAME_TAKEN: Final = "NameTaken"
"""An object that the cluster needs has a name that somebody else's has. Only there while it is so."""
PASSWORD_REFUSED: Final = "PasswordRefused"  # noqa: S105  a condition
"""What is in the Secret cannot be a password. Only there while it is so."""

TROUBLES: Final = (NAME_TAKEN, PASSWORD_REFUSED)

BACKUP_HEALTHY: Final = "BackupHealthy"
"""All WAL is stored within seconds, and backups are taken. Only where there is `spec.backup`."""
RESTORE_REHEARSED: Final = "RestoreRehearsed"
"""The newest backup was restored, and all was there. Only where that is asked for."""


class Condition(WireModel):
    """One observation about the cluster."""

    type: str = Field(
        max_length=316,
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        description="What is observed: Ready, Available, Progressing, Degraded, SpecAccepted, DurabilityMet, "
        "StorageHealthy, CapacityMet or AutoPause.",
    )
    status: ConditionStatus = Field(description="Whether it holds: True, False or Unknown.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="Why, in one CamelCase word for programs.",
    )
    message: str = Field(default="", max_length=32768, description="Why, in a sentence for people.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that this was said about."
    )


def set_condition(
    conditions: Iterable[Condition],
    type: str,
    status: ConditionStatus,
    reason: str,
    message: str,
    *,
    now: datetime,
    observed_generation: int | None = None,
) -> tuple[Condition, ...]:
    """`conditions` with the one of `type` replaced, or added at the end.

    `lastTransitionTime` becomes `now` only when `status` changes; it has whole seconds, as Kubernetes stores it.
    """
    before = tuple(conditions)
    old = get_condition(before, type)
    moment = now.astimezone(UTC).replace(microsecond=0)
    new = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=old.last_transition_time if old is not None and old.status == status else moment,
        observed_generation=observed_generation,
    )
    if old is None:
        return (*before, new)
    return tuple(new if c.type == type else c for c in before)


def get_condition(conditions: Iterable[Condition], type: str) -> Condition | None:
    """The condition of `type`, or None."""
    return next((c for c in conditions if c.type == type), None)


def is_true(conditions: Iterable[Condition], type: str) -> bool:
    """Whether the condition of `type` is there and True."""
    condition = get_condition(conditions, type)
    return condition is not None and condition.status == "True"
