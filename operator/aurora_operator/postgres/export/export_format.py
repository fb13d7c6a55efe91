"""How an export lies in a destination. Pure.

pg_dump's folder is one tar file, cut into parts of one size: so a table may be larger than what a destination takes as
one object, and a million large objects are few. The manifest lists files and parts with their checksums.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aurora_operator.postgres.errors import DataError
from aurora_operator.postgres.pgbackrest.cipher import stored_size

PART_BYTES: Final = 128 << 20
_VERSION: Final = 1
_RECORD: Final = 512
_END: Final = bytes(2 * _RECORD)
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,98}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class File:
    """A file of pg_dump's folder, which has no folders in it."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Part:
    """What is stored as one object. Size and checksum are those before encryption."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class About:
    """Where an export comes from."""

    cluster: str
    database: str
    engine_version: str
    """PostgreSQL's, such as 17.6."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that there is of a complete export."""

    name: str
    time: datetime
    about: About
    files: tuple[File, ...]
    parts: tuple[Part, ...]
    part_bytes: int = PART_BYTES

    @property
    def size(self) -> int:
        """Of its files, in bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the tar file: of a file, or `filling`, which belongs to none."""

    length: int
    file: str | None = None
    offset: int = 0
    filling: bytes = b""


def part_name(number: int) -> str:
    """Of the part with this number, from 0."""
    return f"part-{number:06}"


def spans(files: Sequence[File]) -> Iterator[Span]:
    """The tar file of these. The same files always give the same."""
    for file in files:
        header = tarfile.TarInfo(file.name)
        header.size, header.mode = file.size, 0o600
        yield _filling(header.tobuf(tarfile.GNU_FORMAT))
        if file.size:
            yield Span(file.size, file.name)
        if rest := -file.size % _RECORD:
            yield _filling(bytes(rest))
    yield _filling(_END)


def cut(files: Sequence[File], part_bytes: int = PART_BYTES) -> Iterator[tuple[Span, ...]]:
    """What each part holds; all but the last hold `part_bytes`."""
    part: list[Span] = []
    room = part_bytes
    for span in spans(files):
        while span.length > room:
            part.append(_piece(span, 0, room))
            span = _piece(span, room, span.length)
            yield tuple(part)
            part, room = [], part_bytes
        if span.length:
            part.append(span)
            room -= span.length
    yield tuple(part)


def length(part: Sequence[Span]) -> int:
    """In bytes."""
    return sum(span.length for span in part)


def tar_size(files: Sequence[File]) -> int:
    """Of all parts together, in bytes."""
    return sum(_RECORD + file.size + -file.size % _RECORD for file in files) + len(_END)


def missing(manifest: Manifest, there: dict[str, int], *, encrypted: bool) -> list[str]:
    """Parts that are not there, or not in the right size; `there` has the stored sizes by name."""
    return [part.name for part in manifest.parts if there.get(part.name) != stored_size(part.size, encrypted=encrypted)]


def pack(manifest: Manifest) -> bytes:
    """As it is stored."""
    document = {
        "version": _VERSION,
        "name": manifest.name,
        "time": manifest.time.astimezone(UTC).isoformat(timespec="seconds"),
        "cluster": manifest.about.cluster,
        "database": manifest.about.database,
        "engineVersion": manifest.about.engine_version,
        "partBytes": manifest.part_bytes,
        "parts": [{"name": part.name, "size": part.size, "sha256": part.sha256} for part in manifest.parts],
        "files": [{"name": file.name, "size": file.size} for file in manifest.files],
    }
    return json.dumps(document).encode()


def unpack(content: bytes) -> Manifest:
    """What `pack` made. Raises DataError for what it cannot have made."""
    try:
        found = json.loads(content)
        if found["version"] != _VERSION:
            raise DataError(f"the export's manifest is of version {found['version']}, which is not known here")
        made = Manifest(
            name=str(found["name"]),
            time=datetime.fromisoformat(found["time"]),
            about=About(str(found["cluster"]), str(found["database"]), str(found["engineVersion"])),
            files=tuple(File(str(file["name"]), int(file["size"])) for file in found["files"]),
            parts=tuple(Part(str(part["name"]), int(part["size"]), str(part["sha256"])) for part in found["parts"]),
            part_bytes=int(found["partBytes"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        if content.startswith(b"Salted__"):
            raise DataError("the export is encrypted, and spec.backup.encryption is not set") from error
        raise DataError(f"the export's manifest is not understood: {error!r}") from error
    if why := _nonsense(made):
        raise DataError(f"the export's manifest is not understood: {why}")
    return made


def _nonsense(made: Manifest) -> str | None:
    """Names that lead elsewhere, or parts that are not the files."""
    for file in made.files:
        if _FILE.fullmatch(file.name) is None or file.size < 0:
            return f"a file called {file.name!r} of {file.size} bytes"
    if len({file.name for file in made.files}) != len(made.files):
        return "two files of one name"
    for number, part in enumerate(made.parts):
        if part.name != part_name(number) or _SHA256.fullmatch(part.sha256) is None:
            return f"a part called {part.name!r}"
    whole, rest = divmod(tar_size(made.files), made.part_bytes) if made.part_bytes > 0 else (0, 0)
    sizes = [made.part_bytes] * whole + ([rest] if rest else [])
    return None if [part.size for part in made.parts] == sizes else "the parts are not as large as the files"


def _filling(content: bytes) -> Span:
    return Span(len(content), filling=content)


def _piece(span: Span, begin: int, end: int) -> Span:
    return Span(end - begin, span.file, span.offset + begin, span.filling[begin:end])
