"""What a leader writes in the record, while others and it itself write there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from tests.unit.consensus.bench import A, B, config

from aurora_operator.agent.member.kubeapi import Conflict, config_of, config_status
from aurora_operator.agent.replication.record_keeper import RecordKeeper
from aurora_operator.api.agent.record import Record
from aurora_operator.consensus import events as ev
from aurora_operator.consensus.types import Config, ConfigKey, Quorum

BEFORE = config(A)
AFTER = Config(ConfigKey(2, BEFORE.key.version + 1), Quorum(frozenset({A, B}), 2))


class Kept:
    """The record at an API server that takes its time."""

    def __init__(self) -> None:
        self.record = Record(state="initialised", config=config_status(BEFORE))
        self.version = 0

    async def read_record(self) -> tuple[Record, str]:
        await asyncio.sleep(0)
        return self.record, str(self.version)

    async def write_record(self, record: Record, version: str) -> None:
        await asyncio.sleep(0)
        if version != str(self.version):
            raise Conflict("changed")
        self.record, self.version = record, self.version + 1


def keeper(kept: Kept, posted: list[ev.Event]) -> RecordKeeper:
    driver: Any = SimpleNamespace(state=SimpleNamespace(durable=ev.Durable(2, BEFORE)), post=posted.append)
    return RecordKeeper(kept, lambda: A, lambda: driver, lambda: "7")


async def test_a_claim_and_the_first_change_do_not_conflict_with_each_other() -> None:
    kept, posted = Kept(), list[ev.Event]()
    record = keeper(kept, posted)
    wish = ev.WriteRecord(2, BEFORE.key, AFTER)
    await asyncio.gather(record.claim(2), record.change(wish))
    assert posted == [ev.RecordWritten(AFTER.key, True, None)]
    assert (kept.record.leader, kept.record.epoch) == (A, 2)
    assert kept.record.config is not None and config_of(kept.record.config) == AFTER


async def test_a_claim_keeps_a_membership_that_no_copy_knows_of_yet() -> None:
    kept = Kept()
    kept.record = kept.record.model_copy(update={"config": config_status(AFTER)})
    await keeper(kept, []).claim(4)
    assert kept.record.config == config_status(AFTER)


async def test_a_later_leaders_record_is_left_alone() -> None:
    kept, posted = Kept(), list[ev.Event]()
    kept.record = later = kept.record.model_copy(update={"epoch": 9})
    record = keeper(kept, posted)
    await record.claim(2)
    await record.change(ev.WriteRecord(2, BEFORE.key, AFTER))
    assert kept.record == later
    assert posted == [ev.RecordWritten(AFTER.key, False, BEFORE)]
