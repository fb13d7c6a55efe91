"""Records survive whatever happens between two system calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.kind.csi.driver.store import Record, Store, make_id, node_of


def record(name: str = "pvc-1") -> Record:
    return Record(make_id("vol", "worker-1", name), name, 4096, 1.5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path, "volumes")
    made.prepare()
    return made


def write(image: Path) -> None:
    image.write_bytes(b"content")


def test_an_id_is_the_same_on_a_retry_and_differs_between_nodes_and_names() -> None:
    assert make_id("vol", "worker-1", "pvc-1") == make_id("vol", "worker-1", "pvc-1")
    assert len({make_id("vol", node, name) for node in ("a", "b") for name in ("x", "y")}) == 4
    assert node_of(make_id("snap", "worker-2.example", "s")) == "worker-2.example"


@pytest.mark.parametrize("foreign", ["", "x", "../../etc", "vol-1@node", "vol-" + "0" * 32 + "@a/../b", "vol-@"])
def test_ids_that_are_not_ours_are_nobodys(store: Store, foreign: str) -> None:
    assert node_of(foreign) is None
    assert store.get(foreign) is None
    store.delete(foreign)


def test_a_record_and_its_image_come_and_go_together(store: Store) -> None:
    store.create(record(), write)
    assert store.get(record().id) == record()
    assert store.records() == [record()]
    assert store.image(record().id).read_bytes() == b"content"
    store.delete(record().id)
    assert store.get(record().id) is None
    assert not store.image(record().id).exists()
    store.delete(record().id)


def test_a_failed_image_leaves_nothing(store: Store, tmp_path: Path) -> None:
    def fail(image: Path) -> None:
        image.write_bytes(b"half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        store.create(record(), fail)
    assert store.records() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_crash_leaves_is_removed_at_the_next_start(store: Store, tmp_path: Path) -> None:
    store.create(record("kept"), write)
    # As if the process had died before the rename of a create, and after that of a delete.
    for name in ("draft", "doomed"):
        (tmp_path / "scratch" / name).mkdir()
        (tmp_path / "scratch" / name / "x.img").write_bytes(b"garbage")
    again = Store(tmp_path, "volumes")
    again.prepare()
    assert again.records() == [record("kept")]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_resizing_is_noted_at_once_or_not_at_all(store: Store, tmp_path: Path) -> None:
    store.create(record(), write)
    folder = store.image(record().id).parent
    (folder / "record.json.new").write_text('{"half')  # a resize that died while writing
    assert store.get(record().id) == record()
    assert store.resize(record(), 8192).size == 8192
    found = store.get(record().id)
    assert found is not None and found.size == 8192
    assert json.loads((folder / "record.json").read_text())["name"] == "pvc-1"


def test_records_are_listed_in_a_stable_order(store: Store) -> None:
    for number in range(20):
        store.create(record(f"pvc-{number}"), write)
    ids = [found.id for found in store.records()]
    assert len(ids) == 20 and ids == sorted(ids)
