"""What pg_control says; readable whether PostgreSQL runs or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aurora_operator.api.base.lsn import parse_lsn
from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.tools import Tools

STANDBY_MINIMUMS: Final = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""Parameters that a standby needs at least as large as its primary had them ("Hot Standby", parameter reference).

PostgreSQL writes `max_prepared_xacts` and `max_locks_per_xact` in pg_controldata.
"""
_LABELS: Final = {"max_prepared_transactions": "max_prepared_xacts", "max_locks_per_transaction": "max_locks_per_xact"}
_CLEAN: Final = ("shut down", "shut down in recovery")


@dataclass(frozen=True, slots=True)
class Control:
    """The parts of pg_control that we need. LSNs are in bytes; `min_recovery` is 0 outside recovery."""

    system_identifier: str
    state: str
    checkpoint: int
    checkpoint_timeline: int
    min_recovery: int
    min_recovery_timeline: int
    checksums: bool
    standby_minimums: Mapping[str, int] = field(default_factory=dict)
    """What the primary had when this copy last heard of it."""

    @property
    def clean(self) -> bool:
        """Whether PostgreSQL was shut down in order, as pg_rewind wants it."""
        return self.state in _CLEAN


def parse_control(text: str) -> Control:
    """Read pg_controldata's output (of the C locale). Raises DataError."""
    fields = {
        key.strip(): value.strip() for key, found, value in (line.partition(":") for line in text.splitlines()) if found
    }
    try:
        return Control(
            system_identifier=fields["Database system identifier"],
            state=fields["Database cluster state"],
            checkpoint=parse_lsn(fields["Latest checkpoint location"]),
            checkpoint_timeline=int(fields["Latest checkpoint's TimeLineID"]),
            min_recovery=parse_lsn(fields["Minimum recovery ending location"]),
            min_recovery_timeline=int(fields["Min recovery ending loc's timeline"]),
            checksums=fields["Data page checksum version"] != "0",
            standby_minimums={name: int(fields[f"{_LABELS.get(name, name)} setting"]) for name in STANDBY_MINIMUMS},
        )
    except (KeyError, ValueError) as error:
        raise DataError(f"pg_controldata says something unexpected: {error}") from error


async def read_control(tools: Tools, pgdata: Path) -> Control:
    """Read a data directory's pg_control. Raises ToolError (missing), DataError (damaged)."""
    warnings: list[str] = []
    text = await tools.run("pg_controldata", "-D", pgdata, timeout=10, on_line=warnings.append)
    if any("CRC" in line for line in warnings) or "Calculated CRC checksum does not match" in text:
        raise DataError("pg_control is damaged: its checksum is wrong")
    return parse_control(text)
