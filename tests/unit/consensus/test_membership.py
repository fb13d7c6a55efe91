"""Rule 6: changing who votes."""

from __future__ import annotations

import pytest
from tests.unit.consensus.bench import LSN, A, B, Bench, C, D, config

from aurora_operator.consensus import events as ev
from aurora_operator.consensus.membership import is_settled, record_allows
from aurora_operator.consensus.messages import Heartbeat
from aurora_operator.consensus.state import Role
from aurora_operator.consensus.types import Config, ConfigKey, Quorum

A2, B2 = "a/2", "b/2"


def wanted(*names: str, write: int | None = None) -> ev.Wanted:
    return ev.Wanted(frozenset(names), write or len(names) // 2 + 1, 1, 1)


def leading(*voters: str, wish: ev.Wanted, learners: tuple[str, ...] = ()) -> Bench:
    """An open leader whose voters and learners all stream."""
    bench = Bench(config(*voters))
    bench.lead(*(v for v in voters if v != A))
    bench.do(wish)
    for learner in learners:
        bench.ack(learner)
    bench.replicate(*(set(voters) - {A}), *learners)
    return bench


def proposed(bench: Bench) -> Config:
    led = bench.state.leadership
    assert led is not None
    assert led.proposal is not None
    return led.proposal.config


def written(bench: Bench) -> None:
    bench.do(ev.RecordWritten(proposed(bench).key, True))


def joint(bench: Bench) -> Config:
    """Bring the proposed joint step to the copies and into force; they lag by 100 bytes."""
    written(bench)
    held = bench.state.durable.config
    for voter in sorted(held.voters - {A}):
        bench.ack(voter)
    bench.do(ev.SyncInForce(held.key, LSN + 108))
    return held


def test_a_copy_joins_through_a_joint_step_each_stage_in_its_turn() -> None:
    bench = leading(A, wish=wanted("a", "b"), learners=(B,))
    led = bench.state.leadership
    assert led is not None
    step = proposed(bench)
    assert bench.one(ev.WriteRecord) == ev.WriteRecord(bench.state.durable.promised, ConfigKey(0, 2), step)
    assert step.new is not None
    assert step.old.voters == {A}
    assert step.new.voters == {A, B}
    assert bench.state.durable.config.new is None, "not before the record holds it"
    written(bench)
    assert bench.one(ev.Persist).durable.config == step
    assert bench.sent(Heartbeat)[0].config == step
    assert not bench.all(ev.SetSync), "not before a quorum of both sides holds it"
    bench.ack(B)
    assert bench.one(ev.SetSync) == ev.SetSync(step.key, step.sync_rule(A))
    bench.do(ev.SyncInForce(step.key, led.lsn + 100))
    assert not bench.effects, "not before both sides have everything"
    bench.replicate(B, lsn=led.lsn + 99)
    assert not bench.all(ev.WriteRecord)
    bench.replicate(B, lsn=led.lsn + 100)
    final = proposed(bench)
    assert final.old == step.new
    assert final.new is None
    assert final.key > step.key


def test_only_one_change_at_a_time() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "d", "e"), learners=(D, "e/1"))
    step = proposed(bench)
    assert step.new is not None
    assert len(step.new.voters ^ step.old.voters) == 1
    bench.replicate(B, C, D, "e/1")
    assert not bench.all(ev.WriteRecord), "until the first is done"


def test_a_lost_volume_is_replaced_in_one_step() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "c"))
    bench.ack(B2)
    bench.replicate(B2, C)
    step = proposed(bench)
    assert step.new is not None
    assert step.new.voters == {A, B2, C}


def test_a_copy_is_not_removed_while_the_rest_cannot_commit() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "c"))
    bench.replicate(C)
    bench.do(wanted("a", "b"))
    bench.replicate(B)
    assert proposed(bench).new == Quorum(frozenset({A, B}), 2)
    bench = leading(A, B, C, wish=wanted("a", "b", "c"))
    bench.do(wanted("a", "b"))
    bench.replicate(C)
    assert not bench.all(ev.WriteRecord), "b does not stream: without c nothing could be committed"


def test_a_connection_that_postgresql_still_shows_is_not_a_living_copy() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "c"), learners=(D,))
    bench.wait(4000, B, C)
    bench.do(wanted("a", "b", "c", "d"))
    bench.replicate(B, C, D)
    assert not bench.all(ev.WriteRecord)
    bench.ack(D)
    assert bench.all(ev.WriteRecord)


def test_a_lagging_or_refusing_copy_does_not_join() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "c", "d"))
    led = bench.state.leadership
    assert led is not None
    bench.ack(D)
    bench.do(ev.Replication(led.epoch, {B: 20 << 20, C: 20 << 20, D: LSN}, 20 << 20))
    assert not bench.all(ev.WriteRecord)
    bench.refuse(D)
    bench.do(ev.Replication(led.epoch, {B: 20 << 20, C: 20 << 20, D: 20 << 20}, 20 << 20))
    assert not bench.all(ev.WriteRecord)


def test_the_leader_never_removes_itself() -> None:
    bench = leading(A, B, C, wish=wanted("b", "c"))
    bench.wait(3000, B, C)
    bench.replicate(B, C)
    assert not bench.all(ev.WriteRecord)


def test_another_write_quorum_for_the_same_voters() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "c", write=3))
    assert proposed(bench).new == Quorum(frozenset({A, B, C}), 3)


@pytest.mark.parametrize(("asked", "write"), [(1, 2), (9, 3)])
def test_no_write_quorum_below_a_majority_or_above_all(asked: int, write: int) -> None:
    bench = leading(A, B, wish=wanted("a", "b", "c", write=asked), learners=(C,))
    step = proposed(bench)
    assert step.new is not None
    assert step.new.write == write


def test_a_failed_write_is_tried_again_under_another_key() -> None:
    """Else the late answer to the first would be taken for the second's, which may want something else."""
    bench = leading(A, wish=wanted("a", "b"), learners=(B,))
    first = proposed(bench)
    bench.do(ev.RecordWritten(first.key, False))
    bench.replicate(B)
    assert not bench.all(ev.WriteRecord), "not at once"
    bench.now += bench.timing.request
    bench.ack(B)
    second = proposed(bench)
    assert second.key > first.key
    bench.do(ev.RecordWritten(first.key, True))
    assert not bench.effects


def test_no_answer_at_all_is_a_failure_after_a_while() -> None:
    bench = leading(A, wish=wanted("a", "b"), learners=(B,))
    bench.now += 5 * bench.timing.request
    bench.ack(B)
    bench.replicate(B)
    bench.now += 1
    assert bench.state.leadership is not None
    assert bench.state.leadership.proposal is not None
    assert bench.state.leadership.proposal.at >= bench.now - 1


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epoch", "held", "allowed"),
    [
        (34, ConfigKey(0, 2), True),
        (34, None, True),
        (66, ConfigKey(0, 2), True),
        (67, ConfigKey(0, 2), False),
        (34, ConfigKey(34, 3), False),
        (34, ConfigKey(0, 1), True),
    ],
    ids=["as known", "nothing yet", "own epoch", "a later leader", "a successor already", "restored from earlier"],
)
def test_record_allows(epoch: int, held: ConfigKey | None, allowed: bool) -> None:
    wish = ev.WriteRecord(66, ConfigKey(0, 2), config(A, B, key=(66, 3)))
    assert record_allows(wish, epoch, held) is allowed


def test_what_the_record_holds_already_is_adopted() -> None:
    """A dead leader gave up a joint step that this one would finish: quorums of the two outcomes need not meet."""
    bench = leading(A, wish=wanted("a", "b"), learners=(B,))
    orphan = config(A, D, key=(bench.state.durable.promised - 1, 7))
    bench.do(ev.RecordWritten(proposed(bench).key, False, orphan))
    assert bench.one(ev.Persist).durable.config == orphan
    assert bench.sent(Heartbeat)[0].config == orphan


def test_a_leader_that_the_record_has_removed_steps_down() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "c", "d"), learners=(D,))
    bench.do(ev.RecordWritten(proposed(bench).key, False, config(B, C, key=(1, 9))))
    assert bench.state.durable.config.voters == {B, C}
    assert bench.one(ev.StopPostgres).mode == "immediate"


# --- joint steps that do not go as planned ----------------------------------------------------------------------------


def test_a_copy_that_dies_while_it_joins_is_given_up() -> None:
    bench = leading(A, wish=wanted("a", "b"), learners=(B,))
    joint(bench)
    bench.wait(2 * bench.timing.lease + 200)
    led = bench.state.leadership
    assert led is not None
    assert led.proposal is not None
    assert led.proposal.config.old.voters == {A}
    assert led.proposal.config.new is None


def test_a_new_leader_gives_up_a_joint_step_before_it_opens() -> None:
    """With the new side dead it could never open."""
    step = Config(ConfigKey(1, 3), Quorum(frozenset({A}), 1), Quorum(frozenset({A, D}), 2))
    bench = Bench(step)
    bench.elect(D)
    bench.do(ev.Promoted(bench.state.durable.promised, LSN + 8))
    assert bench.role() == Role.OPENING
    bench.wait(2 * bench.timing.lease + 200)
    written(bench)
    bench.replicate()
    assert bench.role() == Role.LEADING
    assert bench.state.durable.config.voters == {A}


def test_a_leader_that_is_to_be_removed_ends_the_step_where_it_stays() -> None:
    """Elected in the joint step that removes it: beyond the step it could not lead."""
    step = Config(ConfigKey(1, 3), Quorum(frozenset({A, B, C}), 2), Quorum(frozenset({B, C}), 2))
    bench = Bench(step)
    epoch = bench.elect(B, C)
    bench.do(ev.Promoted(epoch, LSN + 8))
    bench.ack(B)
    bench.ack(C)
    bench.replicate(B, C)
    assert bench.role() == Role.LEADING
    assert proposed(bench).old.voters == {A, B, C}


def test_nothing_changes_before_the_leader_is_open() -> None:
    bench = Bench(config(A, B, C))
    epoch = bench.elect(B, C)
    bench.do(wanted("a", "b"))
    bench.do(ev.Promoted(epoch, LSN + 8))
    bench.ack(B)
    bench.do(ev.Tick())
    assert not bench.all(ev.WriteRecord)


def test_a_membership_is_settled_when_nothing_is_to_change() -> None:
    bench = leading(A, B, C, wish=wanted("a", "b", "c"))
    bench.ack(B)
    bench.ack(C)
    assert is_settled(bench.state)
    bench.do(wanted("a", "b", "c", "d"))
    assert not is_settled(bench.state), "d is to join"
    bench.ack(D)
    bench.replicate(B, C, D)
    assert not is_settled(bench.state), "it is proposed"
    joint(bench)
    assert not is_settled(bench.state), "in the joint step"
    bench.replicate(B, C, D, lsn=LSN + 200)
    written(bench)
    for voter in (B, C, D):
        bench.ack(voter)
    assert not is_settled(bench.state), "PostgreSQL does not know yet"
    bench.do(ev.SyncInForce(bench.state.durable.config.key, LSN + 300))
    assert is_settled(bench.state)
