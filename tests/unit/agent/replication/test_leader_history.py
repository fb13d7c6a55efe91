"""Whether a leader still has what a copy needs: by its files, never by anybody's words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.agent.replication.leader_history import wal_is_gone
from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name


@given(st.integers(1, 500), st.integers(0, 500), st.integers(0, 520), st.integers(0, SEGMENT_BYTES - 1))
def test_it_is_gone_where_later_segments_are_there_and_this_one_is_not(
    first: int, more: int, wanted: int, offset: int
) -> None:
    names = [segment_name(3, number * SEGMENT_BYTES) for number in range(first, first + more)]
    assert wal_is_gone(names, wanted * SEGMENT_BYTES + offset) == (more > 0 and wanted < first)


def test_a_gap_before_what_a_failing_archive_kept_is_seen() -> None:
    names = [segment_name(2, 0), segment_name(3, 5 * SEGMENT_BYTES), segment_name(3, 6 * SEGMENT_BYTES)]
    assert wal_is_gone(names, 3 * SEGMENT_BYTES)
    assert not wal_is_gone(names, 5 * SEGMENT_BYTES + 17)
    assert not wal_is_gone(names, 9 * SEGMENT_BYTES), "this copy is ahead: its history is asked for"
