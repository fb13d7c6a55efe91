from __future__ import annotations

import os
from pathlib import Path

import pytest

from aurora_operator.agent.scaling import page_cache


def make(pgdata: Path) -> None:
    for folder in ("pg_wal", "base/1"):
        (pgdata / folder).mkdir(parents=True)
    for number in range(40):
        (pgdata / "base/1" / str(number)).write_bytes(b"x")
    (pgdata / "pg_wal" / "000000010000000000000001").write_bytes(b"x")
    (pgdata / "postmaster.pid").write_text("1")


def test_only_as_much_as_needed_wal_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    dropped: list[str] = []

    def advise(descriptor: int, offset: int, length: int, advice: int) -> None:
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        dropped.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    assert page_cache.drop(tmp_path, lambda: 100 - len(dropped), 70) <= 70
    assert dropped[0] == "000000010000000000000001"
    assert len(dropped) == 32, "two batches"
    assert "postmaster.pid" not in dropped


def test_what_cannot_be_dropped_is_said(tmp_path: Path) -> None:
    make(tmp_path)
    assert page_cache.drop(tmp_path, lambda: 1000, 10) == 1000
