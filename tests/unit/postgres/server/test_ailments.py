from __future__ import annotations

import pytest

from aurora_operator.postgres.server.ailments import SENTENCES, diagnose


@pytest.mark.parametrize(
    ("complaint", "ailment"),
    [
        ('could not extend file "base/5/16390": No space left on device', "full"),
        ('could not read blocks 0..0 in file "base/5/1": Input/output error', "disk"),
        ("invalid page in block 7 of relation base/5/16390", "corruption"),
        ("could not locate a valid checkpoint record at 0/2000028", "corruption"),
        ('could not open file "base/5/16390": No such file or directory', "corruption"),
        ("pg_basebackup ended with 1: checksum error occurred", "corruption"),
        # A volume that is full leaves broken things behind: room comes first.
        ("invalid page in block 7\nNo space left on device", "full"),
        # What every standby says at the end of its WAL, and what a missing leader makes it say, is no ailment.
        ("invalid record length at 0/3000090: expected at least 24, got 0", None),
        ("unexpected pageaddr 0/1000000 in WAL segment", None),
        ('could not open file "pg_wal/000000010000000000000002": No such file or directory', None),
        ("could not connect to the primary server", None),
        ("", None),
    ],
)
def test_what_complaints_mean(complaint: str, ailment: str | None) -> None:
    assert diagnose(complaint.splitlines()) == ailment
    assert ailment is None or SENTENCES[ailment]
