"""The door's two files, against a server that only counts reloads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aurora_operator.agent.lifecycle import lifecycle
from aurora_operator.agent.power import shutdown
from aurora_operator.agent.replication import leader
from aurora_operator.api.base import names
from aurora_operator.postgres.config import door as module
from aurora_operator.postgres.config.door import DOOR_FILE, Door, render_door
from aurora_operator.postgres.layout import Layout

SOURCE = Path(__file__).resolve().parents[4] / "images" / "instance" / "aurora_door.c"


class Server:
    """Runs, and is reloaded."""

    def __init__(self) -> None:
        self.alive = False
        self.reloads = 0

    def reload(self) -> None:
        self.reloads += 1


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(data=tmp_path)
    made.pgdata.mkdir()
    return made


def _door(layout: Layout, *, library: bool) -> tuple[Door, Any]:
    server: Any = Server()
    path = layout.data / "aurora_door.so"
    if library:
        path.touch()
    made = Door(layout, server, path)
    made.prepare_start("not ready")
    server.alive = True
    return made, server


def _files(layout: Layout) -> tuple[str, bool]:
    """What the door's file says, and whether pg_hba.conf lists clients."""
    hba = (layout.pgdata / "pg_hba.conf").read_text()
    return (layout.pgdata / DOOR_FILE).read_text(), "scram" in hba


def test_with_the_library_the_file_decides_and_nothing_is_reloaded(layout: Layout) -> None:
    door, server = _door(layout, library=True)
    assert door.preload == str(layout.data / "aurora_door")
    assert _files(layout) == ("not ready\n", True)
    assert door.open() and not door.open()
    assert _files(layout) == ("open\n", True)
    assert door.close("elected") and door.close("deposed") and not door.close("deposed")
    assert _files(layout) == ("deposed\n", True)
    assert server.reloads == 0


def test_without_it_pg_hba_decides_by_a_reload(layout: Layout) -> None:
    door, server = _door(layout, library=False)
    assert door.preload is None and _files(layout) == ("not ready\n", False)
    assert door.open() and _files(layout) == ("open\n", True) and server.reloads == 1
    assert door.close("elected") and _files(layout) == ("elected\n", False) and server.reloads == 2


def test_what_a_server_was_started_without_is_not_relied_on(layout: Layout) -> None:
    door, _ = _door(layout, library=False)
    (layout.data / "aurora_door.so").touch()
    door.open()
    door.close("elected")
    assert _files(layout) == ("elected\n", False)
    door.prepare_start("not ready")
    assert _files(layout) == ("not ready\n", True) and door.preload is not None


def test_a_full_volume_keeps_no_door_open(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    door, _ = _door(layout, library=True)
    door.open()

    def full(*_: object, **__: object) -> bool:
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "write_durably", full)
    with pytest.raises(OSError, match="no space"):
        door.close("elected")
    assert not (layout.pgdata / DOOR_FILE).exists()


def test_a_sentence_is_one_line_and_never_the_word_that_opens() -> None:
    told = (lifecycle.STARTING, lifecycle.DEPOSED, leader.PROMOTING, leader.LEAVING, shutdown.PAUSING)
    assert [render_door(sentence) for sentence in told] == [f"{sentence}\n" for sentence in told]
    for wrong in ("", "open", "two\nlines", "x" * 251, "f\N{LATIN SMALL LETTER U WITH DIAERESIS}r"):
        with pytest.raises(ValueError, match="sentence"):
            render_door(wrong)


def test_the_library_knows_the_same_file_and_the_same_people() -> None:
    source = SOURCE.read_text()
    assert f'#define DOOR_FILE "{DOOR_FILE}"' in source and '#define OPEN "open"' in source
    (ours,) = re.findall(r"ours\[\] = \{(.*?)\}", source)
    assert re.findall(r'"(\w+)"', ours) == ["postgres", names.REPLICATION_USER]
    (size,) = re.findall(r"said\[(\d+)\];", source)
    assert int(size) > module.MAX_SENTENCE + len("\n")
