"""The agent's durable state on the volume: small JSON files, each replaced atomically and fsynced."""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from aurora_operator.agent.errors import AgentError
from aurora_operator.api.agent.settings import Settings
from aurora_operator.consensus.events import Durable
from aurora_operator.consensus.types import NO_CONFIG
from aurora_operator.postgres.files import (
    LOCAL,
    FileSystem,
    make_spare,
    remove_durably,
    replace_with_spare,
    write_durably,
)

T = TypeVar("T")

_DURABLE: TypeAdapter[Durable] = TypeAdapter(Durable)
_PARAMETERS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
SPARE_BYTES: Final = 64 * 1024
_OF_A_LIFE: Final = ("consensus.json", "rested.json", "settings.json", "parameters.json")


@dataclass(frozen=True, slots=True)
class _Identity:
    incarnation: str
    has_data: bool
    owner: str = ""
    """The copy that the volume belongs to: `namespace/cluster/instance`."""
    origin: str = ""
    """The `Origin.id` that its data came from, if it is a cluster's first copy."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A volume, and whose it was."""

    incarnation: str
    former: str | None = None
    """The copy that the volume was copied from, where the data on it are not this copy's own."""


class StoreError(AgentError):
    """The durable state cannot be read; going on could break a promise, so a human must look."""


class Store:
    """Reads and writes the files. A write has reached the disk when it returns."""

    def __init__(self, folder: Path, files: FileSystem = LOCAL) -> None:
        self._folder = folder
        self._files = files
        files.make_folder(folder)
        # A process that was killed between a rename and its fsync leaves a file that can be read and is not durable.
        # Whoever reads it answers for it from now on, and does not write what is there already.
        for each in (folder, folder.parent):
            files.sync_folder(each)

    def take(self, owner: str, *, has_data: bool, origin: str = "", purge: Callable[[], None] = lambda: None) -> Taken:
        """Make the volume this copy's own, and say what it is called: 8 hex digits, made on first use.

        They are made anew when its data directory has disappeared: what a copy promised and acknowledged was worth
        something because of its data; without, it is another copy. And so is a volume that was cloned, or restored
        from a snapshot: another copy made those promises, and goes on keeping them. Nothing of them stays.
        `owner` is `namespace/cluster/instance`; `origin` is the id of what the cluster was made from, on the copy
        that begins it; `purge` removes what else must not stay. Raises StoreError, OSError.
        """
        kept = self._read("identity.json", TypeAdapter(_Identity))
        former = None
        if kept is not None and has_data and ((kept.owner or owner) != owner or kept.origin != (origin or kept.origin)):
            former = kept.owner or "another copy"
            # The identity comes last: what breaks off before is done again.
            purge()
            for name in _OF_A_LIFE:
                remove_durably(self._folder / name, files=self._files)
            kept = None
        elif kept is not None and kept.has_data and not has_data:
            kept = None
        incarnation = secrets.token_hex(4) if kept is None else kept.incarnation
        mine = origin or (kept.origin if kept is not None else "")
        self._write("identity.json", asdict(_Identity(incarnation, has_data, owner, mine)))
        return Taken(incarnation, former)

    def note_data(self) -> None:
        """Data are there, before anything of them is acknowledged: who loses them from now on is another copy.

        Raises StoreError, OSError.
        """
        kept = self._read("identity.json", TypeAdapter(_Identity))
        if kept is not None and not kept.has_data:
            self._write("identity.json", asdict(replace(kept, has_data=True)))

    def durable(self) -> Durable:
        """The promise and membership last persisted. Raises StoreError when the file is damaged."""
        kept = self._read("consensus.json", _DURABLE)
        return Durable(promised=0, config=NO_CONFIG) if kept is None else kept

    def save_durable(self, durable: Durable) -> None:
        """Persist before anything that relies on it; on a full volume, too, as long as there is a spare file."""
        path, spare = self._folder / "consensus.json", self._folder / "consensus.spare"
        text = json.dumps(_DURABLE.dump_python(durable, mode="json"))
        try:
            write_durably(path, text, files=self._files)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._files.exists(spare):
                raise
            replace_with_spare(path, spare, text, files=self._files)
        if not self._files.exists(spare):
            with contextlib.suppress(OSError):
                make_spare(spare, SPARE_BYTES, files=self._files)

    def settings(self) -> Settings | None:
        """The newest settings that were pushed to this copy."""
        return self._read("settings.json", TypeAdapter(Settings))

    def save_settings(self, settings: Settings) -> None:
        """Keep settings for a start without the operator."""
        self._write("settings.json", settings.model_dump(mode="json", by_alias=True))

    def save_rested(self, promised: int) -> None:
        """The agent ends, and no leader relies on this copy, which has promised this epoch."""
        self._write("rested.json", {"promised": promised})

    def take_rested(self) -> int | None:
        """What `save_rested` kept at the end of the life before this one, and of no other: it is gone afterwards."""
        kept = self._read("rested.json", TypeAdapter(dict[str, int]))
        if kept is None:
            return None
        remove_durably(self._folder / "rested.json", files=self._files)
        return kept.get("promised")

    def parameters(self) -> dict[str, str]:
        """The user's parameters that PostgreSQL last took."""
        return self._read("parameters.json", _PARAMETERS) or {}

    def save_parameters(self, parameters: dict[str, str]) -> None:
        """Remember parameters that PostgreSQL took."""
        self._write("parameters.json", parameters)

    def _read(self, name: str, adapter: TypeAdapter[T]) -> T | None:
        path = self._folder / name
        try:
            return adapter.validate_json(self._files.read(path))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StoreError(f"{path} is damaged: {error}") from error

    def _write(self, name: str, value: Any) -> None:
        write_durably(self._folder / name, json.dumps(value), files=self._files)
