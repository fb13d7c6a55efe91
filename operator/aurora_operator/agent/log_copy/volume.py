"""A log copy's volume: the WAL that it has, what it had before a gap, and what was put aside."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.consensus.types import Position
from aurora_operator.postgres import disk
from aurora_operator.postgres.files import make_directory, rename_durably
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.replication.base_backup import stamp
from aurora_operator.postgres.replication.quarantine import prune_kept
from aurora_operator.postgres.tools import Tools
from aurora_operator.postgres.wal import received
from aurora_operator.postgres.wal.history_files import prepare_to_receive
from aurora_operator.postgres.wal.timeline import History
from aurora_operator.postgres.wal.wal_end import WalEnd

log = logging.getLogger(__name__)

MARGIN_BYTES = 64 << 20
"""WAL that is kept though every instance has it; less on a small volume."""


class Volume:
    """All its methods but `position` want the receiver gone. Each raises PostgresError or OSError."""

    def __init__(self, layout: Layout, tools: Tools) -> None:
        self._layout = layout
        self._ends = WalEnd(tools, layout.run / "walend")
        self._ends_before = WalEnd(tools, layout.run / "walend")

    @property
    def folder(self) -> Path:
        """Where WAL is received into."""
        return self._layout.received

    def empty(self) -> bool:
        """Whether there is no WAL to go on from."""
        return not received.segments(self.folder)

    def ever_used(self) -> bool:
        """Whether there is any WAL at all: an empty volume is of a new copy."""
        return not self.empty() or bool(received.segments(self._layout.received_before))

    def small(self) -> bool:
        """Whether there is nothing that could be removed."""
        used = len(received.segments(self.folder)) * SEGMENT_BYTES
        return used <= self._margin() + SEGMENT_BYTES and not self._layout.kept.exists()

    def _margin(self) -> int:
        return min(MARGIN_BYTES, disk.usage(self._layout.data).size // 8)

    def disown(self) -> None:
        """The volume is a copy of another copy's: its WAL is not ours to serve, and stays aside."""
        for folder in (self.folder, self._layout.received_before):
            if folder.exists():
                rename_durably(folder, self._aside(0))

    async def open(self) -> None:
        """Make the folder; undo what a full volume or a crash left half done."""
        make_directory(self.folder)
        for name in await asyncio.to_thread(received.remove_stubs, self.folder):
            log.warning("removed %s: the volume was full before it had its size", name)

    async def settled(self) -> Position:
        """The position, once all that a killed receiver has written is on the disk."""
        await asyncio.to_thread(received.fsync_newest, self.folder)
        return await self.position()

    async def position(self) -> Position:
        """How far the WAL goes. After a gap, what was there before counts until there is more than that again."""
        now = await received.position(self.folder, self._ends)
        if received.segments(self._layout.received_before):
            before = await received.position(self._layout.received_before, self._ends_before)
            if now <= before:
                return before
            await asyncio.to_thread(self._forget_before, now.epoch)
        return now

    def _forget_before(self, epoch: int) -> None:
        target = self._aside(epoch)
        log.info("there is more WAL than before the gap; what was before it is in %s", target)
        rename_durably(self._layout.received_before, target)
        self._ends_before.forget()

    def begin_anew(self, epoch: int) -> None:
        """The WAL between is gone: receive into an empty folder, and keep the old one until there is more than that."""
        before = self._layout.received_before
        if before.exists():
            # The last attempt did not come far enough to be worth more than what was before it.
            rename_durably(self.folder, self._aside(epoch))
        else:
            rename_durably(self.folder, before)
        make_directory(self.folder)
        self._ends.forget()
        self._ends_before.forget()

    def conform(self, leader: History) -> list[str]:
        """Put aside all that is not part of this leader's history; returns what."""
        found = []
        for folder in (self.folder, self._layout.received_before):
            if folder.is_dir():
                found += received.conform(folder, leader, self._aside(leader.timeline))
        if found:
            self._ends.forget()
            self._ends_before.forget()
        return found

    def prepare(self, leader: History) -> None:
        """Before this leader is followed: have all histories that the receiver will ask for, and no old ones."""
        received.prune_histories(self.folder)
        prepare_to_receive(self.folder, leader, (segment.timeline for segment in received.segments(self.folder)))

    def _aside(self, epoch: int) -> Path:
        make_directory(self._layout.kept)
        name = stamp(str(epoch))
        target = self._layout.kept / name
        number = 0
        while target.exists():
            number += 1
            target = self._layout.kept / f"{name}.{number}"
        return target

    async def prune(self, needed: int) -> int:
        """Remove WAL before `needed`, except a margin; returns how many files."""
        return await asyncio.to_thread(received.prune, self.folder, needed, self._margin())

    async def prune_kept(self, newest: int = 3) -> None:
        """Remove what was put aside, except the newest, once this copy is on its leader's timeline."""
        for path in await asyncio.to_thread(prune_kept, self._layout, newest):
            log.info("removed %s", path)
