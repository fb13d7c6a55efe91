from __future__ import annotations

import pytest

from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name
from aurora_operator.consensus.types import Position
from aurora_operator.postgres.wal.staging import NotThere, Piece, check_history, history_files, misleading, pieces
from aurora_operator.postgres.wal.timeline import History, Switch

MB16 = SEGMENT_BYTES
HISTORY = History(5, (Switch(1, 3 * MB16 + 500), Switch(3, 4 * MB16)))


def _file(timeline: int, number: int, suffix: str = "") -> str:
    return segment_name(timeline, number * MB16) + suffix


def test_pieces_are_of_the_newest_timeline_that_has_them() -> None:
    offered = [_file(1, 2), _file(1, 3, ".partial"), _file(3, 3), _file(3, 3, ".partial"), _file(5, 4, ".partial")]
    offered += [_file(7, 4), _file(1, 1), "00000005.history"]
    found = pieces(offered, HISTORY, Position(1, 2 * MB16 + 7), Position(5, 4 * MB16 + 99))
    assert found == [
        Piece(_file(1, 2), _file(1, 2), MB16),
        Piece(_file(3, 3), _file(3, 3), MB16),
        Piece(_file(5, 4, ".partial"), _file(5, 4), 99),
    ]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(NotThere, match=_file(1, 3)):
        pieces([_file(1, 2), _file(1, 4)], History(1), Position(1, 2 * MB16), Position(1, 5 * MB16))


def test_a_standby_in_another_history_is_told() -> None:
    check_history(HISTORY, 1, 3 * MB16 + 500)
    check_history(HISTORY, 5, 9 * MB16)
    for timeline, lsn in ((1, 3 * MB16 + 501), (2, 5), (3, 4 * MB16 + 1)):
        with pytest.raises(NotThere):
            check_history(HISTORY, timeline, lsn)


def test_history_files_fill_every_number_between() -> None:
    local = {1: History(1), 2: History(2), 3: History(3)}
    files = history_files(HISTORY, 1, local)
    assert sorted(files) == ["00000003.history", "00000004.history", "00000005.history"]
    assert files["00000004.history"] == "" and files["00000003.history"].startswith("1\t")
    assert len(files["00000005.history"].splitlines()) >= 2
    # What is there already, as it should be, is not written again.
    assert "00000003.history" not in history_files(HISTORY, 1, {**local, 3: HISTORY.ancestor(3)})


def test_what_recovery_may_have_taken_up() -> None:
    assert not misleading(HISTORY, 1, MB16, {2: History(2), 9: History(9)})
    assert misleading(HISTORY, 1, MB16, {9: History(9, (Switch(5, 7 * MB16),))})
    assert misleading(HISTORY, 1, MB16, {2: History(2, (Switch(1, 2 * MB16),))})
