"""How large a volume should be, as arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.base.volume import SlotUse, VolumeUse
from aurora_operator.api.spec.autoscaling import StorageAutoscaling
from aurora_operator.planning.volumes.volume_size import (
    MOST_STEPS,
    Need,
    Volume,
    first_size,
    follower_need,
    is_short,
    need_of,
    piles,
    wanted_free,
    wanted_size,
)

GIB = 1 << 30
POLICY = StorageAutoscaling()

sizes = st.integers(1 * GIB, 64 * 1024 * GIB)
policies = st.builds(
    StorageAutoscaling,
    enabled=st.just(True),
    threshold_percent=st.integers(50, 95),
    step=st.sampled_from(["1Gi", "10Gi", "1Ti"]),
    max=st.sampled_from(["5Gi", "1Ti", "64Ti"]),
)
needs = st.builds(Need, used=st.integers(0, 2048 * GIB), rate=st.floats(0, 2 * GIB))


def volume(size: int) -> Volume:
    return Volume(size, size, size)


def test_a_volume_with_room_stays_as_it_is() -> None:
    assert wanted_size(volume(10 * GIB), Need(7 * GIB), POLICY) == 10 * GIB


def test_a_volume_grows_by_a_step_when_little_is_left() -> None:
    assert wanted_size(volume(10 * GIB), Need(8 * GIB + 1), POLICY) == 20 * GIB


def test_a_large_volume_does_not_grow_while_a_step_is_free() -> None:
    assert wanted_size(volume(1000 * GIB), Need(989 * GIB), POLICY) == 1000 * GIB
    assert wanted_size(volume(1000 * GIB), Need(991 * GIB), POLICY) == 1010 * GIB


def test_a_volume_that_fills_fast_grows_early_and_by_more() -> None:
    fast = Need(4 * GIB, rate=0.2 * GIB)
    assert wanted_size(volume(10 * GIB), fast, POLICY) == 30 * GIB  # 24 GiB in the next two minutes
    assert wanted_size(volume(30 * GIB), Need(17 * GIB, rate=0.2 * GIB), POLICY) == 30 * GIB, "13 of them are left"
    assert wanted_size(volume(30 * GIB), Need(19 * GIB, rate=0.2 * GIB), POLICY) == 50 * GIB


@given(sizes, needs, policies)
def test_however_fast_it_fills_few_steps_are_added_for_that(size: int, need: Need, policy: StorageAutoscaling) -> None:
    """Not even by looking again and again, as long as it does not hold more."""
    calm = wanted_size(volume(size), Need(need.used), policy)
    wanted = size
    for _ in range(100):
        wanted = wanted_size(volume(wanted), need, policy)
    assert wanted <= max(calm, min(need.used + (MOST_STEPS + 1) * policy.step_bytes, policy.max_bytes))


def test_a_full_volume_grows_by_as_many_steps_as_it_takes() -> None:
    assert wanted_size(volume(2 * GIB), Need(35 * GIB), POLICY) == 52 * GIB


def test_what_was_asked_for_already_counts() -> None:
    assert wanted_size(Volume(20 * GIB, 10 * GIB, 10 * GIB), Need(9 * GIB), POLICY) == 20 * GIB


def test_off_is_off() -> None:
    assert wanted_size(volume(GIB), Need(GIB), StorageAutoscaling(enabled=False)) == GIB


def test_a_new_volume_holds_what_the_writer_holds() -> None:
    assert first_size(10 * GIB, Need(45 * GIB), POLICY) == 60 * GIB
    assert first_size(100 * GIB, Need(45 * GIB), POLICY) == 100 * GIB


@given(sizes, needs, policies)
def test_never_smaller_never_beyond_the_maximum_and_in_whole_steps(
    size: int, need: Need, policy: StorageAutoscaling
) -> None:
    wanted = wanted_size(volume(size), need, policy)
    assert wanted >= size
    assert wanted <= max(size, policy.max_bytes)
    assert wanted == policy.max_bytes or (wanted - size) % policy.step_bytes == 0


@given(sizes, needs, policies)
def test_what_was_granted_is_enough_or_all_that_may_be(size: int, need: Need, policy: StorageAutoscaling) -> None:
    wanted = wanted_size(volume(size), need, policy)
    if wanted < policy.max_bytes:
        assert wanted - need.used >= wanted_free(wanted, policy)
        assert not is_short(wanted, need, policy)
    # Settled: the same need asks for nothing more.
    assert wanted_size(volume(wanted), need, policy) == wanted


@given(sizes, sizes, st.floats(0, GIB), policies)
def test_more_need_never_asks_for_less(size: int, used: int, rate: float, policy: StorageAutoscaling) -> None:
    small, large = Need(used, rate), Need(used + GIB, rate)
    assert wanted_size(volume(size), small, policy) <= wanted_size(volume(size), large, policy)


def use(**changes: object) -> VolumeUse:
    fields: dict[str, object] = {"size_bytes": 10 * GIB, "used_bytes": 9 * GIB, "wal_target_bytes": GIB // 2}
    return VolumeUse.model_validate(fields | changes)


def test_a_dead_slot_is_named_and_not_paid_for() -> None:
    held = use(
        wal_bytes=7 * GIB,
        slots=[SlotUse(name="feed", logical=True, active=False, retained_bytes=7 * GIB)],
        growth_bytes_per_second=GIB,
    )
    (pile,) = piles(held)
    assert pile.cause == "SlotRetainsWal"
    assert "pg_drop_replication_slot('feed')" in pile.detail
    assert need_of(held) == Need(3 * GIB)
    assert wanted_size(volume(10 * GIB), need_of(held), POLICY) == 10 * GIB


def test_a_slot_that_is_read_is_no_cause() -> None:
    read = use(wal_bytes=7 * GIB, slots=[SlotUse(name="feed", logical=True, active=True, retained_bytes=7 * GIB)])
    assert piles(read) == ()
    assert need_of(read).used == 9 * GIB


def test_a_failing_archive_is_named() -> None:
    (pile,) = piles(use(wal_bytes=7 * GIB, archive_failing="000000010000000000000042", archive_waiting=400))
    assert pile.cause == "ArchiveFailing"
    assert "000000010000000000000042 failed last, 400 files wait" in pile.detail


def test_temporary_files_are_named() -> None:
    (pile,) = piles(use(temporary_bytes=6 * GIB))
    assert pile.cause == "TemporaryFiles"
    assert need_of(use(temporary_bytes=6 * GIB)).used == 3 * GIB


def test_wal_of_a_burst_is_paid_for() -> None:
    """Without a cause that somebody must remove, it is the database's need."""
    assert need_of(use(wal_bytes=2 * GIB)).used == 9 * GIB


def test_a_reader_needs_what_the_writers_data_take() -> None:
    writer = use(used_bytes=50 * GIB, wal_bytes=2 * GIB)
    assert follower_need(Need(3 * GIB), writer, GIB // 2).used == 48 * GIB + GIB // 2
    assert follower_need(Need(60 * GIB), writer, GIB).used == 60 * GIB
    assert follower_need(None, writer, 0).used == 48 * GIB
    assert follower_need(Need(3 * GIB), None, 0).used == 3 * GIB
