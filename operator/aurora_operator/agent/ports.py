"""What a copy stands on: its paths, its programs and its addresses, and what its parts need of the outside.

The disk's is `postgres.files.FileSystem`. Time passes by the event loop that a part runs on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from aurora_operator.api.agent.record import Record
from aurora_operator.consensus.messages import Message
from aurora_operator.consensus.types import Config, ConfigKey, CopyId, Position, SyncRule
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.tools import Tools

Clock: TypeAlias = Callable[[], int]
"""Milliseconds of a clock that never goes back."""


def clock() -> int:
    """This machine's `Clock`."""
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A pod's by default. Several copies on one host, as in tests, have one each."""

    layout: Layout = field(default_factory=Layout)
    tools: Tools = field(default_factory=Tools)
    listen: str | None = None
    """The one address that this copy's servers listen on; every address of a pod if None."""
    os_users: tuple[str, ...] = ("postgres",)
    """Users of the operating system that PostgreSQL lets in as its superuser, by its socket."""
    door: Path = Path("/usr/lib/postgresql/17/lib/aurora_door.so")
    """The library that PostgreSQL loads for its door, where it is there."""


class Network(Protocol):
    """How effects reach other copies."""

    def send(self, to: CopyId, message: Message) -> None:
        """Send to one, perhaps in vain."""

    def broadcast(self, message: Message) -> None:
        """Send to all, perhaps in vain."""


class Effects(Protocol):
    """How effects reach this copy's PostgreSQL and the record. Each call only starts the work; events tell its end."""

    def stop_receiver(self, epoch: int) -> None:
        """See `events.StopReceiver`."""

    def follow(self, leader: CopyId, epoch: int) -> None:
        """See `events.Follow`."""

    def fetch(self, epoch: int, source: CopyId, target: Position) -> None:
        """See `events.Fetch`."""

    def promote(self, epoch: int, rule: SyncRule) -> None:
        """See `events.Promote`."""

    def open(self, epoch: int) -> None:
        """See `events.Open`."""

    def stop(self, mode: str) -> None:
        """See `events.StopPostgres`."""

    def set_sync(self, key: ConfigKey, rule: SyncRule) -> None:
        """See `events.SetSync`."""

    def read_record(self, asked: int) -> None:
        """See `events.ReadRecord`."""

    def write_record(self, epoch: int, before: ConfigKey, after: Config) -> None:
        """See `events.WriteRecord`."""


class RecordStore(Protocol):
    """Where the cluster's record is kept. Each call raises KubeError where no answer comes."""

    async def read_record(self) -> tuple[Record, str]:
        """The record and its version, no older than it was when asked."""

    async def write_record(self, record: Record, version: str) -> None:
        """Compare-and-swap. Raises Conflict when the record is no longer at `version`."""
