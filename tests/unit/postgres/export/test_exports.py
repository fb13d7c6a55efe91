from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_operator.postgres.errors import DataError, RepositoryError
from aurora_operator.postgres.export import export_folder
from aurora_operator.postgres.export.export_format import (  # fmt: skip
    About,
    File,
    Manifest,
    Part,
    cut,
    length,
    missing,
    pack,
    part_name,
    tar_size,
    unpack,
)
from aurora_operator.postgres.pgbackrest.cipher import Decryptor, decrypt, stored_size

NAMES = st.text("abcdefghij0123456789._-", min_size=1, max_size=98).map(lambda rest: f"f{rest}")
FOLDERS = st.dictionaries(NAMES, st.binary(max_size=3000), max_size=6)


async def _parts(folder: Path, files: tuple[File, ...], size: int) -> list[bytes]:
    return [b"".join([chunk async for chunk in export_folder.read(folder, part)]) for part in cut(files, size)]


@given(content=FOLDERS, size=st.integers(1, 5000), seed=st.integers())
@settings(max_examples=60)
async def test_parts_are_a_tar_file_and_become_the_folder_again(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes], size: int, seed: int
) -> None:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name, data in content.items():
        (source / name).write_bytes(data)
    files = export_folder.files(source)
    parts = await _parts(source, files, size)
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1) and 0 < len(parts[-1]) <= size
    assert sum(map(len, parts)) == tar_size(files)
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts)), mode="r:") as tar:
        assert {m.name: tar.extractfile(m).read() for m in tar} == content  # type: ignore[union-attr]
    dice = random.Random(seed)
    for part, layout in zip(parts, cut(files, size), strict=True):
        assert length(layout) == len(part)
        writer = export_folder.Writer(target, layout)
        rest = part
        while rest:
            some = dice.randint(0, len(rest))
            writer.write(rest[:some])
            rest = rest[some:]
        writer.close()
    for file in files:
        assert (target / file.name).read_bytes() == content[file.name] if file.size else not content[file.name]


def test_a_file_of_terabytes_is_cut_into_what_a_destination_takes() -> None:
    files = (File("1.dat.gz", 5 << 40), File("toc.dat", 100))
    layouts = list(cut(files))
    assert sum(map(length, layouts)) == tar_size(files) and len(layouts) == (5 << 40 >> 27) + 1
    assert max(map(len, layouts)) <= 8


async def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "toc.dat").write_bytes(b"short")
    with pytest.raises(DataError, match=r"toc\.dat has become shorter"):
        await _parts(tmp_path, (File("toc.dat", 6),), 1000)


FILES = (File("3001.dat.gz", 700), File("toc.dat", 0))
GOOD = Manifest(
    "monday",
    datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
    About("demo", "shop", "17.6"),
    FILES,
    tuple(Part(part_name(n), size, hashlib.sha256().hexdigest()) for n, size in enumerate((2000, 1072))),
    2000,
)


def test_a_manifest_is_what_it_was() -> None:
    assert tar_size(FILES) == 3072
    assert unpack(pack(GOOD)) == GOOD and GOOD.size == 700


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "version 2, which is not known here"),
        ({"files": [{"name": "../evil", "size": 1}]}, r"a file called '\.\./evil'"),
        ({"files": [{"name": "a", "size": -1}]}, "of -1 bytes"),
        ({"files": [{"name": "a", "size": 1}] * 2}, "two files of one name"),
        ({"files": []}, "not as large as the files"),
        ({"parts": [{"name": "../x", "size": 1, "sha256": "0" * 64}]}, r"a part called '\.\./x'"),
        ({"parts": [{"name": "part-000000", "size": 1, "sha256": "0"}]}, "a part called"),
        ({"partBytes": 0}, "not as large as the files"),
        ({"files": None}, "TypeError"),
        ({"time": "yesterday"}, "ValueError"),
    ],
)
def test_a_manifest_that_we_did_not_write_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        unpack(json.dumps(json.loads(pack(GOOD)) | change).encode())


@given(st.binary(max_size=200))
def test_no_content_of_a_manifest_is_more_than_an_error(content: bytes) -> None:
    with pytest.raises(DataError):
        unpack(content)


def test_parts_of_another_size_are_missing() -> None:
    there = {"part-000000": 2000, "part-000001": 1072}
    assert missing(GOOD, there, encrypted=False) == []
    assert missing(GOOD, there, encrypted=True) == ["part-000000", "part-000001"]
    assert missing(GOOD, {"part-000000": 2032, "part-000001": 1104}, encrypted=True) == []
    assert missing(GOOD, {"part-000000": 2000}, encrypted=False) == ["part-000001"]
    assert missing(replace(GOOD, parts=()), {}, encrypted=False) == []


@given(content=st.binary(max_size=500), at=st.lists(st.integers(0, 600), max_size=4))
@settings(max_examples=15)
def test_what_openssl_encrypts_is_decrypted_in_pieces(content: bytes, at: list[int]) -> None:
    command = ["openssl", "enc", "-aes-256-cbc", "-md", "sha1", "-pass", "pass:horse"]
    stored = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    assert len(stored) == stored_size(len(content), encrypted=True)
    decryptor, got, before = Decryptor("horse"), b"", 0
    for end in [*sorted(at), len(stored)]:
        got += decryptor.update(stored[before:end])
        before = max(before, min(end, len(stored)))
    assert got + decryptor.finish() == content
    with pytest.raises(RepositoryError, match="passphrase"):
        decrypt(stored[:16], "horse")
    with pytest.raises(RepositoryError, match="passphrase"):
        decrypt(b"in the clear, and longer than a head", "horse")
