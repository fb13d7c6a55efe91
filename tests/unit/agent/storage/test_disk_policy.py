"""What is done about a volume that fills."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.agent.storage.disk_policy import MIB, Verdict, judge, marks
from aurora_operator.api.base.volume import Brake

SIZE = 10 << 30
MARK = marks(SIZE)
LEADS = {"leads": True, "runs": True, "died_of_it": False}
FOLLOWS = {"leads": False, "runs": True, "died_of_it": False}
DOWN = {"leads": False, "runs": False, "died_of_it": False}

sizes = st.integers(1 << 30, 64 << 40)
brakes: st.SearchStrategy[Brake] = st.sampled_from(["off", "on", "held"])


def test_the_marks_grow_with_the_volume_within_bounds() -> None:
    assert marks(1 << 30).reserve == 32 * MIB
    assert marks(2 << 30).reserve == 64 * MIB
    assert marks(64 << 40).reserve == 256 * MIB


def test_with_room_the_reserve_is_held_once() -> None:
    assert judge(SIZE, 0, SIZE, "off", **LEADS) == Verdict("off", hold=True)
    assert judge(SIZE - MARK.reserve, MARK.reserve, SIZE, "off", **LEADS) == Verdict("off")


def test_a_volume_that_is_nearly_full_stops_clients_from_writing_and_lets_the_reserve_go() -> None:
    assert judge(MARK.low - 1, MARK.reserve, SIZE, "off", **LEADS) == Verdict("on", release=True)


def test_who_goes_on_writing_into_what_was_let_go_is_ended() -> None:
    assert judge(MARK.low + MARK.reserve - 1, 0, SIZE, "on", **LEADS) == Verdict("on")
    assert judge(MARK.low - 1, 0, SIZE, "on", **LEADS) == Verdict("on", end_writers=True)


def test_a_writer_is_never_stopped_for_it() -> None:
    assert not judge(0, 0, SIZE, "on", **LEADS).stop


def test_a_follower_stops_before_it_cannot_write() -> None:
    assert judge(MARK.low - 1, 0, SIZE, "on", **FOLLOWS) == Verdict("on")
    assert judge(MARK.follower_stops - 1, 0, SIZE, "on", **FOLLOWS) == Verdict("on", stop=True)


def test_clients_write_again_once_the_volume_has_grown() -> None:
    assert judge(MARK.ease - 1, 0, SIZE, "on", **LEADS) == Verdict("on")
    assert judge(MARK.ease, 0, SIZE, "on", **LEADS) == Verdict("off", hold=True)


def test_postgresql_does_not_start_on_a_full_volume() -> None:
    assert judge(MARK.start - 1, MARK.reserve, SIZE, "off", **DOWN) == Verdict("held", release=True)
    assert judge(MARK.start - 1, 0, SIZE, "held", **DOWN) == Verdict("held")
    assert judge(MARK.start, 0, SIZE, "held", **DOWN) == Verdict("on")
    assert judge(MARK.ease, 0, SIZE, "held", **DOWN) == Verdict("off")


def test_what_died_of_a_full_volume_needs_more_room() -> None:
    died = DOWN | {"died_of_it": True}
    assert judge(2 * MARK.start - 1, 0, SIZE, "off", **died).brake == "held"
    assert judge(2 * MARK.start, 0, SIZE, "held", **died).brake == "on"


@given(sizes, st.integers(0, 1 << 40), brakes, st.booleans(), st.booleans(), st.booleans())
def test_it_settles(size: int, room: int, brake: Brake, leads: bool, runs: bool, died: bool) -> None:
    """Carried out again and again with the same room, the verdict comes to rest: no flapping."""
    mark, held = marks(size), 0
    seen = []
    for _ in range(6):
        verdict = judge(room - held, held, size, brake, leads=leads and runs, runs=runs, died_of_it=died)
        if verdict.release:
            held = 0
        if verdict.hold:
            assert room >= mark.ease, "held what is needed"
            held = mark.reserve
        brake = verdict.brake
        seen.append((brake, held))
    assert seen[-1] == seen[-2] == seen[-3]
    assert not (verdict.hold or verdict.release)


@given(sizes, st.integers(0, 1 << 40), st.booleans(), brakes)
def test_only_a_running_server_ends_sessions_or_stops(size: int, free: int, held: bool, brake: Brake) -> None:
    verdict = judge(free, marks(size).reserve if held else 0, size, brake, **DOWN)
    assert not verdict.end_writers and not verdict.stop and not verdict.hold
