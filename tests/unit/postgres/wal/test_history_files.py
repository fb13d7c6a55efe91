"""Which history files go, and that whatever PostgreSQL reads later is there or made again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.base.lsn import segment_name
from aurora_operator.consensus.types import EPOCH_STRIDE
from aurora_operator.postgres.wal import history_files, pg_wal, received
from aurora_operator.postgres.wal.history_files import KEPT_ANCESTORS, KEPT_NUMBERS, Found, obsolete
from aurora_operator.postgres.wal.timeline import History, Switch, history_name, parse_history, render_history


def lineage(numbers: list[int]) -> History:
    """A leader's history over these timelines, each of which ended 100 bytes after it began."""
    return History(numbers[-1], tuple(Switch(n, 100 * at) for at, n in enumerate(numbers[:-1], 1)))


@st.composite
def lineages(draw: st.DrawFn) -> History:
    gaps = draw(st.lists(st.integers(1, 2 * EPOCH_STRIDE), min_size=1, max_size=40))
    last = draw(st.sampled_from([1, 40, 100_000]))  # after a day of elections that failed
    numbers = [1]
    for gap in (*gaps, last):
        numbers.append(numbers[-1] + gap)
    return lineage(numbers)


def files_of(history: History) -> dict[int, int]:
    """What lies there where nothing was ever removed: each ancestor's file, and placeholders between."""
    sizes = dict.fromkeys(range(2, history.timeline), 0)
    return sizes | {t: 40 for t in history.timelines if t > 1}


def newest_from(start: int, files: set[int]) -> int:
    """PostgreSQL's findNewestTimeLine."""
    while start + 1 in files:
        start += 1
    return start


@given(lineages(), st.data())
def test_what_goes_is_read_by_nobody(history: History, data: st.DataObject) -> None:
    control = data.draw(st.sampled_from(history.timelines))
    with_wal = frozenset(data.draw(st.sets(st.sampled_from(history.timelines), max_size=3)))
    waiting = frozenset(data.draw(st.sets(st.sampled_from(history.timelines), max_size=3)))
    sizes = files_of(history)
    gone = set(obsolete(Found(sizes, with_wal, waiting, frozenset()), history, control))
    left = sizes.keys() - gone

    assert history.timeline not in gone, "the history that it is on"
    assert newest_from(control, left) == newest_from(control, set(sizes)), "starts and promotions end where they did"
    assert not gone & (with_wal | waiting)
    assert {n for n in left if sizes[n]} >= {s.parent for s in history.switches[-KEPT_ANCESTORS:]} - {1}
    # A follower from wherever it may be finds all numbers, of its own and of those that its agent makes.
    behind = data.draw(st.sampled_from([t for t in history.timelines if t >= control]))
    made = history_files.missing(left, behind, history)
    assert left | made.keys() >= set(range(max(behind + 1, 2), history.timeline))
    for number, text in made.items():
        assert parse_history(number, text) == (
            history.ancestor(number) if history.includes(number) else History(number)
        )


@given(lineages())
def test_what_stays_is_bounded(history: History) -> None:
    sizes = files_of(history)
    found = Found(sizes, frozenset(), frozenset(), frozenset())
    left = sizes.keys() - set(obsolete(found, history, history.timeline))
    assert sum(1 for n in left if sizes[n]) <= KEPT_ANCESTORS + 1
    if len(history.switches) >= KEPT_ANCESTORS:
        assert sum(1 for n in left if not sizes[n]) <= min(KEPT_NUMBERS, 2 * EPOCH_STRIDE * 40 + 100_000)


def test_a_branch_that_was_left_goes_too_and_one_with_wal_stays() -> None:
    history = lineage([1, *range(34, 34 + 32 * 20, 32)])
    sizes = {40: 50, 41: 50, **files_of(history)}
    gone = obsolete(Found(sizes, frozenset({41}), frozenset(), frozenset()), history, history.timeline)
    assert 40 in gone and 41 not in gone


@pytest.mark.parametrize("history", [History(1), lineage([1, 34]), lineage([1, *range(34, 34 + 32 * 6, 32)])])
def test_a_young_cluster_keeps_all(history: History) -> None:
    assert obsolete(Found(files_of(history), frozenset(), frozenset(), frozenset()), history, history.timeline) == ()


def wal_of(tmp_path: Path, history: History) -> Path:
    wal = tmp_path / "pg_wal"
    (wal / "archive_status").mkdir(parents=True)
    for number, size in files_of(history).items():
        (wal / history_name(number)).write_text(render_history(history.ancestor(number)) if size else "")
        (wal / "archive_status" / f"{history_name(number)}.done").touch()
    return wal


def names(wal: Path) -> set[str]:
    return {p.name for p in wal.rglob("*") if p.is_file()}


def test_an_aged_volume_gets_well(tmp_path: Path) -> None:
    history = lineage([1, *range(34, 34 + 32 * 300, 32)])
    wal = wal_of(tmp_path, history)
    (wal / segment_name(34, 0)).touch()
    (wal / "archive_status" / f"{history_name(66)}.done").rename(wal / "archive_status" / f"{history_name(66)}.ready")
    (wal / "foreign.txt").touch()
    assert history_files.tidy(tmp_path, history.timeline, 33) > 0, "below pg_control's timeline, and no more"
    assert history_name(34) in names(wal)
    rounds = 0
    while history_files.tidy(tmp_path, history.timeline, history.timeline):
        rounds += 1
    assert rounds == -(-(history.timeline - 1 - 32) // history_files.AT_ONCE)
    left = names(wal)
    assert {history_name(34), history_name(66), f"{history_name(66)}.ready", "foreign.txt", segment_name(34, 0)} <= left
    assert len(left) < 2 * 32 * (KEPT_ANCESTORS + 1) + 10
    assert pg_wal.read_history(tmp_path, history.timeline) == history


def test_nothing_goes_where_the_history_is_not_known(tmp_path: Path) -> None:
    history = lineage([1, *range(34, 34 + 32 * 20, 32)])
    wal = wal_of(tmp_path, history)
    before = names(wal)
    assert history_files.tidy(tmp_path, history.timeline + 1, history.timeline + 1) == 0
    (wal / history_name(history.timeline)).write_text("")
    assert history_files.tidy(tmp_path, history.timeline, history.timeline) == 0
    assert names(wal) == before


def test_a_follower_far_behind_gets_all_files_at_once(tmp_path: Path) -> None:
    history = lineage([1, 34, 66, 99])
    wal = tmp_path / "pg_wal"
    wal.mkdir()
    (wal / history_name(50)).write_text("1\t0/9\tof somebody else\n")
    made = history_files.prepare_to_follow(tmp_path, 34, history)
    assert made == [n for n in range(35, 99) if n != 50]
    assert pg_wal.read_history(tmp_path, 66) == history.ancestor(66)
    assert pg_wal.read_histories(tmp_path, above=90) == {n: History(n) for n in range(91, 99)}
    assert history_files.prepare_to_follow(tmp_path, 34, history) == []
    assert sorted(p.name for p in wal.iterdir()) == [history_name(n) for n in range(35, 99)]


def test_a_log_copy_has_the_histories_from_its_oldest_wal_on(tmp_path: Path) -> None:
    history = lineage([1, 34, 66, 99])
    assert history_files.prepare_to_receive(tmp_path, history, []) == [], "the receiver begins with the newest"
    (tmp_path / history_name(2)).write_text("1\t0/9\tx\n")
    assert received.prune_histories(tmp_path) == 0, "without WAL nothing is old"
    (tmp_path / segment_name(34, 0)).touch()
    with (tmp_path / segment_name(34, 0)).open("r+b") as file:
        file.truncate(16 << 20)
    assert history_files.prepare_to_receive(tmp_path, history, [34]) == [34, 66]
    assert received.prune_histories(tmp_path) == 1
    assert received.history_numbers(tmp_path) == [34, 66]
    assert received.history_of(tmp_path, 66) == history.ancestor(66)


def test_a_history_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / history_name(5)
    assert pg_wal.read_history_file(path, 5) is None
    path.touch()
    assert pg_wal.read_history_file(path, 5) == History(5)
    path.write_text("1\t0/10\tx\n")
    first = pg_wal.read_history_file(path, 5)
    assert first == History(5, (Switch(1, 16, "x"),)) and pg_wal.read_history_file(path, 5) is first
    other = tmp_path / "other"
    other.write_text("2\t0/10\tx\n")
    other.rename(path)
    assert pg_wal.read_history_file(path, 5) == History(5, (Switch(2, 16, "x"),))
