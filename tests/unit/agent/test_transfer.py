from __future__ import annotations

import errno
from pathlib import Path

import pytest

from aurora_operator.agent import transfer
from aurora_operator.postgres import disk
from aurora_operator.postgres.errors import ToolError

NAMED = ToolError("pg_dump", 1, 'could not read table "No space left on device"')


def test_what_a_program_says_is_no_sign_of_a_full_volume(tmp_path: Path) -> None:
    assert transfer.full_hint(NAMED, tmp_path, scratch=True) == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_the_volume_itself_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    tried: list[Path] = []

    def trial(folder: Path, size: int) -> OSError:
        tried.append(folder)
        return OSError(number, "full")

    monkeypatch.setattr(disk, "trial", trial)
    assert "--scratch" in transfer.full_hint(NAMED, tmp_path, scratch=True)
    assert transfer.full_hint(NAMED, tmp_path / "not there", scratch=False) == "; its volume is full"
    assert tried == [tmp_path, tmp_path]


def test_our_own_write_too(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert "--scratch" in transfer.full_hint(full, tmp_path, scratch=True)
    assert transfer.full_hint(OSError(errno.EIO, "broken"), tmp_path, scratch=True) == ""


def test_the_error_is_left_for_kubernetes(tmp_path: Path) -> None:
    message = tmp_path / "termination-log"
    transfer.leave("why", message)
    assert not message.exists()  # it is not in a container
    message.touch()
    transfer.leave("ü" * 4000, message)
    assert message.stat().st_size == transfer.MESSAGE_BYTES
