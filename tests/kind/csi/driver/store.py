"""The pool's records: a folder per volume or snapshot, holding its image and a small JSON file.

A record appears and disappears by one rename, so a crash at any moment leaves either the whole record or
a leftover in the scratch folder, which is emptied at the next start.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .linux import sync_folder

_ID = re.compile(r"(?:vol|snap)-[0-9a-f]{32}@[A-Za-z0-9.-]+")


def make_id(prefix: str, node: str, name: str) -> str:
    """Return the id for what was asked for under ``name``: the same on every retry, different on every node.

    Raises ValueError for a node whose name no node can have.
    """
    digest = hashlib.sha256(f"{node}\0{name}".encode()).hexdigest()[:32]
    identifier = f"{prefix}-{digest}@{node}"
    if not _ID.fullmatch(identifier):
        raise ValueError(f"not an id: {identifier!r}")
    return identifier


def node_of(identifier: str) -> str | None:
    """Return the node that holds what has this id, or None for an id that is not one of ours."""
    return identifier.partition("@")[2] if _ID.fullmatch(identifier) else None


@dataclass(frozen=True)
class Record:
    """A volume or a snapshot.

    ``name`` is what the caller asked for it under, ``size`` its bytes, ``created`` seconds since 1970,
    ``origin`` the id of the volume or snapshot that its content came from, or empty.
    """

    id: str
    name: str
    size: int
    created: float
    origin: str = ""


class Store:
    """The records of one kind within a pool."""

    def __init__(self, pool: Path, kind: str) -> None:
        self._folder = pool / kind
        self._scratch = pool / "scratch"

    def prepare(self) -> None:
        """Make the folders and remove what interrupted calls left behind. Only before the first call."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()

    def image(self, identifier: str) -> Path:
        """Return where a record's image is. The name is unique on the machine, see linux.loop_of."""
        return self._folder / identifier / f"{identifier}.img"

    def get(self, identifier: str) -> Record | None:
        """Return the record with this id, or None."""
        if node_of(identifier) is None:  # also keeps ids like ../x away from the file system
            return None
        try:
            text = (self._folder / identifier / "record.json").read_text()
        except FileNotFoundError:
            return None
        return Record(**json.loads(text))

    def records(self) -> list[Record]:
        """Return all records, ordered by id."""
        found = (self.get(folder.name) for folder in sorted(self._folder.iterdir()))
        return [record for record in found if record is not None]

    def create(self, record: Record, make_image: Callable[[Path], None]) -> None:
        """Add a record whose image ``make_image`` makes at the path that it is given.

        Nothing is left behind if that raises.
        """
        draft = self._scratch / uuid.uuid4().hex
        draft.mkdir()
        try:
            image = draft / self.image(record.id).name
            make_image(image)
            with image.open("rb") as file:
                os.fsync(file.fileno())
            _write(draft / "record.json", record)
            sync_folder(draft)
            draft.rename(self._folder / record.id)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_folder(self._folder)

    def resize(self, record: Record, size: int) -> Record:
        """Note that a record's image has ``size`` bytes now."""
        grown = replace(record, size=size)
        folder = self._folder / record.id
        draft = folder / "record.json.new"
        _write(draft, grown)
        draft.rename(folder / "record.json")
        sync_folder(folder)
        return grown

    def delete(self, identifier: str) -> None:
        """Remove a record and its image; nothing to remove is no error."""
        if node_of(identifier) is None:
            return
        doomed = self._scratch / uuid.uuid4().hex
        try:
            (self._folder / identifier).rename(doomed)
        except FileNotFoundError:
            return
        sync_folder(self._folder)
        shutil.rmtree(doomed)


def _write(path: Path, record: Record) -> None:
    with path.open("w") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
