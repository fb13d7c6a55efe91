from __future__ import annotations

import errno
import os
import shutil
import struct
from pathlib import Path

import pytest

from aurora_operator.api.base.lsn import SEGMENT_BYTES, segment_name
from aurora_operator.postgres import files
from aurora_operator.postgres.config.parameter_check import split_list
from aurora_operator.postgres.errors import CannotRewind, DataError, ToolError, VolumeInUse
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.replication.base_backup import (
    drop_replaced,
    keep_aside,
    parse_progress,
    recover_interrupted,
)
from aurora_operator.postgres.replication.rewind import common_point, diverged_segments, keep_diverged
from aurora_operator.postgres.server.control import parse_control
from aurora_operator.postgres.server.lock import VolumeLock
from aurora_operator.postgres.sql.roles import password_matches
from aurora_operator.postgres.wal import pg_wal
from aurora_operator.postgres.wal.timeline import History, Switch, render_history

SEG = SEGMENT_BYTES


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(data=tmp_path, run=tmp_path / "run", tls=tmp_path / "tls")
    files.make_directory(layout.wal)
    return layout


def add_segment(layout: Layout, timeline: int, number: int, *, written: bool = True) -> None:
    address = number * SEG if written else 0
    path = layout.wal / segment_name(timeline, number * SEG)
    path.write_bytes(struct.pack("=HHIQ", 0xD116, 0, timeline, address))


def add_history(layout: Layout, history: History) -> None:
    (layout.wal / f"{history.timeline:08X}.history").write_text(render_history(history))


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.write_durably(path, "one")
    assert not files.write_durably(path, "one")
    assert files.write_durably(path, b"two") and path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert files.write_durably(path, "two", mode=0o640)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert files.remove_durably(path) and not files.remove_durably(path)


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "link").symlink_to(precious)
    files.remove_tree(tmp_path / "link")
    assert (precious / "file").exists() and not (tmp_path / "link").exists()
    files.remove_tree(precious)
    files.remove_tree(precious)
    assert not precious.exists()


@pytest.mark.parametrize("trouble", [errno.ENOENT, errno.ENOTEMPTY])
def test_a_tree_is_removed_although_somebody_still_comes_and_goes_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: int
) -> None:
    (tmp_path / "busy" / "spool").mkdir(parents=True)
    remove, calls = shutil.rmtree, 0

    def rmtree(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise OSError(trouble, "somebody was quicker")
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    files.remove_tree(tmp_path / "busy")
    assert not (tmp_path / "busy").exists() and calls == 3


def test_a_tree_that_cannot_be_removed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rmtree(path: Path) -> None:
        raise OSError(errno.EACCES, "no")

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    with pytest.raises(PermissionError):
        files.remove_tree(tmp_path)


def test_a_volume_has_one_user(tmp_path: Path) -> None:
    one, two = VolumeLock(tmp_path / "aurora" / "lock"), VolumeLock(tmp_path / "aurora" / "lock")
    one.acquire()
    assert len(one.fds) == 1
    with pytest.raises(VolumeInUse):
        two.acquire()
    one.release()
    two.acquire()
    two.release()
    assert two.fds == ()


def test_local_timeline(layout: Layout) -> None:
    add_segment(layout, 1, 3)
    assert pg_wal.local_timeline(layout.pgdata, 3 * SEG + 1) == 1
    assert pg_wal.local_timeline(layout.pgdata, 4 * SEG) == 1
    for nowhere in (3 * SEG, 4 * SEG + 1):
        with pytest.raises(DataError):
            pg_wal.local_timeline(layout.pgdata, nowhere)
    switch = 3 * SEG + 500
    add_history(layout, History(34, (Switch(1, switch),)))
    assert pg_wal.local_timeline(layout.pgdata, switch + 1) == 1  # its history alone does not bring the WAL
    add_segment(layout, 34, 3)
    assert pg_wal.local_timeline(layout.pgdata, switch) == 1  # the byte before the switch is the old timeline's
    assert pg_wal.local_timeline(layout.pgdata, switch + 1) == 34
    add_segment(layout, 40, 3)  # without a history, or with a placeholder, nothing is known of it
    assert pg_wal.local_timeline(layout.pgdata, switch + 1) == 34
    add_history(layout, History(40))
    assert pg_wal.local_timeline(layout.pgdata, switch + 1) == 34


def test_placeholders_fill_exactly_the_gap(layout: Layout) -> None:
    add_segment(layout, 1, 1)
    add_history(layout, History(3, (Switch(1, 5),)))
    assert pg_wal.write_placeholders(layout.pgdata, 1, 6) == [2, 4, 5]
    assert pg_wal.read_history_numbers(layout.pgdata) == [2, 3, 4, 5]
    found = pg_wal.read_histories(layout.pgdata)
    assert found[2].placeholder and not found[3].placeholder
    assert pg_wal.write_placeholders(layout.pgdata, 1, 6) == []
    for epoch in (1, 5):
        with pytest.raises(DataError, match="cannot be the next"):
            pg_wal.write_placeholders(layout.pgdata, 1, epoch)


def test_placeholders_are_names_of_a_few_files_and_leave_nothing_else(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pg_wal, "LINKS", 10)
    (layout.wal / "placeholder.shared").write_text("of one that was killed")
    assert len(pg_wal.write_placeholders(layout.pgdata, 1, 37)) == 35
    names = sorted(layout.wal.glob("*.history"))
    assert [path.stat().st_size for path in names] == [0] * 35
    assert len({path.stat().st_ino for path in names}) == 4
    assert sorted(layout.wal.iterdir()) == names


def test_before_a_rewind_each_placeholder_is_a_file_of_its_own(layout: Layout) -> None:
    pg_wal.write_placeholders(layout.pgdata, 1, 6)
    pg_wal.part_histories(layout.pgdata)
    (layout.wal / "00000003.history").write_text("1\t0/5\tx\n")
    assert {n: h.placeholder for n, h in pg_wal.read_histories(layout.pgdata).items()} == {
        **dict.fromkeys((2, 4, 5), True),
        3: False,
    }


@pytest.mark.parametrize("error", [errno.EPERM, errno.EMLINK])
def test_placeholders_are_files_where_there_are_no_links(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, "")

    monkeypatch.setattr(os, "link", refuse)
    pg_wal.write_placeholders(layout.pgdata, 1, 6)
    assert pg_wal.read_history_numbers(layout.pgdata) == [2, 3, 4, 5]
    assert len(list(layout.wal.iterdir())) == 4


def test_a_placeholder_never_takes_a_historys_place(layout: Layout) -> None:
    add_history(layout, History(3, (Switch(1, 5),)))
    pg_wal.touch_histories(layout.pgdata, [2, 3, 4])
    assert pg_wal.read_history(layout.pgdata, 3) == History(3, (Switch(1, 5),))


def test_a_broken_history_is_an_error_of_the_data(layout: Layout) -> None:
    (layout.wal / "00000005.history").write_text("nonsense")
    with pytest.raises(DataError, match=r"00000005\.history"):
        pg_wal.read_history(layout.pgdata, 5)
    assert pg_wal.read_history(layout.pgdata, 6) is None
    assert pg_wal.read_history(layout.pgdata, 1) == History(1)


LEADER = History(34, (Switch(1, 4 * SEG + 100),))


def test_common_point() -> None:
    assert common_point(LEADER, History(1)) == (1, 4 * SEG + 100)
    assert common_point(LEADER, History(2, (Switch(1, 300),))) == (1, 300)
    assert common_point(LEADER, LEADER) == (34, None)
    with pytest.raises(CannotRewind):
        common_point(History(9, (Switch(5, 1),)), History(3, (Switch(2, 1),)))


def test_only_diverged_wal_is_kept(layout: Layout) -> None:
    for number in (3, 4, 5):
        add_segment(layout, 1, number)
    add_segment(layout, 1, 6, written=False)  # set aside for later use: holds nothing of this LSN
    add_segment(layout, 34, 4)
    add_history(layout, LEADER)
    names = [path.name for path in diverged_segments(layout.pgdata, LEADER)]
    assert names == [segment_name(1, 4 * SEG), segment_name(1, 5 * SEG)]
    kept = keep_diverged(layout, LEADER)
    assert kept is not None and kept.parent == layout.kept
    assert sorted(path.name for path in kept.iterdir()) == names
    (layout.wal / segment_name(34, 4 * SEG)).unlink()
    assert keep_diverged(layout, History(66, (Switch(1, 9 * SEG),))) is None


def test_diverged_wal_is_kept_with_the_histories_that_it_needs(layout: Layout) -> None:
    add_segment(layout, 33, 4)
    add_history(layout, History(32, (Switch(1, 200),)))
    add_history(layout, History(33, (Switch(1, 4 * SEG + 50),)))
    kept = keep_diverged(layout, LEADER)
    assert kept is not None
    assert sorted(path.name for path in kept.iterdir()) == ["00000021.history", segment_name(33, 4 * SEG)]


def test_wal_whose_history_is_gone_is_shared_as_far_as_the_leader_has_its_timeline(layout: Layout) -> None:
    leader = History(67, (*LEADER.switches, Switch(34, 6 * SEG)))
    for number in (4, 5, 6):
        add_segment(layout, 34, number)
    assert [path.name for path in diverged_segments(layout.pgdata, leader)] == [segment_name(34, 6 * SEG)]


def test_a_former_data_directory_comes_back_after_a_crash(layout: Layout) -> None:
    (layout.pgdata / "mark").touch()
    kept = keep_aside(layout, layout.pgdata, "pgdata")
    assert not layout.pgdata.exists() and (kept / "mark").exists()
    drop_replaced(layout)  # nothing has replaced it yet
    assert recover_interrupted(layout) and (layout.pgdata / "mark").exists()
    for _ in range(2):
        files.make_directory(layout.pgdata)
        keep_aside(layout, layout.pgdata, "pgdata")
    assert len(list(layout.kept.iterdir())) == 2
    files.make_directory(layout.pgdata)
    drop_replaced(layout)
    assert not list(layout.kept.iterdir())


def test_progress_lines() -> None:
    assert parse_progress("  12345/678910 kB (1%), 0/1 tablespace (/data/pgdata.new/base/1)") == (
        12345 * 1024,
        678910 * 1024,
    )
    assert parse_progress("pg_basebackup: checkpoint completed") is None


def test_lists_of_names() -> None:
    assert split_list(' pg_stat_statements, "auto_explain",,') == ["pg_stat_statements", "auto_explain"]


CONTROL = """
pg_control version number:            1700
Database system identifier:           7711525795324092437
Database cluster state:               in archive recovery
Latest checkpoint location:           0/3000060
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/3000100
Min recovery ending loc's timeline:   34
max_connections setting:              112
max_worker_processes setting:         24
max_wal_senders setting:              50
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
Data page checksum version:           1
"""


def test_control_data() -> None:
    control = parse_control(CONTROL)
    assert control.system_identifier == "7711525795324092437" and not control.clean and control.checksums
    assert (control.checkpoint, control.checkpoint_timeline) == (0x3000060, 1)
    assert (control.min_recovery, control.min_recovery_timeline) == (0x3000100, 34)
    assert control.standby_minimums["max_prepared_transactions"] == 0
    assert control.standby_minimums["max_locks_per_transaction"] == 64
    with pytest.raises(DataError):
        parse_control("something else")


def test_a_scram_verifier_is_recognised() -> None:
    # RFC 7677's example: user "user", password "pencil".
    verifier = (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert password_matches(verifier, "pencil")
    assert not password_matches(verifier, "pencil2")
    assert not password_matches(verifier, "pöncil")
    assert not password_matches(None, "pencil")
    assert not password_matches("md5abc", "pencil")


def test_errors_are_sentences() -> None:
    assert str(ToolError("initdb", 1, "no room\n")) == "initdb ended with 1: no room"
    assert str(ToolError("initdb", None, "")) == "initdb took too long"
