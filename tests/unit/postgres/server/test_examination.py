from __future__ import annotations

import errno
import os
import struct
import sys
from pathlib import Path

import pytest

from aurora_operator.postgres import disk
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.server import page
from aurora_operator.postgres.server.examination import Finding, examine
from aurora_operator.postgres.tools import Tools

CONTROL = """Database system identifier:           1
Database cluster state:               in production
Latest checkpoint location:           0/2000028
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
max_connections setting:              50
max_worker_processes setting:         24
max_wal_senders setting:              50
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
Data page checksum version:           1
"""


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "pg_controldata", f"print({CONTROL!r})")
    program(folder, "pg_waldump", "")
    return Tools(folder)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(data=tmp_path / "data")
    for name in ("global", "pg_xact", "pg_multixact/offsets", "pg_multixact/members", "pg_wal", "base/5"):
        (layout.pgdata / name).mkdir(parents=True)
    (layout.pgdata / "global" / "pg_filenode.map").touch()
    (layout.wal / "000000010000000000000002").write_bytes(bytes(100))
    return layout


def made_page(number: int) -> bytes:
    content = bytearray(os.urandom(page.PAGE_BYTES))
    struct.pack_into("<H", content, 14, 8000)
    struct.pack_into("<H", content, 8, page.checksum(bytes(content), number))
    return bytes(content)


HOSTILE = [
    '[9] client backend 28P01 FATAL:  password authentication failed for user "invalid page in block 1"',
    "FATAL:  invalid page in block 1 of relation base/5/16390",
    "2026-12-01 10:00:00.123 UTC [12] startup XX001 PANIC:  invalid page in block 1 of relation base/5/16390",
    "PANIC:  could not locate a valid checkpoint record at 0/2000028",
    "FATAL:  could not write: Input/output error",
    "FATAL:  could not extend: No space left on device",
    "FATAL:  invalid page in block 77 of relation base/5/404",
    "PANIC:  could not open file base/5/404: No such file or directory",
]


async def test_what_a_stranger_had_logged_is_no_evidence(tools: Tools, layout: Layout) -> None:
    (layout.pgdata / "base/5/16390").write_bytes(made_page(0) + made_page(1) + bytes(page.PAGE_BYTES))
    assert await examine(tools, layout, HOSTILE) is None
    assert sorted(p.name for p in layout.data.iterdir()) == ["pgdata"]


async def test_a_page_that_is_damaged_is_found_where_the_log_says(tools: Tools, layout: Layout) -> None:
    damaged = bytearray(made_page(1))
    damaged[4000] ^= 1
    (layout.pgdata / "base/5/16390").write_bytes(made_page(0) + damaged)
    found = await examine(tools, layout, HOSTILE)
    assert found == Finding("corruption", "page 1 of base/5/16390 has a wrong checksum")
    assert await examine(tools, layout, []) is None


async def test_pages_beyond_a_relations_first_file_are_found_too(tools: Tools, layout: Layout) -> None:
    number = page.SEGMENT_PAGES + 2
    path = layout.pgdata / "base/5/16390.1"
    path.write_bytes(bytes(2 * page.PAGE_BYTES) + made_page(number))
    said = [f"invalid page in block {number} of relation base/5/16390"]
    assert await examine(tools, layout, said) is None
    path.write_bytes(bytes(2 * page.PAGE_BYTES) + made_page(number + 1))
    found = await examine(tools, layout, said)
    assert found is not None and found.ailment == "corruption"


@pytest.mark.parametrize(
    ("number", "ailment"), [(errno.ENOSPC, "full"), (errno.EDQUOT, "full"), (errno.EIO, "disk"), (errno.EROFS, "disk")]
)
async def test_what_our_own_write_ends_in_is(
    tools: Tools, layout: Layout, monkeypatch: pytest.MonkeyPatch, number: int, ailment: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    found = await examine(tools, layout, [])
    assert found is not None and found.ailment == ailment and os.strerror(number) in found.sign


async def test_a_file_that_cannot_be_read_is(tools: Tools, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    (layout.pgdata / "base/5/16390").write_bytes(made_page(0))
    real = os.pread

    def fails(fd: int, size: int, at: int) -> bytes:
        if "16390" in str(Path(f"/proc/self/fd/{fd}").readlink()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", fails)
    assert await examine(tools, layout, []) is None
    found = await examine(tools, layout, ["could not read blocks 0..0 in file base/5/16390: Input/output error"])
    assert found is not None and found.ailment == "disk"


async def test_without_a_place_to_begin_it_is_damaged(tools: Tools, layout: Layout) -> None:
    program(tools.bin_dir, "pg_waldump", "sys.exit('could not find a valid record')")
    found = await examine(tools, layout, [])
    assert found == Finding("corruption", "there is no record at 0/2000028, where recovery has to begin")
    (layout.pgdata / "backup_label").touch()
    assert await examine(tools, layout, []) is None


async def test_a_damaged_control_file_is(tools: Tools, layout: Layout) -> None:
    program(tools.bin_dir, "pg_controldata", "sys.stderr.write('warning: calculated CRC checksum does not match')")
    found = await examine(tools, layout, [])
    assert found is not None and found.ailment == "corruption" and "pg_control" in found.sign


async def test_a_missing_part_of_every_data_directory_is(tools: Tools, layout: Layout) -> None:
    (layout.pgdata / "pg_xact").rmdir()
    assert await examine(tools, layout, []) == Finding("corruption", "pg_xact is missing")


async def test_a_volume_that_does_not_answer_fails(
    tools: Tools, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    over = threading.Event()
    monkeypatch.setattr(disk, "trial", lambda _folder: over.wait(10) and None)
    try:
        found = await examine(tools, layout, [], deadline=0.1)
    finally:
        over.set()
    assert found is not None and found.ailment == "disk" and "not answered" in found.sign


async def test_an_empty_volume_is_only_tried(tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert await examine(tools, Layout(data=tmp_path / "empty"), HOSTILE) is None
