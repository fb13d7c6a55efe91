"""The agent's durable state on the volume: small JSON files, each replaced atomically and fsynced."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from aurora_operator.api.settings import Settings
from aurora_operator.consensus.events import Durable
from aurora_operator.consensus.types import NO_CONFIG
from aurora_operator.postgres.files import write_durably

T = TypeVar("T")

_DURABLE: TypeAdapter[Durable] = TypeAdapter(Durable)
_PARAMETERS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class _Identity:
    incarnation: str
    has_data: bool


class StoreError(Exception):
    """The durable state cannot be read; going on could break a promise, so a human must look."""


class Store:
    """Reads and writes the files. A write has reached the disk when it returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def incarnation(self, *, has_data: bool) -> str:
        """The volume's name: 8 hex digits, made on first use, and anew when its data directory has disappeared.

        What a copy promised and acknowledged was worth something because of its data: without, it is another copy.
        """
        kept = self._read("identity.json", TypeAdapter(_Identity))
        if kept is None or (kept.has_data and not has_data):
            kept = _Identity(secrets.token_hex(4), has_data)
        else:
            kept = _Identity(kept.incarnation, has_data)
        self._write("identity.json", {"incarnation": kept.incarnation, "has_data": kept.has_data})
        return kept.incarnation

    def durable(self) -> Durable:
        """The promise and membership last persisted. Raises StoreError when the file is damaged."""
        kept = self._read("consensus.json", _DURABLE)
        return Durable(promised=0, config=NO_CONFIG) if kept is None else kept

    def save_durable(self, durable: Durable) -> None:
        """Persist before anything that relies on it."""
        self._write("consensus.json", _DURABLE.dump_python(durable, mode="json"))

    def settings(self) -> Settings | None:
        """The newest settings that were pushed to this copy."""
        return self._read("settings.json", TypeAdapter(Settings))

    def save_settings(self, settings: Settings) -> None:
        """Keep settings for a start without the operator."""
        self._write("settings.json", settings.model_dump(mode="json", by_alias=True))

    def parameters(self) -> dict[str, str]:
        """The user's parameters that PostgreSQL last took."""
        return self._read("parameters.json", _PARAMETERS) or {}

    def save_parameters(self, parameters: dict[str, str]) -> None:
        """Remember parameters that PostgreSQL took."""
        self._write("parameters.json", parameters)

    def _read(self, name: str, adapter: TypeAdapter[T]) -> T | None:
        path = self._folder / name
        try:
            return adapter.validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise StoreError(f"{path} is damaged: {error}") from error

    def _write(self, name: str, value: Any) -> None:
        write_durably(self._folder / name, json.dumps(value))
