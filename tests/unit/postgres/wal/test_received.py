"""What is known of received WAL without a server: arithmetic of pages, histories, what may go."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.agent.server import wal_files
from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name
from aurora_operator.postgres import files
from aurora_operator.postgres.wal import received, wal_record
from aurora_operator.postgres.wal.receive_wal import trouble
from aurora_operator.postgres.wal.received import Segment
from aurora_operator.postgres.wal.timeline import History, Switch

MB16 = SEGMENT_BYTES
HISTORY = History(34, (Switch(1, 5 * MB16 // 2), Switch(2, 4 * MB16)))


def _segment(timeline: int, number: int, suffix: str = "") -> Segment:
    return Segment(timeline, number * MB16, Path(segment_name(timeline, number * MB16) + suffix))


@given(st.integers(0, 40 * 8192), st.integers(24, 5 * 8192))
def test_a_record_takes_its_bytes_and_the_headers_on_its_way(offset: int, size: int) -> None:
    start = MB16 + offset // 8 * 8
    if start % 8192 < wal_record.page_header_bytes(start // 8192 * 8192):
        start = start // 8192 * 8192 + wal_record.page_header_bytes(start // 8192 * 8192)
    end = wal_record.record_end(start, size)
    assert end % 8 == 0
    headers = sum(wal_record.page_header_bytes(page) for page in range(start // 8192 * 8192 + 8192, end, 8192))
    assert size <= end - start - headers < size + 8
    assert wal_record.record_end(start, size, switch=True) == -(-end // MB16) * MB16


def test_a_record_that_ends_with_its_page_ends_before_the_next_header() -> None:
    assert wal_record.record_end(MB16 + 8192 + 24, 8192 - 24) == MB16 + 2 * 8192
    assert wal_record.record_end(MB16 + 8192 + 24, 8192 - 24 + 1) == MB16 + 2 * 8192 + 24 + 8


def test_a_continuation_counts_only_when_its_pages_are_there() -> None:
    def read(pages: int) -> wal_record.Read:
        def at(lsn: int, size: int) -> bytes:
            number = (lsn - MB16) // 8192
            left = 20000 - number * 8000
            header = struct.pack("=HHIQI", 0xD116, 1, 1, lsn, left) if number < pages else b""
            return header.ljust(size, b"\0")

        return at

    assert wal_record.continuation_end(MB16, read(3)) == wal_record.record_end(MB16 + 40, 20000)
    assert wal_record.continuation_end(MB16, read(2)) is None
    assert wal_record.continuation_end(2 * MB16, read(3)) is None


def test_whose_byte_it_is() -> None:
    ends = {1: 1, 5 * MB16 // 2: 1, 5 * MB16 // 2 + 1: 2, 4 * MB16: 2, 4 * MB16 + 1: 34}
    assert {lsn: received.owner(HISTORY, lsn) for lsn in ends} == ends


def test_what_is_not_of_a_history() -> None:
    found = [_segment(1, 1), _segment(1, 2), _segment(1, 3, ".partial"), _segment(2, 3), _segment(2, 4, ".partial")]
    found += [_segment(7, 1), _segment(34, 4)]
    whole, cut = received.foreign(found, HISTORY)
    assert whole == [found[2], found[4], found[5]]
    assert cut == [(found[1], 5 * MB16 // 2)]


def test_what_may_go_leaves_the_newest_and_a_margin() -> None:
    found = [_segment(1, n) for n in range(1, 6)] + [_segment(2, 5), _segment(1, 6, ".partial")]
    assert received.prunable(found, 100 * MB16, 0) == found[:-1]
    assert received.prunable(found, 4 * MB16, 0) == found[:3]
    assert received.prunable(found, 4 * MB16, MB16) == found[:2]
    assert received.prunable([], 4 * MB16, 0) == []


def test_nothing_goes_while_an_instance_has_not_said() -> None:
    assert received.needed_by({"a": 5, "b": 9}, ["a", "b"], 7) == 5
    assert received.needed_by({"a": 5}, ["a", "b"], 7) == 0
    assert received.needed_by({}, [], 7) == 7


def test_a_stub_of_a_full_volume_goes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / (segment_name(1, MB16) + ".partial")).write_bytes(bytes(8192))
    (tmp_path / (segment_name(1, 2 * MB16) + ".partial")).write_bytes(b"WAL" + bytes(8192))
    (tmp_path / (segment_name(1, 3 * MB16) + ".partial")).write_bytes(b"")
    (tmp_path / "note.partial").write_bytes(bytes(10))
    assert received.remove_stubs(tmp_path) == [segment_name(1, MB16) + ".partial"]
    assert len(list(tmp_path.iterdir())) == 3
    assert received.segments(tmp_path) == []


def test_complaints() -> None:
    said = 'pg_receivewal: error: could not write 16777216 bytes to WAL file "x": No space left on device'
    assert trouble([said, "pg_receivewal: disconnected"]) == "full"
    assert trouble(['could not fsync file "x": Input/output error']) == "disk"
    assert trouble(["ERROR:  requested WAL segment 000000010000000000000001 has already been removed"]) == "gone"
    assert trouble(['replication slot "x" does not exist']) == "other"


def test_a_segment_that_is_completed_while_the_folder_is_read_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / segment_name(1, MB16)
    being_filled = whole.with_name(whole.name + received.PARTIAL)
    being_filled.touch()
    os.truncate(being_filled, MB16)

    def listed(folder: Path) -> list[os.DirEntry[str]]:
        found = files.entries(folder)
        if being_filled.exists():
            being_filled.rename(whole)
        return found

    for module in (received, wal_files):
        monkeypatch.setattr(module, "entries", listed)
    assert received.segments(tmp_path) == [Segment(1, MB16, whole)]
    whole.rename(being_filled)
    with being_filled.open("r+b") as file:
        file.write(struct.pack("=HHIQ", 0xD116, 0, 1, MB16))  # A page header: it holds WAL.
    assert [file.name for file in wal_files.listing(tmp_path)] == [whole.name]
