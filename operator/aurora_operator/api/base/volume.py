"""What a copy's volume holds, as its agent sees it, and why."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aurora_operator.api.base.base import WireModel

Brake = Literal["off", "on", "held"]
"""What the agent does about a volume that is nearly full: nothing; clients may not write; PostgreSQL is kept down."""


class SlotUse(WireModel):
    """A replication slot, and how much WAL waits for it."""

    name: str
    logical: bool
    active: bool
    retained_bytes: int = Field(ge=0)


class LeftSlot(WireModel):
    """A logical replication slot that a reader has from when it was the writer, and that nobody uses there."""

    name: str
    database: str
    retained_bytes: int = Field(ge=0)


class VolumeUse(WireModel):
    """Bytes of the file system. What the agent holds in reserve counts as free."""

    size_bytes: int = Field(ge=0)
    used_bytes: int = Field(ge=0)
    wal_bytes: int = Field(default=0, ge=0, description="Files of pg_wal.")
    wal_target_bytes: int = Field(default=0, ge=0, description="max_wal_size: what pg_wal grows to by itself.")
    temporary_bytes: int = Field(default=0, ge=0, description="Temporary files of queries.")
    growth_bytes_per_second: float = Field(default=0, ge=0, description="How fast it has been filling lately.")
    slots: tuple[SlotUse, ...] = ()
    archive_failing: str | None = Field(default=None, description="The WAL file that could not be archived last.")
    archive_waiting: int = Field(default=0, ge=0, description="WAL files that wait to be archived.")
    brake: Brake = "off"

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return max(self.size_bytes - self.used_bytes, 0)
