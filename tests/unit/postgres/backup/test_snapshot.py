from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aurora_operator.postgres.backup.snapshot import Kept, needed_wal, pack, unpack
from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.pgbackrest.commands import progress_of
from aurora_operator.postgres.pgbackrest.info import BackupInfo

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
BACKUP = BackupInfo(
    label="20260301-120000F", kind="full", start=MOMENT, stop=MOMENT, start_lsn=0x2000028, stop_lsn=0x2000100,
    timeline=34, size=10, stored=5, archive="17-1",
)  # fmt: skip


def test_the_wal_that_a_backup_needs_goes_from_its_start_to_its_end() -> None:
    assert needed_wal(BACKUP) == ("00000022.history", "000000220000000000000002")
    longer = replace(BACKUP, start_lsn=0xFF000028, stop_lsn=0x1_01000000)
    assert needed_wal(longer)[1:] == ("0000002200000000000000FF", "000000220000000100000000")
    assert needed_wal(replace(BACKUP, timeline=1)) == ("000000010000000000000002",)


def test_what_is_kept_is_said_so_that_it_can_be_read_again() -> None:
    kept = Kept("20260301-120000F", 34, 0x2000100, MOMENT, 10, 5)
    assert unpack(pack(kept)) == kept
    for broken in (b"", b"[]", b"{}", pack(kept)[:-5], b'{"label": 1, "time": "never"}'):
        with pytest.raises(RepositoryError, match="not understood"):
            unpack(broken)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("DETAIL: backup file /data/base/1/2619 (176KB, 12.5%) checksum 8f", 0.125),
        ("DETAIL: backup file /data/global/6303 (bundle 1/3280, 16KB, 0.13%) checksum d5", 0.0013),
        ("P01 DETAIL: restore file /data/PG_VERSION (bundle 20261125-085221F/1/0, 3B, 100.00%) checksum a1", 1.0),
        ("INFO: full backup size = 29.7MB, file total = 975", None),
    ],
)
def test_progress_is_read_of_files_and_of_bundled_files(line: str, part: float | None) -> None:
    assert progress_of(line) == pytest.approx(part)
