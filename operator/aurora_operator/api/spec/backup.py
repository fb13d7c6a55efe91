"""Continuous backup: `spec.backup`, and Aurora's fields beside it."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated, ClassVar, Final

from pydantic import Field

from aurora_operator.api.base import names
from aurora_operator.api.base.base import Model
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.repository import Destination, Encryption, Repository, rules_of_encryption
from aurora_operator.api.spec.resources import Resources

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


def _cron_field(number: str, words: str = "") -> str:
    value = f"({number}|{words})" if words else f"({number})"
    item = rf"([*]|{value}(-{value})?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


_CRON: Final = " +".join(
    (
        _cron_field("[0-5]?[0-9]"),
        _cron_field("[01]?[0-9]|2[0-3]"),
        _cron_field("0?[1-9]|[12][0-9]|3[01]"),
        _cron_field("0?[1-9]|1[0-2]", "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"),
        _cron_field("[0-7]", "SUN|MON|TUE|WED|THU|FRI|SAT"),
    )
)
_CRON_FORM: Final = re.compile(_CRON, re.ASCII | re.IGNORECASE)

CronSchedule = Annotated[
    str,
    Field(max_length=100),
    Rule(
        cel=f"self.matches('^(?i){_CRON}$')",
        message="schedule must have cron's five fields (minute, hour, day of the month, month, day of the week), in "
        "UTC, such as 0 4 * * SUN for every Sunday at four o'clock.",
        check=lambda text: _CRON_FORM.fullmatch(text) is not None,
    ),
]
"""When, as a CronJob says it. What its form cannot show is judged in planning."""


class RestoreRehearsal(Model):
    """Restores that show that the backups are good: into a place of their own, which is gone afterwards."""

    schedule: CronSchedule | None = Field(
        default=None,
        description="When, by cron's five fields, in UTC: 0 4 * * SUN is every Sunday at four o'clock. Default: only "
        "when it is asked for.",
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="A query on what was restored, which must return one row that begins with true. It runs as a user "
        "who may read everything and change nothing. Name tables with their schemas.",
    )
    database: str | None = Field(
        default=None, min_length=1, max_length=63, description="The database it runs in. Default: databaseName."
    )
    deadline_seconds: Annotated[int, _between("deadlineSeconds", 60, 604800, "seconds")] = Field(
        default=21600, description="After this long it is called off, and counts as failed."
    )
    resources: Resources = Field(
        default=Resources(),
        description="CPU and memory of its pod. Default: 250m and 1Gi, whatever the instances have.",
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
    restore_rehearsal: RestoreRehearsal | None = Field(
        default=None, description="Restore the newest backup from time to time, and see whether all is there."
    )
    service_account_annotations: Annotated[dict[str, str], Field(max_length=16)] = Field(
        default_factory=dict,
        description="Annotations of the pods' ServiceAccount, for destinations that know pods by it, such as "
        "eks.amazonaws.com/role-arn.",
    )

    RULES: ClassVar = (*rules_of_encryption(),)

    def repository_of(self, cluster: str, namespace: str, uid: str) -> Repository:
        """The repository of the cluster in whose spec this is."""
        return Repository(
            destination=self.destination.resolved(namespace),
            stanza=names.stanza(cluster, uid),
            encryption=self.encryption,
        )
