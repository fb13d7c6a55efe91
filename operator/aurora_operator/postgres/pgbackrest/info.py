"""What a repository holds, from `pgbackrest info --output=json`. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aurora_operator.api.base.lsn import parse_lsn, parse_segment_name
from aurora_operator.postgres.errors import RepositoryError


@dataclass(frozen=True, slots=True)
class BackupInfo:
    """A backup. Sizes in bytes; `stored` is what it takes in the repository beyond the backups that it builds on."""

    label: str
    kind: str
    start: datetime
    stop: datetime
    start_lsn: int
    stop_lsn: int
    timeline: int
    """On which it ended: that of its last WAL segment."""
    size: int
    stored: int
    archive: str
    """The part of the archive that belongs to it, such as `17-1`."""
    builds_on: tuple[str, ...] = ()
    error: bool = False
    """pgBackRest found pages whose checksums are wrong."""
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stanza:
    """The backups of one database, oldest first."""

    name: str
    exists: bool
    backups: tuple[BackupInfo, ...] = ()
    system_identifier: str | None = None
    archive: str | None = None
    """The newest part of the archive."""
    archive_min: str | None = None
    archive_max: str | None = None
    problem: str | None = None
    """pgBackRest's words when it could not look."""


def parse_stanzas(text: str) -> tuple[Stanza, ...]:
    """All stanzas in the answer. Raises RepositoryError when it is not understood."""
    try:
        return tuple(_stanza(item) for item in json.loads(text))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RepositoryError("other", f"pgBackRest's info is not understood: {error!r}") from error


def parse_info(text: str, stanza: str) -> Stanza:
    """The stanza of this name. Raises RepositoryError when the answer is not understood."""
    return next((s for s in parse_stanzas(text) if s.name == stanza), Stanza(stanza, exists=False))


def _stanza(item: dict[str, Any]) -> Stanza:
    status = item.get("status") or {}
    database = (item.get("db") or [{}])[-1]
    archive = (item.get("archive") or [{}])[-1]
    version = {int(db["id"]): str(db["version"]) for db in item.get("db") or ()}
    # 0 ok, 1 no such stanza, 2 no backups; anything else means that it could not look everywhere.
    code = int(status.get("code", 0))
    problem = None
    if code not in (0, 1, 2, 3):
        problem = "; ".join(str(r["status"].get("message", "")) for r in item.get("repo") or () if r.get("status"))
    identifier = database.get("system-id")
    return Stanza(
        name=str(item["name"]),
        exists=code not in (1,),
        backups=tuple(_backup(b, version) for b in item.get("backup") or ()),
        system_identifier=None if identifier is None else str(identifier),
        archive=archive.get("id"),
        archive_min=archive.get("min"),
        archive_max=archive.get("max"),
        problem=problem or None,
    )


def _backup(item: dict[str, Any], versions: dict[int, str]) -> BackupInfo:
    segment = parse_segment_name(str(item["archive"]["stop"]))
    database = int(item["database"]["id"])
    repository = item["info"]["repository"]
    return BackupInfo(
        label=str(item["label"]),
        kind=str(item["type"]),
        start=datetime.fromtimestamp(int(item["timestamp"]["start"]), UTC),
        stop=datetime.fromtimestamp(int(item["timestamp"]["stop"]), UTC),
        start_lsn=parse_lsn(str(item["lsn"]["start"])),
        stop_lsn=parse_lsn(str(item["lsn"]["stop"])),
        timeline=segment[0] if segment is not None else 1,
        size=int(item["info"]["size"]),
        stored=int(repository.get("delta") or 0),
        archive=f"{versions.get(database, '17')}-{database}",
        builds_on=tuple(item.get("reference") or ()),
        error=bool(item.get("error")),
        annotations=tuple(sorted((item.get("annotation") or {}).items())),
    )
