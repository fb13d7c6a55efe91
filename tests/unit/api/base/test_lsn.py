from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.base.lsn import MAX_LSN, SEGMENT_BYTES, format_lsn, parse_lsn, parse_segment_name, segment_name

LSN = st.integers(0, MAX_LSN)
TIMELINE = st.integers(1, 2**32 - 1)


@given(LSN)
def test_lsns_survive_their_text(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn


def test_lsn_as_postgresql_writes_it() -> None:
    assert format_lsn(0x16_B374D848) == "16/B374D848"
    assert parse_lsn("0/1000028") == 0x1000028
    for bad in ("", "1", "1/", "/1", "1/123456789", "x/1", "1/2/3"):
        with pytest.raises(ValueError, match="not an LSN"):
            parse_lsn(bad)
    for outside in (-1, MAX_LSN + 1):
        with pytest.raises(ValueError, match="not an LSN"):
            format_lsn(outside)


@given(TIMELINE, LSN)
def test_a_segment_name_tells_timeline_and_first_byte(timeline: int, lsn: int) -> None:
    name = segment_name(timeline, lsn)
    assert parse_segment_name(name) == (timeline, lsn // SEGMENT_BYTES * SEGMENT_BYTES)
    assert parse_segment_name(name + ".partial") == parse_segment_name(name)


def test_other_files_are_no_segments() -> None:
    assert segment_name(34, 0x1_0300_0000) == "000000220000000100000003"
    for name in ("00000022.history", "archive_status", "000000220000000100000003.backup", "xlogtemp.1"):
        assert parse_segment_name(name) is None
