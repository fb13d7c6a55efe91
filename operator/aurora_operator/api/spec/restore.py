"""A cluster that begins with the data of backups: `spec.restoreFrom`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final

from pydantic import Field

from aurora_operator.api.base.lsn import LSN_TEXT
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.repository import Destination, Encryption

_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_XID: Final = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_WAYS: Final = ("time", "lsn", "name", "xid")
_SOURCES: Final = ("cluster", "destination", "snapshot")


def parse_target_time(text: str) -> datetime:
    """An RFC 3339 time, in UTC. Raises ValueError."""
    if _TIME.fullmatch(text) is None:
        raise ValueError(f"not a time: {text!r}")
    return datetime.fromisoformat(text).astimezone(UTC)


def _is_time(text: str) -> bool:
    try:
        parse_target_time(text)
    except ValueError:
        return False
    return True


class RestoreTarget(RuledModel):
    """How far to go; nothing of it set means to the latest that is there."""

    time: (
        Annotated[
            str,
            Field(max_length=40),
            Rule(
                cel="self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?"
                "(Z|[+-][0-9]{2}:[0-9]{2})$')",
                message="target.time must be a time with its zone, such as 2026-11-25T14:03:59Z.",
                check=_is_time,
            ),
        ]
        | None
    ) = Field(default=None, description="To this moment: what was committed by then is there, what came later is not.")
    lsn: (
        Annotated[
            str,
            Field(max_length=17),
            Rule(
                cel="self.matches('^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$')",
                message="target.lsn must be as PostgreSQL writes it, such as 16/B374D848.",
                check=lambda text: LSN_TEXT.fullmatch(text) is not None,
            ),
        ]
        | None
    ) = Field(default=None, description="To this place in the WAL.")
    name: (
        Annotated[
            str,
            Field(min_length=1, max_length=63),
            Rule(
                cel="!self.matches('[[:cntrl:]]')",
                message="target.name must be text without control characters.",
                check=str.isprintable,
            ),
        ]
        | None
    ) = Field(default=None, description="To the point that pg_create_restore_point('NAME') made.")
    xid: (
        Annotated[
            str,
            Field(max_length=20),
            Rule(
                cel="self.matches('^[1-9][0-9]{0,19}$')",
                message='target.xid must be a transaction\'s number, in quotes, such as "7341".',
                check=lambda text: _XID.fullmatch(text) is not None,
            ),
        ]
        | None
    ) = Field(default=None, description="To the end of this transaction.")
    inclusive: bool = Field(
        default=True, description="Whether what is exactly at the target is there too. Not for name."
    )

    RULES: ClassVar = (
        Rule(
            cel="[" + ", ".join(f"has(self.{way})" for way in _WAYS) + "].filter(x, x).size() <= 1",
            message="target names at most one of time, lsn, name and xid; without any of them, the restore goes to the "
            "latest that is there.",
            check=lambda t: sum(getattr(t, way) is not None for way in _WAYS) <= 1,
        ),
    )

    def describe(self) -> str:
        """For people: `the latest point`, `time 2026-…`."""
        for way in _WAYS:
            value = getattr(self, way)
            if value is not None:
                return f"{way} {value}" + ("" if self.inclusive or way == "name" else ", exclusive")
        return "the latest point"


class RestoreFrom(RuledModel):
    """Whose backups, and how far. The source is only read."""

    cluster: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        default=None, description="An AuroraCluster of this namespace that has backups; it goes on undisturbed."
    )
    destination: Destination | None = Field(
        default=None, description="Where backups are, of a cluster that need not exist any more."
    )
    stanza: Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-z0-9][-a-z0-9]*$")] | None = Field(
        default=None,
        description="With destination: whose backups in it, as status.backup.stanza named them; or the cluster's name, "
        "where there are those of only one of that name.",
    )
    encryption: Encryption | None = Field(default=None, description="With destination: how the backups are encrypted.")
    snapshot: Annotated[str, Field(min_length=1, max_length=253)] | None = Field(
        default=None, description="An AuroraSnapshot of this namespace; the cluster that it is of need not exist."
    )
    target: RestoreTarget = Field(default=RestoreTarget(), description="How far to go. Default: to the latest.")

    RULES: ClassVar = (
        Rule(
            cel="[" + ", ".join(f"has(self.{source})" for source in _SOURCES) + "].filter(x, x).size() == 1",
            message="restoreFrom needs one of cluster, destination and snapshot, and only one.",
            check=lambda r: sum(getattr(r, source) is not None for source in _SOURCES) == 1,
        ),
        Rule(
            cel="!has(self.snapshot) || !has(self.target) || "
            + " && ".join(f"!has(self.target.{way})" for way in _WAYS),
            message="restoreFrom.target does not go with snapshot, whose data are of one moment.",
            check=lambda r: r.snapshot is None or all(getattr(r.target, way) is None for way in _WAYS),
        ),
        Rule(
            cel="has(self.stanza) == has(self.destination)",
            message="restoreFrom.stanza and restoreFrom.destination go together: stanza says whose backups there.",
            check=lambda r: (r.stanza is None) == (r.destination is None),
        ),
        Rule(
            cel="!has(self.encryption) || has(self.destination)",
            message="restoreFrom.encryption goes with destination; a cluster's own is known.",
            check=lambda r: r.encryption is None or r.destination is not None,
        ),
    )
