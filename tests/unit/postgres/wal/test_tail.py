from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name
from aurora_operator.postgres.wal.tail import (
    HISTORIES_KEPT,
    PIECE_BYTES,
    Piece,
    assemble,
    next_piece,
    pack,
    parse_name,
    piece_path,
    told_again,
    unpack,
)
from aurora_operator.postgres.wal.timeline import History, Switch

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)


def wal(start: int, end: int) -> bytes:
    """Bytes that tell where they belong."""
    return bytes((position // 7) % 251 for position in range(start, end))


def test_a_piece_survives_being_stored() -> None:
    piece = Piece(34, SEGMENT_BYTES + 100, SEGMENT_BYTES + 1100, NOW)
    content = wal(piece.start, piece.end)
    assert unpack(pack(piece, content)) == (piece, content)
    assert piece_path("demo-1", piece) == f"tail/demo-1/{segment_name(34, SEGMENT_BYTES)}/00000064"
    assert parse_name(f"{piece.segment}/00000064") == (piece.segment, 100)
    assert parse_name("00000022.history") is None


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"no json\nx", pack(Piece(1, 0, 9, NOW), b"too long for nine")])
def test_damage_is_noticed(damage: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(damage)


@settings(max_examples=30)  # each example makes whole segments
@given(st.lists(st.integers(0, PIECE_BYTES * 2), min_size=1, max_size=12), st.integers(0, SEGMENT_BYTES))
def test_what_is_stored_is_always_the_newest_segment_as_far_as_it_is_flushed(steps: list[int], start: int) -> None:
    """However much is flushed from one time to the next, and however often a piece is stored again."""
    flushed, done, stored = SEGMENT_BYTES + start, None, {}
    for step in steps:
        flushed += step
        while (piece := next_piece(done, 34, flushed, NOW)) is not None:
            assert piece.end - piece.start <= PIECE_BYTES and piece.end <= flushed
            stored[piece_path("x", piece)] = (piece, b"\1" * (piece.end - piece.start))
            done = piece
        last = segment_name(34, flushed - 1)
        piece, content = assemble(stored.values())[last]
        size = (flushed - 1) % SEGMENT_BYTES + 1
        assert piece.end == flushed
        assert content.count(1) == size and len(content) == SEGMENT_BYTES and content[:size] == b"\1" * size


def test_another_timeline_begins_its_segment_anew() -> None:
    done = Piece(34, SEGMENT_BYTES, SEGMENT_BYTES + 500, NOW)
    assert next_piece(done, 34, SEGMENT_BYTES + 500, NOW) is None
    assert next_piece(done, 67, SEGMENT_BYTES + 400, NOW) == Piece(67, SEGMENT_BYTES, SEGMENT_BYTES + 400, NOW)


def test_a_gap_ends_what_is_put_together() -> None:
    first = Piece(34, 0, 100, NOW)
    later = Piece(34, 200, 300, NOW)
    piece, content = assemble([(later, wal(200, 300)), (first, b"x" * 100)])[segment_name(34, 0)]
    assert piece == first and content == b"x" * 100 + bytes(SEGMENT_BYTES - 100)
    assert assemble([(later, wal(200, 300))]) == {}


def test_old_histories_go_that_a_newer_one_tells() -> None:
    history = History(900, tuple(Switch(n, 10 * n) for n in range(1, 101)))
    newest = range(101 - HISTORIES_KEPT, 101)
    assert told_again(history, [3, 500, 900, 950, 40, *newest]) == [3, 40]
