from __future__ import annotations

import errno
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.postgres.server.ailments import MAX_HINTS, Block, hinted_blocks, hinted_files, of_error


@pytest.mark.parametrize(
    ("number", "ailment"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EIO, "disk"),
        (errno.EROFS, "disk"),
        (errno.EUCLEAN, "disk"),
        (errno.ENOENT, None),
        (errno.EACCES, None),
        (errno.EMFILE, None),
    ],
)
def test_an_error_of_our_own_says_what_is_wrong(number: int, ailment: str | None) -> None:
    assert of_error(OSError(number, "why")) == ailment


def test_a_log_only_says_where_to_look() -> None:
    lines = [
        "FATAL:  invalid page in block 7 of relation base/5/16390",
        'PANIC:  could not read block 4 in file "base/5/16391.2": read only 0 of 8192 bytes',
        'FATAL:  invalid page in block 0 of relation "global/1262_vm"',
        'could not open file "pg_wal/000000010000000000000002": No such file or directory',
    ]
    assert hinted_blocks(lines) == (Block("global/1262_vm", 0), Block("base/5/16390", 7))
    assert hinted_files(lines) == (
        "pg_wal/000000010000000000000002",
        "global/1262_vm",
        "base/5/16391.2",
        "base/5/16390",
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "invalid page in block 1",
        "invalid page in block 1 of relation ../../etc/passwd",
        "invalid page in block 1 of relation base/5/../../../etc",
        "invalid page in block 99999999999999999999 of relation base/5/x",
        "/etc/base/5/16390",
        "base/5/16390/../../secret",
        "pg_wal/../../x",
        "Input/output error",
    ],
)
def test_nothing_outside_the_data_directory_is_read(hostile: str) -> None:
    line = f'FATAL:  password authentication failed for user "{hostile}"'
    assert hinted_blocks([line]) == ()
    assert hinted_files([line]) == ()


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_text_names_few_and_plain_places(lines: list[str]) -> None:
    places = [b.relation for b in hinted_blocks(lines)] + list(hinted_files(lines))
    assert len(places) <= 2 * MAX_HINTS
    assert all(re.fullmatch(r"[A-Za-z0-9_/.]+", p) and ".." not in p and not p.startswith("/") for p in places)
