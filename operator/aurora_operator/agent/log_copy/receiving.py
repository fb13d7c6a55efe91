"""Following a leader as a log copy: its history first, then its WAL, for as long as it leads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from aurora_operator.agent.log_copy.pruning import Pruning
from aurora_operator.agent.log_copy.volume import Volume
from aurora_operator.agent.member.member import Member
from aurora_operator.agent.peers.agent_client import history_of
from aurora_operator.api.agent.messages import Ailment
from aurora_operator.api.base.lsn import SEGMENT_BYTES
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.types import CopyId, Position, name_of
from aurora_operator.net.http_client import ClientError
from aurora_operator.postgres import disk
from aurora_operator.postgres.config.conf import Source, slot_name
from aurora_operator.postgres.errors import DataError, PostgresError, ToolError
from aurora_operator.postgres.server.ailments import of_error
from aurora_operator.postgres.wal.receive_wal import Receiver, Trouble, trouble

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.1
RETRY_MAX_SECONDS = 2.0
WATCH_SECONDS = 0.5
LASTING_SECONDS = 1.0
LOOK_SECONDS = 2.0
"""How often the position is read again while WAL comes: it costs a program's run."""
ROOM_BYTES = 2 * SEGMENT_BYTES
SENTENCES: dict[Ailment, str] = {
    "full": "the volume is full, so that this copy acknowledges nothing; enlarge it, or bring back the instance whose "
    "WAL it keeps",
    "disk": "the volume fails; delete its claim and its pod, and this copy begins anew on another one",
    "corruption": "the WAL on the volume is damaged; delete its claim and its pod, and this copy begins anew",
}


class Receiving:
    """Jobs that exclude each other. The receiver runs only within `follow`."""

    def __init__(self, copy: Member, volume: Volume, inherit_fds: Sequence[int]) -> None:
        self._copy = copy
        self._volume = volume
        self._receiver = Receiver(
            copy.tools, copy.layout, copy=copy.id, on_line=lambda line: log.info("%s", line), inherit_fds=inherit_fds
        )
        self._pruning = Pruning(copy, volume)
        self._looked_at = (0.0, -1)
        self._slot_is_behind = False
        """Whether the slot, too, may be where the source no longer has WAL: asking for WAL has moved it there."""

    async def stop_receiver(self, epoch: int) -> None:
        """See `events.StopReceiver`."""
        copy = self._copy
        copy.say("Electing", f"promised epoch {epoch}")
        await self._receiver.stop()
        while True:
            try:
                position = await self._volume.settled()
                break
            except (PostgresError, OSError) as error:
                self.fails(error)
                await asyncio.sleep(RETRY_SECONDS)
        self._note(position)
        copy.driver.post(ev.ReceiverStopped(epoch, position))

    async def first_position(self) -> Position:
        """What an agent that has just started finds. Raises PostgresError, OSError."""
        await self._volume.open()
        position = await self._volume.settled()
        self._note(position)
        return position

    def _note(self, position: Position) -> None:
        copy = self._copy
        copy.position_lsn = position.lsn
        copy.lag_bytes = max(copy.leader_lsn - position.lsn, 0)
        self._looked_at = (time.monotonic(), copy.leader_lsn)

    async def follow(self, leader: CopyId, epoch: int) -> None:
        """See `events.Follow`. Runs until another job takes over."""
        copy = self._copy
        copy.say("Following", f"connecting to {name_of(leader)}")
        delay = RETRY_SECONDS
        try:
            while True:
                try:
                    if await self._receive(leader, epoch):
                        delay = RETRY_SECONDS
                except (ClientError, PostgresError, OSError) as error:
                    self.fails(error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_SECONDS)
        finally:
            await self._receiver.stop()

    async def _receive(self, leader: CopyId, epoch: int) -> bool:
        """One run of the receiver, on WAL that is part of the leader's history. Returns whether anything came.

        Raises ClientError, PostgresError, OSError.
        """
        copy = self._copy
        address = copy.peers.address(leader)
        if address is None or address[1] is None:
            copy.say("Following", f"the address of {name_of(leader)} is not known yet")
            return False
        source = Source(address[0], address[1])
        told = copy.peers.history_of(leader, epoch)
        history = told or await history_of(copy.certificates.client, source, epoch)
        await self._volume.open()
        aside = await asyncio.to_thread(self._volume.conform, history)
        if aside:
            log.warning("not in the history of %s, so put aside in %s: %s", leader, copy.layout.kept, ", ".join(aside))
        await asyncio.to_thread(self._volume.prepare, history)
        await self._look(epoch)
        slot = None if self._slot_is_behind and self._volume.empty() else slot_name(copy.id)
        started = time.monotonic()
        await asyncio.to_thread(copy.store.note_data)
        await self._receiver.start(self._volume.folder, source, slot, epoch)
        try:
            await self._watch(leader, epoch, slot)
            if self._receiver.pid is not None:
                # There is WAL to begin with now: the slot follows it.
                return True
        finally:
            await self._receiver.stop()
        await self._ended(leader, epoch, trouble(self._receiver.last_words))
        return time.monotonic() - started > LASTING_SECONDS

    async def _watch(self, leader: CopyId, epoch: int, slot: str | None) -> None:
        """Until the receiver ends, or does not need to go on without its slot."""
        ended = asyncio.create_task(self._receiver.wait())
        try:
            while not (await asyncio.wait({ended}, timeout=WATCH_SECONDS))[0]:
                if self._receiver.streaming:
                    self._copy.at_work.set()
                    self._slot_is_behind = False
                    if slot is None and not self._volume.empty():
                        return
                    await self._look_after(leader, epoch)
        finally:
            ended.cancel()

    async def _look_after(self, leader: CopyId, epoch: int) -> None:
        """What is due while WAL comes; what does not work does not stop the stream."""
        try:
            await self._look(epoch)
            await self._pruning.run(leader, epoch)
        except (PostgresError, OSError) as error:
            self.fails(error)
        else:
            self._copy.ailment = None
            self._copy.say("Following")

    async def _look(self, epoch: int) -> None:
        """Read the position again, when WAL has come since."""
        copy = self._copy
        at, leader_lsn = self._looked_at
        known = copy.driver.state.position
        fresh = known is not None and known.epoch == epoch and leader_lsn == copy.leader_lsn
        if fresh or time.monotonic() - at < LOOK_SECONDS:
            return
        position = await self._volume.position()
        self._note(position)
        copy.driver.post(ev.LocalPosition(position))

    async def _ended(self, leader: CopyId, epoch: int, why: Trouble) -> None:
        copy = self._copy
        said = next((line for line in reversed(self._receiver.last_words) if "error" in line), "")
        self._slot_is_behind = why == "gone"
        if why == "gone" and not self._volume.empty():
            log.warning("%s no longer has the WAL that follows; beginning anew where it still has it", leader)
            await asyncio.to_thread(self._volume.begin_anew, epoch)
        elif why == "full":
            self._suffers("full")
            await self._make_room(leader, epoch)
        elif why == "disk":
            self._suffers("disk", said)
            await asyncio.sleep(RETRY_MAX_SECONDS)
        else:
            copy.say("Following", f"cannot stream from {name_of(leader)} yet: {said or 'the stream ended'}")

    async def _make_room(self, leader: CopyId, epoch: int) -> None:
        """Remove what may go, and wait until there is room for more."""
        copy = self._copy
        await self._volume.open()
        while disk.usage(copy.layout.data).free < ROOM_BYTES:
            await self._pruning.run(leader, epoch, at_once=True)
            await asyncio.sleep(RETRY_MAX_SECONDS)

    def fails(self, error: Exception) -> None:
        """Report why this copy does not receive.

        Whoever has an ill volume is replaced at once. Networks, names, certificates and processes end in OSErrors too,
        and say nothing of it.
        """
        ailment = of_error(error) if isinstance(error, OSError) else None
        if isinstance(error, ToolError) and (why := trouble([str(error)])) in ("full", "disk"):
            self._suffers(why, str(error))
        elif ailment is not None:
            self._suffers(ailment, str(error))
        elif isinstance(error, DataError):
            self._suffers("corruption", str(error))
        else:
            self._copy.say("Following", f"cannot follow yet: {error}")

    def _suffers(self, ailment: Ailment, detail: str = "") -> None:
        self._copy.ailment = ailment
        self._copy.say("Failed", SENTENCES[ailment] + (f" ({detail})" if detail else ""))
