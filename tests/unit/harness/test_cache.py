"""The cache: what its keys depend on, and that half a build never counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kind import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AURORA_KIND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_key_of_a_folder_depends_on_contents_names_and_modes_only(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    assert cache.digest(tmp_path / "one") == cache.digest(tmp_path / "two")

    before = cache.digest(tmp_path / "one")
    (tmp_path / "one" / "file").chmod(0o755)
    executable = cache.digest(tmp_path / "one")
    (tmp_path / "one" / "file").rename(tmp_path / "one" / "other")
    assert len({before, executable, cache.digest(tmp_path / "one")}) == 3


def test_compiled_python_does_not_change_a_key(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("x = 1")
    before = cache.digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "module.pyc").write_bytes(b"...")
    assert cache.digest(tmp_path) == before


def test_parts_do_not_run_into_each_other() -> None:
    assert cache.digest("ab", "c") != cache.digest("a", "bc")


def test_an_interrupted_build_leaves_nothing() -> None:
    target = cache.slot("thing", "key")
    with pytest.raises(KeyboardInterrupt), cache.filling(target) as made:
        made.write_text("half")
        raise KeyboardInterrupt
    assert not target.exists()
    assert list(target.parent.iterdir()) == []


def test_a_new_version_replaces_the_old_one() -> None:
    for key in ("old", "new"):
        with cache.filling(cache.slot("thing", key)) as made:
            made.write_text(key)
    assert [path.name for path in cache.slot("thing", "new").parent.iterdir()] == ["new"]
    assert cache.slot("thing", "new").read_text() == "new"
