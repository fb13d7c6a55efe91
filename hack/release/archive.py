"""Archives whose bytes follow from what is in them: sorted, with one time, and nobody's name."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

SUMS = "SHA256SUMS"


def zip_bytes(files: Mapping[str, bytes], time: datetime) -> bytes:
    """A compressed zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, time.timetuple()[:6])
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED, 9)
    return made.getvalue()


def write_tar(target: Path, files: Mapping[str, tuple[bytes, int]], time: datetime) -> None:
    """A gzipped tar archive of contents and modes, by name."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=time.timestamp()) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(files):
            content, mode = files[name]
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), mode, int(time.timestamp())
            archive.addfile(entry, io.BytesIO(content))


def sha256(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> Path:
    """The checksums of all files of a folder, as `sha256sum --check` reads them."""
    sums = folder / SUMS
    files = sorted(path for path in folder.iterdir() if path.is_file() and path != sums)
    sums.write_text("".join(f"{sha256(path)}  {path.name}\n" for path in files))
    return sums
