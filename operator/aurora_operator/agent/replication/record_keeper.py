"""What a leader, or who stands for it, reads and writes in the cluster's record: always by compare-and-swap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aurora_operator.agent.member.driver import Driver
from aurora_operator.agent.member.kubeapi import Conflict, KubeError, config_of, config_status, until_done
from aurora_operator.agent.ports import Clock, RecordStore, clock
from aurora_operator.api.agent.record import Record
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.membership import record_allows
from aurora_operator.consensus.shrink import hears_write_quorum
from aurora_operator.consensus.types import Config, CopyId

log = logging.getLogger(__name__)


class RecordKeeper:
    """Reports to the driver by the events that the consensus waits for."""

    def __init__(
        self,
        store: RecordStore,
        me: Callable[[], CopyId],
        driver: Callable[[], Driver],
        system_identifier: Callable[[], str | None],
        now: Clock = clock,
    ) -> None:
        self._store = store
        self._me = me
        self._driver = driver
        self._system_identifier = system_identifier
        self._now = now
        self._writing = asyncio.Lock()
        """A new leader's claim and its first change of membership begin together: neither is the other's conflict."""

    async def claim(self, epoch: int) -> None:
        """Say that this copy leads, until that is written, or a leader of a higher epoch has."""

        async def attempt() -> None:
            record, version = await self._store.read_record()
            if record.epoch > epoch:
                return
            # A membership that no copy knows of yet stays: see `events.WriteRecord`.
            config = self._driver().state.durable.config
            if record.config is not None:
                config = max(config, config_of(record.config), key=lambda c: c.key)
            await self._store.write_record(self._record(epoch, config, record), version)

        async def alone() -> None:
            async with self._writing:
                await attempt()

        await until_done("writing the record", alone)

    async def keep(self, epoch: int) -> None:
        """Claim anew where somebody has deleted the record, and the operator made a bare one."""
        if not hears_write_quorum(self._driver().state, self._now()):
            return  # others may have written there what was lost with it
        try:
            record, _ = await self._store.read_record()
        except (KubeError, ValueError) as error:
            log.info("cannot look at the record: %s", error)
            return
        if record.epoch <= epoch and (record.leader != self._me() or record.config is None):
            await self.claim(epoch)

    async def look(self, asked: int) -> None:
        """See `events.ReadRecord`."""
        try:
            record, _ = await self._store.read_record()
            held = config_of(record.config) if record.config is not None else None
        except (KubeError, ValueError) as error:
            log.warning("a write quorum is missing, and the record cannot be read: %s", error)
            return
        self._driver().post(ev.RecordSeen(asked, record.epoch, held))

    async def change(self, wish: ev.WriteRecord) -> None:
        """See `events.WriteRecord`."""
        done, held = False, None
        try:
            async with self._writing:
                record, version = await self._store.read_record()
                held = config_of(record.config) if record.config is not None else None
                if record_allows(wish, record.epoch, held.key if held is not None else None):
                    await self._store.write_record(self._record(wish.epoch, wish.after, record), version)
                    done, held = True, None
                else:
                    log.warning("the record holds %s of epoch %d, not what was known", held, record.epoch)
        except Conflict as error:
            log.info("%s; the membership change is tried again", error)
        except KubeError as error:
            log.warning("membership changes wait for the Kubernetes API: %s", error)
        self._driver().post(ev.RecordWritten(wish.after.key, done, held))

    def _record(self, epoch: int, config: Config, before: Record) -> Record:
        return Record(
            state="initialised",
            owner=before.owner,
            system_identifier=self._system_identifier(),
            epoch=epoch,
            leader=self._me(),
            config=config_status(config),
        )
