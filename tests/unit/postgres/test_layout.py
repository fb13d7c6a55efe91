from __future__ import annotations

from pathlib import Path

import pytest

from aurora_operator.postgres.layout import Layout


@pytest.mark.parametrize(
    ("file", "holds"),
    [
        (None, False),
        ("lost+found/", False),
        ("aurora/lock", False),
        ("pgdata/", False),
        ("pgdata.new/PG_VERSION", False),
        ("restoring/pgdata/PG_VERSION", False),
        ("pgdata/base/1/1259", True),
        ("wal/000000010000000000000001", True),
        ("wal.before/000000010000000000000001.partial", True),
        ("fetched/000000010000000000000001", True),
        ("kept/33-20260301T120000/00000021.history", True),
    ],
)
def test_a_volume_holds_data_when_in_doubt(tmp_path: Path, file: str | None, holds: bool) -> None:
    if file is not None:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if file.endswith("/") else path.write_bytes(b"x")
    assert Layout(data=tmp_path).holds_data() is holds
