from __future__ import annotations

import errno
from pathlib import Path

import pytest

from aurora_operator.agent.member import durable_state as stores
from aurora_operator.agent.member.durable_state import Store
from aurora_operator.agent.storage.disk_monitor import Temporary, temporary_files, wal_files
from aurora_operator.consensus.events import Durable
from aurora_operator.consensus.types import NO_CONFIG
from aurora_operator.postgres.server.reserve import Reserve


def test_wal_is_segments_and_what_waits_for_the_archive(tmp_path: Path) -> None:
    status = tmp_path / "archive_status"
    status.mkdir()
    for name in ("000000010000000000000001", "000000010000000000000002", "000000020000000000000003.partial"):
        (tmp_path / name).write_bytes(bytes(1000))
    (tmp_path / "00000002.history").write_bytes(bytes(5))
    (status / "000000010000000000000001.done").touch()
    (status / "000000010000000000000002.ready").touch()
    assert wal_files(tmp_path) == (3000, 1)
    assert wal_files(tmp_path / "none") == (0, 0)


def test_temporary_files_and_whose_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "base" / "pgsql_tmp"
    shared = folder / "pgsql_tmp77.0.fileset"
    shared.mkdir(parents=True)
    (folder / "pgsql_tmp42.0").write_bytes(bytes(100))
    (folder / "pgsql_tmp42.1").write_bytes(bytes(100))
    (shared / "o15.p0.0").write_bytes(bytes(50))
    assert temporary_files(tmp_path) == Temporary(250, (42, 77))
    assert temporary_files(tmp_path / "none") == Temporary()


def test_a_reserve_takes_room_until_it_is_let_go(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    assert reserve.held == 0
    assert reserve.hold(1 << 20)
    assert reserve.held == 1 << 20
    reserve.release()
    assert reserve.held == 0
    reserve.release()


def test_a_reserve_that_cannot_be_had_takes_nothing(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    assert not reserve.hold(1 << 60)
    assert reserve.held == 0


def test_a_promise_is_kept_on_a_full_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path)
    store.save_durable(Durable(promised=3, config=NO_CONFIG))
    assert (tmp_path / "consensus.spare").stat().st_size == stores.SPARE_BYTES
    with monkeypatch.context() as patched:
        patched.setattr(stores, "write_durably", full)
        patched.setattr(stores, "make_spare", full)
        store.save_durable(Durable(promised=4, config=NO_CONFIG))
        assert Store(tmp_path).durable().promised == 4
        with pytest.raises(OSError, match="No space"):
            store.save_durable(Durable(promised=5, config=NO_CONFIG))
    assert Store(tmp_path).durable().promised == 4
    store.save_durable(Durable(promised=6, config=NO_CONFIG))
    assert (tmp_path / "consensus.spare").stat().st_size == stores.SPARE_BYTES
