"""Continuous backup: `spec.backup`, and Aurora's fields beside it."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, ClassVar, Final

from pydantic import Field

from aurora_operator.api.base import Model
from aurora_operator.api.repository import Destination, Encryption, rules_of_encryption
from aurora_operator.api.rules import Rule, RuledModel

_HOUR: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_WINDOW: Final = re.compile(f"{_HOUR}-{_HOUR}", re.ASCII)
LEAST_WINDOW_MINUTES: Final = 30

RetentionPeriod = Annotated[
    int,
    Rule(
        cel="self >= 1 && self <= 35",
        message="backupRetentionPeriod must be 1 to 35 days.",
        check=lambda days: 1 <= days <= 35,
    ),
]
"""Days; Aurora's range."""


def parse_window(text: str) -> tuple[time, time]:
    """`hh24:mi-hh24:mi` as its two times of the day, in UTC. Raises ValueError."""
    if _WINDOW.fullmatch(text) is None:
        raise ValueError(f"not a window: {text!r}")
    first, _, last = text.partition("-")
    return time.fromisoformat(first), time.fromisoformat(last)


def window_minutes(text: str) -> int:
    """How long a window is; one that ends before it begins goes over midnight. Raises ValueError."""
    first, last = parse_window(text)
    return ((last.hour * 60 + last.minute) - (first.hour * 60 + first.minute)) % (24 * 60)


def _long_enough(text: str) -> bool:
    return _WINDOW.fullmatch(text) is None or window_minutes(text) >= LEAST_WINDOW_MINUTES


_MINUTES: Final = (
    "((int(self.substring(6, 8)) * 60 + int(self.substring(9, 11))) - "
    "(int(self.substring(0, 2)) * 60 + int(self.substring(3, 5))) + 1440) % 1440"
)

BackupWindow = Annotated[
    str,
    Field(max_length=11),
    Rule(
        cel=f"self.matches('^{_HOUR}-{_HOUR}$')",
        message="preferredBackupWindow must be hh24:mi-hh24:mi in UTC, such as 02:00-03:00.",
        check=lambda text: _WINDOW.fullmatch(text) is not None,
    ),
    Rule(
        cel=f"!self.matches('^{_HOUR}-{_HOUR}$') || {_MINUTES} >= {LEAST_WINDOW_MINUTES}",
        message=f"preferredBackupWindow must be at least {LEAST_WINDOW_MINUTES} minutes long.",
        check=_long_enough,
    ),
]


def _between(name: str, low: int, high: int, unit: str) -> Rule:
    return Rule(
        cel=f"self >= {low} && self <= {high}",
        message=f"{name} must be {low} to {high} {unit}.",
        check=lambda value: low <= value <= high,
    )


class BackupSchedule(Model):
    """How often which kind of backup is taken, always within preferredBackupWindow (the first one at once)."""

    full_every_days: Annotated[int, _between("fullEveryDays", 1, 35, "days")] = Field(
        default=7, description="Days from one full backup to the next."
    )
    differential_every_days: Annotated[int, _between("differentialEveryDays", 1, 35, "days")] | None = Field(
        default=None,
        description="Days from one backup of what has changed since the full one to the next. Default: none are taken.",
    )
    incremental_every_hours: Annotated[int, _between("incrementalEveryHours", 1, 840, "hours")] = Field(
        default=24,
        description="Hours from one backup, of whatever kind, to the next, which holds what has changed since. With "
        "less than 24, they are taken outside the window too.",
    )


class Backup(RuledModel):
    """Continuous backup: all WAL, at most seconds late, and backups to replay it on."""

    destination: Destination = Field(
        description="Where to keep backups. A cluster has a folder of its own there, named in status.backup."
    )
    encryption: Encryption | None = Field(default=None, description="Encryption of all that is stored.")
    schedule: BackupSchedule = Field(default=BackupSchedule(), description="How often which backup is taken.")
    recovery_point_seconds: Annotated[int, _between("recoveryPointSeconds", 1, 300, "seconds")] = Field(
        default=2,
        description="How often WAL that does not fill a segment yet is stored, while something is written: what could "
        "be lost if every copy burned. Each time costs a request to the destination.",
    )
    service_account_annotations: Annotated[dict[str, str], Field(max_length=16)] = Field(
        default_factory=dict,
        description="Annotations of the pods' ServiceAccount, for destinations that know pods by it, such as "
        "eks.amazonaws.com/role-arn.",
    )

    RULES: ClassVar = (*rules_of_encryption(),)
